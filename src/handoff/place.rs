//! Descriptors put where the command finds them.

use crate::error::Error;
use crate::sys::{Errno, errno, fd};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// The soft limit on open files, raised to the hard one while this lives.
#[derive(Debug)]
pub struct OpenFiles {
    soft: rlim_t,
    hard: rlim_t,
}

impl OpenFiles {
    /// Raises the soft limit. Descriptors above it stay usable when it is put back.
    pub fn raise() -> OpenFiles {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0));
        if soft < hard {
            // Raising it to the hard limit is always allowed.
            let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        }
        OpenFiles { soft, hard }
    }
}

impl Drop for OpenFiles {
    fn drop(&mut self) {
        if self.soft < self.hard {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, self.soft, self.hard);
        }
    }
}

/// The lowest `count` numbers from `base` upwards that were free when this process started.
pub fn choose(base: RawFd, count: usize, limit: &OpenFiles) -> Result<Vec<RawFd>, Error> {
    let numbers: Vec<RawFd> = (base..=RawFd::MAX).filter(|&n| fd::is_free(n)).take(count).collect();
    match numbers.last() {
        Some(&last) if last as rlim_t >= limit.hard => {
            let cause = format!(
                "numbers up to {last} are needed, and the hard limit on open files is {}",
                limit.hard
            );
            Err(Error::new("descriptors", "place", cause))
        }
        _ if numbers.len() < count => {
            Err(Error::new("descriptors", "place", "no number is left above the base"))
        }
        _ => Ok(numbers),
    }
}

/// Moves each descriptor to its number, where the command inherits it.
///
/// A number may be in use by a descriptor of the list that is yet to be moved:
/// that one steps aside first.
pub fn place(mut fds: Vec<Option<OwnedFd>>, numbers: &[RawFd]) -> Result<(), Errno> {
    // Which of the list sits on a number that another one wants.
    let mut at: BTreeMap<RawFd, usize> = BTreeMap::new();
    for (i, fd) in fds.iter().enumerate() {
        at.extend(fd.as_ref().map(|fd| (fd.as_raw_fd(), i)));
    }
    for (i, &number) in numbers.iter().enumerate() {
        let Some(fd) = fds[i].take() else { continue };
        if let Some(&other) = at.get(&number).filter(|&&other| other > i)
            && let Some(sitting) = fds[other].take()
        {
            let aside = sitting.try_clone().map_err(errno)?;
            at.insert(aside.as_raw_fd(), other);
            fds[other] = Some(aside);
        }
        fd::move_to(fd, number)?;
    }
    Ok(())
}
