//! The progress of a long load, on stderr if that is a terminal.

use crate::cli::exit::print_to_stderr;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// The line appears after this time.
const LONG: Duration = Duration::from_millis(500);
/// The time between two updates of the line.
const PAUSE: Duration = Duration::from_millis(100);
/// Returns to the start of the line and erases it (ECMA-48: CR, EL).
const CLEAR: &str = "\r\x1b[K";

/// A line that appears if the work takes long, and is removed on drop.
pub struct Progress {
    /// The time of the next update; None if there is no terminal.
    due: Option<Instant>,
    written: bool,
}

impl Progress {
    pub fn new() -> Progress {
        let due = std::io::stderr().is_terminal().then(|| Instant::now() + LONG);
        Progress { due, written: false }
    }

    /// Reports that `at` of `total` is done; `total` is None if it is not known.
    pub fn step(&mut self, what: &'static str, at: u64, total: Option<u64>) {
        if self.due.is_none_or(|due| Instant::now() < due) {
            return;
        }
        self.due = Some(Instant::now() + PAUSE);
        self.written = true;
        print_to_stderr(&match total {
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
            print_to_stderr(CLEAR);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
