//! Maps that tc sends to a socket (`tc filter … export PATH`), received as
//! `tc exec bpf import PATH` does, and checked.

pub mod senders;

use crate::error::{Cause, Error};
use crate::socket::bound::Bound;
use crate::socket::endpoint::{Endpoint, inherit};
use crate::text::{count, escape};
use crate::wait::Limit;
use crate::wait::Signals;
use crate::wire::tc::{Datagram, DeclaredMap, ENTRY, HEADER, TransferHeader};
use bpf_inherit::Errno;
use bpf_inherit::Map;
use bpf_inherit::Startup;
use bpf_inherit::scm::{self, MAX_FDS, Received};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{setsockopt, sockopt};
use senders::Senders;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

const IMPORT: &str = "import";

/// The socket of an import, as the command line names it.
#[derive(Debug)]
pub enum Address {
    /// A path to bind.
    Path(PathBuf),
    /// `fd:N`: an inherited socket, already bound, as by socket activation.
    Inherited(RawFd),
}

impl fmt::Display for Address {
    /// Escaped.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Address::Path(path) => f.write_str(&escape(path.as_os_str().as_bytes())),
            Address::Inherited(number) => write!(f, "fd:{number}"),
        }
    }
}

/// A socket that waits for one transfer.
#[derive(Debug)]
pub struct Import {
    label: Vec<u8>,
    socket: Endpoint,
    /// Whether the socket passed credentials before anything was queued, as far as is known.
    always_passed: bool,
    senders: Senders,
    header: Option<TransferHeader>,
    /// Each with its declared id.
    maps: Vec<(Map, u32)>,
}

impl Import {
    /// Binds the path, with the permission bits `mode`, or takes the inherited socket.
    pub fn open(
        address: &Address,
        mode: u32,
        senders: Senders,
        startup: &Startup,
    ) -> Result<Import, Error> {
        let label = match address {
            Address::Path(path) => path.as_os_str().as_bytes().to_vec(),
            Address::Inherited(_) => address.to_string().into(),
        };
        let (socket, always_passed) = match address {
            Address::Path(path) => (Endpoint::Bound(Bound::for_datagrams(path, mode)?), true),
            Address::Inherited(number) => {
                let fail = |cause| Error::new(&label, IMPORT, cause);
                let (socket, passed) = inherit(startup, *number).map_err(fail)?;
                (Endpoint::Inherited(socket), passed)
            }
        };
        Ok(Import { label, socket, always_passed, senders, header: None, maps: Vec::new() })
    }

    fn is_complete(&self) -> bool {
        let total = self.header.as_ref().map(|header| header.total as usize);
        total == Some(self.maps.len())
    }

    fn fail(&self, cause: impl Into<Cause>) -> Error {
        Error::new(&self.label, IMPORT, cause)
    }

    /// Receives one datagram, if one is queued. A malformed datagram is an error, and its file
    /// descriptors are closed. A datagram from a user that is not accepted is dropped, with a
    /// warning, before its contents are received.
    fn receive(&mut self, warn: &mut dyn FnMut(String)) -> Result<(), Error> {
        let Some(peeked) = self.unless_absent(scm::peek(self.socket.as_fd()))? else {
            return Ok(());
        };
        let sender = self.sender(&peeked);
        if !self.senders.accepts(sender) {
            let warning = self.senders.refuse(sender);
            warning.into_iter().for_each(|text| warn(format!("{}: {text}", escape(&self.label))));
            let discard =
                if peeked.control_truncated { scm::discard_hostile } else { scm::discard };
            return self.unless_absent(discard(self.socket.as_fd())).map(drop);
        }
        let mut payload = [0; HEADER + ENTRY * MAX_FDS];
        let message = scm::receive(self.socket.as_fd(), &mut payload);
        let Some(message) = self.unless_absent(message)? else { return Ok(()) };
        close_without_linger(&message.fds);
        if !self.senders.accepts(self.sender(&message)) {
            return Err(self.fail("another process receives from the socket as well"));
        }
        if message.payload_truncated {
            return Err(self.fail("a datagram longer than any that tc sends"));
        }
        if message.control_truncated {
            return Err(
                self.fail("file descriptors were lost: too many for the limit on open files")
            );
        }
        let datagram = Datagram::decode(&payload[..message.length], message.fds.len())
            .map_err(|e| self.fail(e.to_string()))?;
        if *self.header.get_or_insert_with(|| datagram.header.clone()) != datagram.header {
            return Err(self.fail("datagrams of two transfers"));
        }
        let (total, so_far) = (datagram.header.total as usize, self.maps.len() + message.fds.len());
        if so_far > total {
            return Err(
                self.fail(format!("{} received in a transfer of {total}", count(so_far, "map")))
            );
        }
        for (entry, fd) in datagram.entries.iter().zip(message.fds) {
            let place = format!("descriptor {} of {total}", self.maps.len() + 1);
            let map = check(entry, fd, &place).map_err(|cause| self.fail(cause))?;
            self.maps.push((map, entry.id));
        }
        Ok(())
    }

