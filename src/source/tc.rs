//! Maps that tc sends to a socket (`tc filter … export PATH`), received as
//! `tc exec bpf import PATH` does, and checked.

use super::Opened;
use super::limit::Limit;
use super::socket::{Bound, Signals};
use crate::error::{Cause, Error};
use crate::sys::Errno;
use crate::sys::elem::MapFd;
use crate::sys::scm::{self, MAX_FDS};
use crate::text::count;
use crate::wire::tc::{Datagram, ENTRY, Entry, HEADER, Header};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::SockType;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const IMPORT: &str = "import";

/// A socket that waits for one transfer.
#[derive(Debug)]
pub struct Import {
    path: PathBuf,
    bound: Bound,
    header: Option<Header>,
    maps: Vec<Opened>,
}

impl Import {
    /// Binds `path`; see [`Bound::new`].
    pub fn bind(path: &Path, mode: u32) -> Result<Import, Error> {
        let bound = Bound::new(path, SockType::Datagram, mode)?;
        Ok(Import { path: path.into(), bound, header: None, maps: Vec::new() })
    }

    fn is_complete(&self) -> bool {
        let total = self.header.as_ref().map(|header| header.total as usize);
        total == Some(self.maps.len())
    }

    fn fail(&self, cause: impl Into<Cause>) -> Error {
        Error::new(self.path.as_os_str().as_bytes(), IMPORT, cause)
    }

    /// Takes one datagram, if one is there. Anything wrong with it is an error,
    /// and drops what came with it.
    fn receive(&mut self) -> Result<(), Error> {
        let mut payload = [0; HEADER + ENTRY * MAX_FDS];
        let message = match scm::receive(self.bound.socket(), &mut payload) {
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
            message => message.map_err(|errno| self.fail(errno))?,
        };
        if message.payload_truncated {
            return Err(self.fail("a datagram longer than any that tc sends"));
        }
        if message.control_truncated {
            return Err(self.fail("descriptors were lost: too many for the limit on open files"));
        }
        let datagram = Datagram::decode(&payload[..message.length], message.fds.len())
            .map_err(|e| self.fail(e.to_string()))?;
        if *self.header.get_or_insert_with(|| datagram.header.clone()) != datagram.header {
            return Err(self.fail("datagrams of two transfers"));
        }
        let (total, so_far) = (datagram.header.total as usize, self.maps.len() + message.fds.len());
        if so_far > total {
            return Err(self.fail(format!("{} in a transfer of {total}", count(so_far, "map"))));
        }
        for (entry, fd) in datagram.entries.iter().zip(message.fds) {
            let place = format!("descriptor {} of {total}", self.maps.len() + 1);
            let map = check(entry, fd, &place).map_err(|cause| self.fail(cause))?;
            self.maps.push(Opened { declared: Some(entry.id), ..Opened::new(map) });
        }
        Ok(())
    }
}

/// The map behind `fd`, if it is the one that `entry` describes.
///
/// Flags are not compared: the kernel adds some of its own to certain types.
fn check(entry: &Entry, fd: OwnedFd, place: &str) -> Result<MapFd, Cause> {
    let map = MapFd::identify(fd)?
        .map_err(|other| format!("{place} is {}, not a map", other.describe()))?;
    let info = map.info();
    for (what, declared, real) in [
        ("type", entry.kind, info.kind),
        ("key size", entry.key_size, info.key_size),
        ("value size", entry.value_size, info.value_size),
        ("max entries", entry.max_entries, info.max_entries),
    ] {
        if declared != real {
            let cause = format!("map id {}: {what} declared as {declared}, but is {real}", info.id);
            return Err(cause.into());
        }
    }
    Ok(map)
}

/// Waits until every import has its whole transfer, and gives the maps of each.
/// All must come within the time limit; a signal ends the wait too.
pub fn receive_all(
    mut imports: Vec<Import>,
    limit: Limit,
    signals: &Signals,
) -> Result<Vec<Vec<Opened>>, Error> {
    while let Some(waiting) = imports.iter().find(|import| !import.is_complete()) {
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let incomplete = imports.iter().filter(|import| !import.is_complete());
        fds.extend(incomplete.map(|i| PollFd::new(i.bound.socket(), PollFlags::POLLIN)));
        match poll(&mut fds, limit.remaining()) {
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(waiting.fail(errno)),
            Ok(0) if limit.is_over() => return Err(waiting.fail(late(&limit, waiting))),
            Ok(_) => {}
        }
        if fds[0].any() == Some(true) {
            return Err(waiting.fail("ended by a signal"));
        }
        for import in imports.iter_mut().filter(|import| !import.is_complete()) {
            import.receive()?;
        }
    }
    Ok(imports.into_iter().map(|import| import.maps).collect())
}

fn late(limit: &Limit, import: &Import) -> String {
    let seconds = limit.text();
    match &import.header {
        Some(header) => {
            format!("{} of {} maps came within {seconds}", import.maps.len(), header.total)
        }
        None => format!(
            "nothing came within {seconds} (a tc built with libbpf sends no BTF maps, and does not say so)"
        ),
    }
}
