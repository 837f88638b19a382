//! The log: a line on stderr for each decision. Writing it never blocks.

use super::peer::Peer;
use super::quota::{Charge, Quota};
use crate::text::count;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Characters of a line: fewer bytes than a pipe takes atomically (PIPE_BUF).
const MAX_LINE: usize = 1000;
/// Lines about peers that are not trusted, in each [`PERIOD`].
const LINES: usize = 200;
const PERIOD: Duration = Duration::from_secs(1);
/// Users whose omitted lines are counted separately.
const USERS: usize = 64;

/// The destination of log lines.
#[derive(Debug)]
pub struct Log {
    /// Stderr, reopened if it is a pipe or a terminal, so that no write blocks and the flags of
    /// other processes' descriptors are unchanged.
    own: Option<OwnedFd>,
    /// Granted requests are not logged.
    pub quiet: bool,
    /// Lines that could not be written.
    lost: usize,
    quota: Quota,
    /// The lines of the current period, which began at that time.
    charges: Vec<Charge>,
    begun: Instant,
    /// Lines that were omitted, by user.
    omitted: BTreeMap<u32, usize>,
}

impl Log {
    /// With `quiet`, granted requests are not logged.
    pub fn new(quiet: bool) -> Log {
        let kind = fstat(std::io::stderr()).map(|stat| SFlag::from_bits_truncate(stat.st_mode));
        // A reopened file would be written from its start.
        let may_block = kind
            .is_ok_and(|kind| [SFlag::S_IFIFO, SFlag::S_IFCHR].contains(&(kind & SFlag::S_IFMT)));
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let own = may_block.then(|| open("/proc/self/fd/2", flags, Mode::empty()).ok()).flatten();
        let (quota, begun) = (Quota::new(LINES, 0), Instant::now());
        let (charges, omitted) = (Vec::new(), BTreeMap::new());
        Log { own, quiet, lost: 0, quota, charges, begun, omitted }
    }

    /// Logs a granted request.
    pub fn granted(&mut self, peer: &Peer, message: impl Display) {
        if !self.quiet {
            self.about(peer, || peer.to_string(), message);
        }
    }

    /// Logs a line about a peer, unless there are too many about its user.
    pub fn about(&mut self, peer: &Peer, describe: impl FnOnce() -> String, message: impl Display) {
        self.end_period(Instant::now());
        if !peer.is_trusted {
            match self.quota.charge(peer, 1) {
                Ok(charge) => self.charges.push(charge),
                Err(_) => {
                    // A key that no user has, once there are too many users.
                    let full = self.omitted.len() >= USERS && !self.omitted.contains_key(&peer.uid);
                    let uid = if full { u32::MAX } else { peer.uid };
                    *self.omitted.entry(uid).or_default() += 1;
                    return;
                }
            }
        }
        self.line(format_args!("{}: {message}", describe()));
    }

    /// When omitted lines are to be reported.
    pub fn next_report(&self) -> Option<Instant> {
        (!self.omitted.is_empty()).then_some(self.begun + PERIOD)
    }

    /// Begins a new period if the current one is over, and reports the omitted lines.
    pub fn end_period(&mut self, now: Instant) {
        if now.duration_since(self.begun) < PERIOD {
            return;
        }
        self.begun = now;
        self.charges.clear();
        for (uid, lines) in std::mem::take(&mut self.omitted) {
            match uid {
                u32::MAX => self.line(format_args!("{lines} more from other users")),
                uid => self.line(format_args!("{lines} more from uid {uid}")),
            }
        }
    }

    /// Logs a line of the agent itself.
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

    /// Whether all of it was written, without blocking.
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
