//! How far a long load is, on stderr, where that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// What takes less than this needs no bar.
const LONG: Duration = Duration::from_millis(500);

/// A bar that appears when the work turns out to be long, and goes when it is dropped.
pub struct Progress {
    /// When the bar is to appear; None where there is to be none.
    due: Option<Instant>,
    bar: Option<ProgressBar>,
    what: &'static str,
}

impl Progress {
    pub fn new() -> Progress {
        let due = std::io::stderr().is_terminal().then(|| Instant::now() + LONG);
        Progress { due, bar: None, what: "" }
    }

    /// `at` of `total` is done of what is going on; `total` is None where nobody knows.
    pub fn step(&mut self, what: &'static str, at: u64, total: Option<u64>) {
        if self.due.is_none_or(|due| Instant::now() < due) {
            return;
        }
        if self.what != what {
            self.clear();
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            let form = match total {
                Some(_) => "{msg} {wide_bar} {percent:>3} % {eta:>4}",
                None => "{msg} {human_pos} {elapsed}",
            };
            if let Ok(style) = ProgressStyle::with_template(form) {
                bar.set_style(style);
            }
            bar.set_message(what);
            (self.bar, self.what) = (Some(bar), what);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(at);
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    /// Before a message is printed in its place.
    fn drop(&mut self) {
        self.clear();
    }
}
