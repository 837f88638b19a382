//! How far a long load is, on stderr, where that is a terminal.

use crate::cli::exit::tell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// What takes less than this needs no line.
const LONG: Duration = Duration::from_millis(500);
/// From one line to the next, which takes its place.
const PAUSE: Duration = Duration::from_millis(100);
/// Back to the start of the line, and nothing there any more (ECMA-48: CR, EL).
const CLEAR: &str = "\r\x1b[K";

/// A line that appears when the work turns out to be long, and goes when it is dropped.
pub struct Progress {
    /// When the line is to be written next; None where there is to be none.
    due: Option<Instant>,
    written: bool,
}

impl Progress {
    pub fn new() -> Progress {
        let due = std::io::stderr().is_terminal().then(|| Instant::now() + LONG);
        Progress { due, written: false }
    }

    /// `at` of `total` is done of what is going on; `total` is None where nobody knows.
    pub fn step(&mut self, what: &'static str, at: u64, total: Option<u64>) {
        if self.due.is_none_or(|due| Instant::now() < due) {
            return;
        }
        self.due = Some(Instant::now() + PAUSE);
        self.written = true;
        tell(&match total {
            Some(total) => {
                let percent = u128::from(at) * 100 / u128::from(total.max(1));
                format!("{CLEAR}{what} {percent:>3} %")
            }
            None => format!("{CLEAR}{what} {at}"),
        });
    }

    /// Removes the line, before something else is printed.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.written) {
            tell(CLEAR);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
