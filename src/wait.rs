//! What ends a wait: a time limit that several waits share, and signals.

use crate::error::Error;
use bpf_inherit::{Errno, process::is_ignored};
use nix::poll::PollTimeout;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// A time limit that runs from when it was made; none at all where no timeout was given.
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

    /// What is left of it; None for ever.
    pub fn left(&self) -> Option<Duration> {
        self.end.map(|end| end.saturating_duration_since(Instant::now()))
    }

    pub fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// What is left in milliseconds, rounded up so that no wait ends just before it.
    /// poll(2) may be told less: ask again until it is over.
    pub fn remaining(&self) -> PollTimeout {
        let Some(left) = self.left() else { return PollTimeout::NONE };
        PollTimeout::from(u16::try_from(left.as_millis() + 1).unwrap_or(u16::MAX))
    }

    /// The whole of it, for a message: `1 second`, `0.5 seconds`.
    pub fn text(&self) -> String {
        match self.timeout.as_secs_f64() {
            1.0 => "1 second".into(),
            seconds => format!("{seconds} seconds"),
        }
    }
}

/// Signals that would end the process are held back while this lives, so that
/// a socket's file can be removed first; then they take their course.
pub struct Signals {
    arrived: SignalFd,
    before: SigSet,
}

impl Signals {
    /// Holds back SIGHUP, SIGINT, SIGQUIT and SIGTERM, where they would end the process.
    pub fn hold() -> Result<Signals, Error> {
        let fail = |errno: Errno| Error::new("signals", "hold back", errno);
        let before = SigSet::thread_get_mask().map_err(fail)?;
        let mut held = SigSet::empty();
        for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
            // An ignored signal would be queued all the same while it is blocked.
            if !is_ignored(signal as i32) && !before.contains(signal) {
                held.add(signal);
            }
        }
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let arrived = SignalFd::with_flags(&held, flags).map_err(fail)?;
        held.thread_block().map_err(fail)?;
        Ok(Signals { arrived, before })
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
        // Setting a mask that the kernel gave cannot fail.
        let _ =
            nix::sys::signal::pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}
