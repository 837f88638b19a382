//! Placing fds at the numbers that the command inherits.

use crate::error::Error;
use bpf_inherit::{Errno, Startup, errno, fd};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// The soft limit on open files, raised to the hard limit. Dropping it restores the soft limit.
#[derive(Debug)]
pub struct OpenFiles {
    soft: rlim_t,
    hard: rlim_t,
}

impl OpenFiles {
    /// Raises the soft limit. Fds above it stay usable after it is restored.
    pub fn raise() -> OpenFiles {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0));
        if soft < hard {
            // Raising it to the hard limit is always permitted.
            let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        }
        OpenFiles { soft, hard }
    }

    /// How many files may be open once the limit is raised.
    pub fn hard(&self) -> usize {
        usize::try_from(self.hard).unwrap_or(usize::MAX)
    }
}

impl Drop for OpenFiles {
    fn drop(&mut self) {
        if self.soft < self.hard {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, self.soft, self.hard);
        }
    }
}

/// The lowest free fds from `base` upwards, one for each of `fds`. An fd in `fds` counts as free,
/// since it is moved.
pub fn choose_numbers(
    base: RawFd,
    fds: &[BorrowedFd],
    limit: &OpenFiles,
) -> Result<Vec<RawFd>, Error> {
    let own: BTreeSet<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let is_free = |number: &RawFd| fd::is_closed(*number) || own.contains(number);
    let numbers: Vec<RawFd> = (base..=RawFd::MAX).filter(is_free).take(fds.len()).collect();
    match numbers.last() {
        Some(&last) if last as rlim_t >= limit.hard => {
            let cause = format!(
                "numbers up to {last} are needed, and the hard limit on open files is {}",
                limit.hard
            );
            Err(Error::new("descriptors", "place", cause))
        }
        _ if numbers.len() < fds.len() => {
            Err(Error::new("descriptors", "place", "no file descriptor is free above the base"))
        }
        _ => Ok(numbers),
    }
}

/// Moves each fd to its number, at which the command inherits it.
///
/// If another fd that is still to be moved has the number, that fd is duplicated first.
pub fn move_fds(
    startup: &Startup,
    mut fds: Vec<Option<OwnedFd>>,
    numbers: &[RawFd],
) -> Result<(), Errno> {
    let mut at: BTreeMap<RawFd, usize> = BTreeMap::new();
    for (i, fd) in fds.iter().enumerate() {
        at.extend(fd.as_ref().map(|fd| (fd.as_raw_fd(), i)));
    }
    for (i, &number) in numbers.iter().enumerate() {
        let Some(fd) = fds[i].take() else { continue };
        if let Some(&other) = at.get(&number).filter(|&&other| other > i)
            && let Some(occupant) = fds[other].take()
        {
            let duplicate = occupant.try_clone().map_err(errno)?;
            at.insert(duplicate.as_raw_fd(), other);
            fds[other] = Some(duplicate);
        }
        startup.place(fd, number)?;
    }
    Ok(())
}
