//! The times of readings: multiples of the interval, counted from the first reading, so that the
//! durations of readings do not add up.

use crate::cli::exit::ReaderGone;
use bpf_inherit::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

pub struct Clock {
    start: Instant,
    interval: Duration,
}

impl Clock {
    pub fn new(interval: Duration) -> Clock {
        Clock { start: Instant::now(), interval }
    }

    /// From the start to `at`.
    pub fn elapsed(&self, at: Instant) -> Duration {
        at.duration_since(self.start)
    }

    /// Waits for the next multiple; multiples in the past are skipped. Fails with [`ReaderGone`] as
    /// soon as stdout has no reader, even if there is nothing to write.
    pub fn wait(&mut self) -> anyhow::Result<()> {
        let due = next(self.start.elapsed(), self.interval);
        loop {
            let left = due.saturating_sub(self.start.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            let stdout = std::io::stdout();
            // poll(2) always reports errors and hang-ups.
            let mut stdout = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
            match ppoll(&mut stdout, Some(TimeSpec::from_duration(left)), None) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Err(ReaderGone.into()),
                Err(errno) => return Err(std::io::Error::from(errno).into()),
            }
        }
    }
}

/// The first multiple of `interval` after `elapsed`.
fn next(elapsed: Duration, interval: Duration) -> Duration {
    let multiple = elapsed.as_nanos() / interval.as_nanos() + 1;
    let nanos = multiple * interval.as_nanos();
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::next;
    use std::time::Duration;

    #[test]
    fn next_reading_does_not_drift_and_skips_past_ones() {
        for (elapsed, want) in
            [(0, 250), (1, 250), (249, 250), (250, 500), (251, 500), (1700, 1750)]
        {
            let [elapsed, want, interval] = [elapsed, want, 250].map(Duration::from_millis);
            assert_eq!(next(elapsed, interval), want, "{elapsed:?}");
        }
    }
}
