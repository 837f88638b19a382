//! The log: a line on stderr for each decision. It never holds the agent up.

use crate::text::count;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::fmt::{Display, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Characters of a line: fewer bytes than a pipe takes whole (PIPE_BUF).
const MAX_LINE: usize = 1000;

/// Where decisions are told.
#[derive(Debug)]
pub struct Log {
    /// Stderr, opened anew so that no write waits, where it is a pipe or a terminal: nobody
    /// else's writes are changed by that.
    own: Option<OwnedFd>,
    /// Leave out what was granted.
    quiet: bool,
    /// Lines that nobody could read.
    lost: usize,
}

impl Log {
    /// With `quiet`, what was granted is left out.
    pub fn new(quiet: bool) -> Log {
        let kind = fstat(std::io::stderr()).map(|stat| SFlag::from_bits_truncate(stat.st_mode));
        // A file that was opened anew would be written from its start.
        let waits = kind
            .is_ok_and(|kind| [SFlag::S_IFIFO, SFlag::S_IFCHR].contains(&(kind & SFlag::S_IFMT)));
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let own = waits.then(|| open("/proc/self/fd/2", flags, Mode::empty()).ok()).flatten();
        Log { own, quiet, lost: 0 }
    }

    /// Whether lines for granted requests are logged.
    pub fn logs_granted(&self) -> bool {
        !self.quiet
    }

    /// What was allowed, and done.
    pub fn granted(&mut self, message: impl Display) {
        if self.logs_granted() {
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
        if self.write(text.as_bytes()) {
            self.lost = 0;
        } else {
            self.lost += 1;
        }
    }

    /// Whether all of it was written, without waiting.
    fn write(&self, text: &[u8]) -> bool {
        let write = |fd: BorrowedFd| nix::unistd::write(fd, text) == Ok(text.len());
        if let Some(own) = &self.own {
            return write(own.as_fd());
        }
        let stderr = std::io::stderr();
        let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
        let may = poll(&mut ready, PollTimeout::ZERO) == Ok(1)
            && ready[0].revents().is_some_and(|events| events.contains(PollFlags::POLLOUT));
        may && write(stderr.as_fd())
    }
}
