//! How long to wait: a time limit that several waits share.

use nix::poll::PollTimeout;
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
