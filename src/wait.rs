//! The ends of a wait: a time limit that several waits share, and signals.

use crate::error::Error;
use bpf_inherit::{Errno, process::ending_signals};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// A time limit that starts when it is created; without a timeout there is none.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    timeout: Duration,
    end: Option<Instant>,
}

impl Limit {
    pub fn new(timeout: Option<Duration>) -> Limit {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Limit { timeout: timeout.unwrap_or_default(), end }
    }

    /// The remaining time; None if there is no limit.
    pub fn left(&self) -> Option<Duration> {
        self.end.map(|end| end.saturating_duration_since(Instant::now()))
    }

    pub fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// The remaining time for poll(2), rounded up so that poll(2) does not return just before the
    /// end, and limited to 65 seconds: check whether the limit is over.
    pub fn remaining(&self) -> PollTimeout {
        let Some(left) = self.left() else { return PollTimeout::NONE };
        PollTimeout::from(u16::try_from(left.as_millis() + 1).unwrap_or(u16::MAX))
    }

    /// The timeout, for a message: `1 second`, `0.5 seconds`.
    pub fn text(&self) -> String {
        match self.timeout.as_secs_f64() {
            1.0 => "1 second".into(),
            seconds => format!("{seconds} seconds"),
        }
    }
}

/// Blocks signals that would end the process, so that the files of sockets and new pins are removed
/// first. Dropping it delivers them.
#[derive(Debug)]
pub struct Signals {
    arrived: SignalFd,
    held: SigSet,
    before: SigSet,
}

impl Signals {
    /// Blocks all signals that would end the process.
    pub fn hold() -> Result<Signals, Error> {
        let fail = |errno: Errno| Error::new("signals", "hold back", errno);
        let before = SigSet::thread_get_mask().map_err(fail)?;
        let held = ending_signals().map_err(fail)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let arrived = SignalFd::with_flags(&held, flags).map_err(fail)?;
        held.thread_block().map_err(fail)?;
        Ok(Signals { arrived, held, before })
    }

    /// Does `work`, the execution of a command, with the signals unblocked, and blocks them again.
    /// None if a signal has arrived before; then nothing is done.
    pub fn deliver_during<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::ZERO) == Ok(1) {
            return None;
        }
        self.restore();
        let done = work();
        let _ = self.held.thread_block();
        Some(done)
    }

    /// Unblocks the signals. Restoring a mask cannot fail.
    fn restore(&self) {
        let _ =
            nix::sys::signal::pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

impl AsFd for Signals {
    /// Readable when a signal has arrived.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.arrived.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.restore();
    }
}
