//! The progress of a long load, on stderr if that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// The bar appears after this time.
const LONG: Duration = Duration::from_millis(500);
/// Updates of the bar in a second, at most.
const RATE: u8 = 10;

/// A bar that appears if the work takes long, and is removed on drop.
pub struct Progress {
    /// When the bar appears; None if there is no terminal.
    due: Option<Instant>,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub fn new() -> Progress {
        let due = std::io::stderr().is_terminal().then(|| Instant::now() + LONG);
        Progress { due, bar: None }
    }

    /// Reports that `at` of `total` is done; `total` is None if it is not known.
    pub fn step(&mut self, what: &'static str, at: u64, total: Option<u64>) {
        if self.bar.is_none() && self.due.is_none_or(|due| Instant::now() < due) {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(RATE))
        });
        if bar.message() != what {
            let template = match total {
                Some(_) => "{msg} [{wide_bar}] {percent:>3} %",
                None => "{msg} {pos}",
            };
            let style = ProgressStyle::with_template(template).expect("a valid template");
            bar.set_style(style.progress_chars("#> "));
            bar.set_message(what);
        }
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(at);
    }

    /// Removes the bar, before something else is printed.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