    /// The result of a system call on the socket; None if no datagram is queued.
    fn unless_absent<T>(&self, returned: Result<T, Errno>) -> Result<Option<T>, Error> {
        match returned {
            Ok(value) => Ok(Some(value)),
            Err(Errno::EAGAIN)
                if self.socket.is_shut_down().map_err(|errno| self.fail(errno))? =>
            {
                Err(self.fail("the socket was shut down for reading"))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(self.fail(errno)),
        }
    }

    /// The user who sent a message; None if it came without credentials.
    fn sender(&self, message: &Received) -> Option<u32> {
        // The pid is 0 if the sender is in another PID namespace, or unknown.
        let known = |&(pid, ..): &(u32, u32, u32)| pid != 0 || self.always_passed;
        message.credentials.filter(known).map(|(_, uid, _)| uid)
    }
}

/// Turns off SO_LINGER, which lets the sender delay the close of a socket that it has sent. Even a
/// datagram from an accepted user may contain such a socket by mistake.
fn close_without_linger(fds: &[OwnedFd]) {
    let off = libc::linger { l_onoff: 0, l_linger: 0 };
    for fd in fds {
        // ENOTSOCK for other file descriptors.
        let _ = setsockopt(fd, sockopt::Linger, &off);
    }
}

/// The map behind `fd`, if it has the properties that `entry` declares.
///
/// Flags are not compared, because the kernel sets additional ones for some types.
fn check(entry: &DeclaredMap, fd: OwnedFd, place: &str) -> Result<Map, Cause> {
    let map = Map::identify(fd)?
        .map_err(|other| format!("{place} is {}, not a map", other.with_article()))?;
    let info = map.info();
    for (what, declared, real) in [
        ("type", entry.map_type, info.map_type.0),
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

/// Waits until every transfer is complete, within the time limit or until a signal, and returns the
/// maps of each, with their declared ids.
pub fn receive_all(
    mut imports: Vec<Import>,
    limit: Limit,
    signals: &Signals,
    warn: &mut dyn FnMut(String),
) -> Result<Vec<Vec<(Map, u32)>>, Error> {
    while let Some(waiting) = imports.iter().find(|import| !import.is_complete()) {
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let incomplete = imports.iter().filter(|import| !import.is_complete());
        fds.extend(incomplete.map(|i| PollFd::new(i.socket.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, limit.remaining()) {
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(waiting.fail(errno)),
            Ok(_) => {}
        }
        if fds[0].any() == Some(true) {
            return Err(waiting.fail("ended by a signal"));
        }
        for import in imports.iter_mut().filter(|import| !import.is_complete()) {
            import.receive(warn)?;
        }
        // Checked even while datagrams keep arriving.
        if limit.is_over()
            && let Some(waiting) = imports.iter().find(|import| !import.is_complete())
        {
            return Err(waiting.fail(late(&limit, waiting)));
        }
    }
    Ok(imports.into_iter().map(|import| import.maps).collect())
}

fn late(limit: &Limit, import: &Import) -> String {
    let seconds = limit.text();
    match &import.header {
        Some(header) => {
            format!(
                "timed out after {seconds}: received {} of {} maps",
                import.maps.len(),
                header.total
            )
        }
        None => format!(
            "timed out after {seconds} (a tc built with libbpf does not send BTF maps, and reports no error)"
        ),
    }
}
