//! The log: a line on stderr for each decision. It never holds the agent up.

use crate::text::count;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fmt::{Display, Write as _};
use std::io::Write;
use std::os::fd::AsFd;

/// Characters of a line: fewer bytes than a pipe takes whole (PIPE_BUF).
const MAX_LINE: usize = 1000;

/// Where decisions are told.
#[derive(Debug)]
pub struct Log {
    /// Leave out what was granted.
    quiet: bool,
    /// Lines that nobody could read.
    lost: usize,
}

impl Log {
    /// With `quiet`, what was granted is left out.
    pub fn new(quiet: bool) -> Log {
        Log { quiet, lost: 0 }
    }

    /// What was allowed, and done.
    pub fn granted(&mut self, message: impl Display) {
        if !self.quiet {
            self.line(message);
        }
    }

    /// Anything else.
    pub fn line(&mut self, message: impl Display) {
        let mut text = String::new();
        if self.lost > 0 {
            let _ = writeln!(text, "bpf-agent: {} lost", count(self.lost, "line"));
        }
        let _ = write!(text, "bpf-agent: {message}"); // a String takes everything
        if let Some((end, _)) = text.char_indices().nth(MAX_LINE) {
            text.truncate(end);
            text.push('…');
        }
        text.push('\n');
        // A pipe that can take anything takes a page at once, which is more than a line.
        let stderr = std::io::stderr();
        let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        let may = poll(&mut ready, PollTimeout::ZERO) == Ok(1)
            && ready[0].revents().is_some_and(|events| events.contains(PollFlags::POLLOUT));
        if may && (&stderr).write_all(text.as_bytes()).is_ok() {
            self.lost = 0;
        } else {
            self.lost += 1;
        }
    }
}
