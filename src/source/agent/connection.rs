//! A connection to an agent: packets out and in, within a time limit, until a signal comes.

use super::socket::private_path;
use crate::error::Cause;
use crate::socket::connect::{connect, is_trusted, open_file};
use crate::text::escape;
use crate::wait::{Limit, Signals};
use crate::wire::agent::MAX_PACKET;
use bpf_inherit::Errno;
use bpf_inherit::peer::credentials;
use bpf_inherit::scm::{self, Received};
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::sockopt::SendTimeout;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket};
use nix::sys::stat::{Mode, fstat};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::geteuid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// How long it is waited before an agent that is not there is looked for again.
const PAUSE: Duration = Duration::from_millis(50);

/// What bounds every wait for an agent.
#[derive(Clone, Copy)]
pub struct Bounds<'s> {
    pub limit: Limit,
    /// Signals that are held back, and are to end the wait: others end the process anyway.
    pub signals: Option<&'s Signals>,
}

/// Why nothing was sent or received.
#[derive(Debug)]
pub enum ConnectionError {
    /// The agent ended the connection, perhaps in the middle of a reply.
    Ended,
    /// There is nobody to connect to: perhaps not yet.
    Nobody(Cause),
    /// The agent does not accept fds from this client now.
    FdRefused,
    /// The time is over.
    Late,
    Other(Cause),
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

impl From<Errno> for ConnectionError {
    fn from(errno: Errno) -> ConnectionError {
        match errno {
            Errno::ECONNRESET | Errno::EPIPE => ConnectionError::Ended,
            errno => ConnectionError::Other(errno.into()),
        }
    }
}

/// A connected socket that does not block, and room for one packet.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    packet: Vec<u8>,
}

impl Connection {
    /// Connects to the agent that listens at `path`, which root does only if that is root's.
    ///
    /// Root uses the private socket of the agent if there is one: other users cannot connect to it,
    /// so they cause no delay.
    pub fn new(path: &Path, bounds: Bounds) -> Result<Connection, ConnectionError> {
        if path.as_os_str().is_empty() {
            return Err(ConnectionError::Other("the path is empty".into()));
        }
        let private = private_path(path);
        if geteuid().is_root()
            && let Some(file) = open_private(&private).transpose()
        {
            let connected = file.and_then(|file| Connection::connect(&file, true, bounds));
            return connected.map_err(|error| error.at(&private));
        }
        Connection::connect(&open_file(path).map_err(explain)?, false, bounds)
    }

    fn connect(
        file: &OwnedFd,
        is_private: bool,
        bounds: Bounds,
    ) -> Result<Connection, ConnectionError> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        loop {
            // While its queue is full, connecting waits in the kernel; only there it can be
            // bounded, since nothing tells poll(2) of a queue with room.
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
        fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Connection { socket, packet: vec![0; MAX_PACKET] })
    }

    /// Sends one packet with these descriptors.
    pub fn send(
        &self,
        bytes: &[u8],
        fds: &[BorrowedFd],
        bounds: Bounds,
    ) -> Result<(), ConnectionError> {
        loop {
            match scm::send(self.socket.as_fd(), bytes, fds) {
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLOUT, bounds)?,
                Err(Errno::EPERM) if !fds.is_empty() => return Err(ConnectionError::FdRefused),
                result => return Ok(result?),
            }
        }
    }

    /// Receives one packet, with at most `room` descriptors.
    pub fn receive(
        &mut self,
        room: usize,
        bounds: Bounds,
    ) -> Result<(&[u8], Vec<OwnedFd>), ConnectionError> {
        let received = loop {
            match scm::receive_at_most(self.socket.as_fd(), &mut self.packet, room) {
                Err(Errno::EAGAIN) => self.wait(PollFlags::POLLIN, bounds)?,
                Err(Errno::EINTR) => {}
                received => break received?,
            }
            // Also where packets never cease.
            bounds.check()?;
        };
        let Received { length, fds, payload_truncated, control_truncated, .. } = received;
        if payload_truncated {
            return Err(ConnectionError::Other(
                format!("a reply of more than {MAX_PACKET} bytes").into(),
            ));
        }
        if control_truncated && room == 0 {
            return Err(ConnectionError::Other(
                "a reply with descriptors, where none was asked for".into(),
            ));
        }
        if control_truncated {
            let cause = "descriptors were lost: too many for the limit on open files";
            return Err(ConnectionError::Other(cause.into()));
        }
        // The protocol has no empty packets: this is the end of the connection.
        if length == 0 { Err(ConnectionError::Ended) } else { Ok((&self.packet[..length], fds)) }
    }

    /// Waits until the socket is ready, or tells why it is not.
    fn wait(&self, events: PollFlags, bounds: Bounds) -> Result<(), ConnectionError> {
        let mut fds = vec![PollFd::new(self.socket.as_fd(), events)];
        fds.extend(bounds.signals.map(|signals| PollFd::new(signals.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, bounds.limit.remaining()) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if fds[0].any() == Some(true) { Ok(()) } else { bounds.check() }
    }
}

impl Bounds<'_> {
    /// An error if the time is over, or a signal has come.
    pub fn check(&self) -> Result<(), ConnectionError> {
        if self.limit.is_over() {
            return Err(ConnectionError::Late);
        }
        if self.signals.is_some_and(has_come) {
            return Err(ConnectionError::Other("ended by a signal".into()));
        }
        Ok(())
    }

    /// Lets some time pass before something is tried again; the same errors.
    pub fn pause(&self) -> Result<(), ConnectionError> {
        let mut fds: Vec<PollFd> = Vec::new();
        fds.extend(self.signals.map(|signals| PollFd::new(signals.as_fd(), PollFlags::POLLIN)));
        let pause = self.limit.left().map_or(PAUSE, |left| left.min(PAUSE));
        // Rounded up; that a signal cuts it short does no harm.
        let _ = poll(&mut fds, pause.as_millis() as u16 + 1);
        self.check()
    }
}

fn has_come(signals: &Signals) -> bool {
    let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, 0u8) == Ok(1)
}

/// How long connecting may wait before it is looked whether it should go on: for ever where
/// nothing can end it but a signal that ends the process.
fn slice(bounds: Bounds) -> TimeVal {
    const LOOK: Duration = Duration::from_millis(100);
    let left = match (bounds.limit.left(), bounds.signals) {
        (None, None) => return TimeVal::microseconds(0),
        (left, Some(_)) => left.unwrap_or(LOOK).min(LOOK),
        (Some(left), None) => left,
    };
    // Zero would be for ever; a day is as good as more.
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

/// Why nobody could be reached, as far as the kernel's answer tells it.
fn explain(errno: Errno) -> ConnectionError {
    match errno {
        Errno::ENOENT => ConnectionError::Nobody(errno.into()),
        // Also of a file that is no socket.
        Errno::ECONNREFUSED => ConnectionError::Nobody("nobody listens there".into()),
        Errno::EPROTOTYPE => ConnectionError::Other("not an agent's socket".into()),
        errno => ConnectionError::Other(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{Backlog, UnixAddr, bind, listen};
    use std::os::fd::AsRawFd;

    /// What cannot be had from outside without a race: nobody accepts, and the queue is full.
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
        let _first = Connection::new(&path, bounds(10_000)).unwrap();
        let second = Connection::new(&path, bounds(50));
        assert!(matches!(second, Err(ConnectionError::Late)), "{second:?}");
    }
}
