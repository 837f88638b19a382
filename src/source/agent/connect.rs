//! Connecting to an agent: at which socket, for how long, and whether its agent may be used.

use super::connection::{Bounds, Connection, ConnectionError};
use super::socket::private_path;
use crate::error::Cause;
use crate::socket::connect::{connect, is_trusted, open_file};
use crate::text::escape;
use bpf_inherit::Errno;
use bpf_inherit::peer::credentials;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::sockopt::SendTimeout;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket};
use nix::sys::stat::{Mode, fstat};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::geteuid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// Connects to the agent that listens at `path`, which root does only if that is root's.
///
/// Root uses the private socket of the agent if there is one: other users cannot connect to it,
/// so they cause no delay.
pub fn connect_to(path: &Path, bounds: Bounds) -> Result<Connection, ConnectionError> {
    if path.as_os_str().is_empty() {
        return Err(ConnectionError::Other("the path is empty".into()));
    }
    let private = private_path(path);
    if geteuid().is_root()
        && let Some(file) = open_private(&private).transpose()
    {
        let connected = file.and_then(|file| connect_file(&file, true, bounds));
        return connected.map_err(|error| error.at(&private));
    }
    connect_file(&open_file(path).map_err(explain)?, false, bounds)
}

fn connect_file(
    file: &OwnedFd,
    is_private: bool,
    bounds: Bounds,
) -> Result<Connection, ConnectionError> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    loop {
        // While the backlog is full, connect(2) waits in the kernel, and only SO_SNDTIMEO limits that:
        // poll(2) does not report a backlog with room.
        setsockopt(&socket, SendTimeout, &slice(bounds))?;
        match connect(&socket, file) {
            Ok(()) => break,
            Err(Errno::EAGAIN | Errno::EINTR) => bounds.check()?,
            Err(errno) => return Err(explain(errno)),
        }
    }
    let agent = check_agent(socket.as_fd())?;
    let owner = fstat(file)?.st_uid;
    if is_private && owner != 0 && owner != agent {
        let cause = format!("it belongs to uid {owner}, not to root or the agent's user");
        return Err(ConnectionError::Other(cause.into()));
    }
    Connection::new(socket)
}

impl ConnectionError {
    /// The error, with the path of a socket that the user did not name.
    fn at(self, path: &Path) -> ConnectionError {
        let cause = |cause: Cause| {
            let path = escape(path.as_os_str().as_bytes());
            Cause::from(format!("{path}: {cause}"))
        };
        match self {
            ConnectionError::Nobody(why) => ConnectionError::Nobody(cause(why)),
            ConnectionError::Other(why) => ConnectionError::Other(cause(why)),
            error => error,
        }
    }
}

/// How long connecting may wait before the limits are checked again: without a limit if only a
/// signal that ends the process can end it.
fn slice(bounds: Bounds) -> TimeVal {
    const LOOK: Duration = Duration::from_millis(100);
    let left = match (bounds.limit.left(), bounds.signals) {
        (None, None) => return TimeVal::microseconds(0),
        (left, Some(_)) => left.unwrap_or(LOOK).min(LOOK),
        (Some(left), None) => left,
    };
    // Zero means no limit, and a day is long enough.
    let left = left.clamp(Duration::from_micros(1), Duration::from_secs(86_400));
    TimeVal::microseconds(left.as_micros() as i64)
}

/// The file of a private socket; None if there is none. A symbolic link is not followed: its owner
/// would choose the agent.
fn open_private(path: &Path) -> Result<Option<OwnedFd>, ConnectionError> {
    match open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty()) {
        // A name that is too long, or below something else than a directory, cannot exist.
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG) => Ok(None),
        opened => opened.map(Some).map_err(explain),
    }
}

/// The uid of the agent. An error if this process is root and the agent is not: any user that can
/// bind a socket where root's tools look for an agent could send them any object under any name.
fn check_agent(socket: BorrowedFd) -> Result<u32, ConnectionError> {
    // The kernel reports the process that called listen(2).
    let (_, uid, _) = credentials(socket)?;
    if is_trusted(uid) {
        return Ok(uid);
    }
    let cause = format!("the agent runs as uid {uid}, which root does not trust");
    Err(ConnectionError::Other(cause.into()))
}

/// Why no agent could be connected to, as far as the kernel reports it.
fn explain(errno: Errno) -> ConnectionError {
    match errno {
        Errno::ENOENT => ConnectionError::Nobody(errno.into()),
        // Also for a file that is not a socket.
        Errno::ECONNREFUSED => ConnectionError::Nobody("no process listens there".into()),
        Errno::EPROTOTYPE => ConnectionError::Other("not an agent's socket".into()),
        errno => ConnectionError::Other(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::Limit;
    use nix::sys::socket::{Backlog, UnixAddr, bind, listen};
    use std::os::fd::AsRawFd;

    /// No process accepts, and the backlog is full. From outside, a test of this has a race.
    #[test]
    fn a_full_queue_is_waited_for_until_the_time_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let flags = SockFlag::SOCK_CLOEXEC;
        let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
        bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&listener, Backlog::new(0).unwrap()).unwrap();
        let bounds = |milliseconds| Bounds {
            limit: Limit::new(Some(Duration::from_millis(milliseconds))),
            signals: None,
        };
        let _first = connect_to(&path, bounds(10_000)).unwrap();
        let second = connect_to(&path, bounds(50));
        assert!(matches!(second, Err(ConnectionError::Late)), "{second:?}");
    }
}
