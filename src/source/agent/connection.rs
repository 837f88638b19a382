//! A connection to an agent: packets out and in, within a time limit, until a signal comes.

use crate::error::Cause;
use crate::wait::{Limit, Signals};
use crate::wire::agent::MAX_PACKET;
use bpf_inherit::Errno;
use bpf_inherit::scm::{self, Received};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, poll};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// How long it is waited before an agent that is not there is looked for again.
const PAUSE: Duration = Duration::from_millis(50);

/// The limits of every wait for an agent.
#[derive(Clone, Copy)]
pub struct Bounds<'s> {
    pub limit: Limit,
    /// Blocked signals that end the wait: others end the process anyway.
    pub signals: Option<&'s Signals>,
}

/// Why nothing was sent or received.
#[derive(Debug)]
pub enum ConnectionError {
    /// The agent ended the connection, perhaps in the middle of a reply.
    Ended,
    /// No agent listens, perhaps not yet.
    Nobody(Cause),
    /// The agent does not accept fds from this client now.
    FdRefused,
    /// The time is over.
    Late,
    Other(Cause),
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
    /// A connection over a connected socket, which no longer blocks.
    pub fn new(socket: OwnedFd) -> Result<Connection, ConnectionError> {
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
            // Also if packets never cease.
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
                "a reply with file descriptors that were not requested".into(),
            ));
        }
        if control_truncated {
            let cause = "descriptors were lost: too many for the limit on open files";
            return Err(ConnectionError::Other(cause.into()));
        }
        // The protocol has no empty packets: this is the end of the connection.
        if length == 0 { Err(ConnectionError::Ended) } else { Ok((&self.packet[..length], fds)) }
    }

    /// Waits until the socket is ready, or returns the reason why it is not.
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
