//! One connection: a request at a time, and its answer, as the client takes it.

use super::Trouble;
use super::access::Peer;
use super::answer::Begun;
use super::packet::{Answer, Packet};
use super::shared::Agent;
use super::wait::Wait;
use crate::wire::agent::{Malformed, Request, Status, number_of};
use bpf_inherit::{Errno, Result as SysResult, peer, scm};
use nix::sys::socket::{Shutdown, shutdown};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a client has its turn, if it has more to do: others wait meanwhile.
const TURN: Duration = Duration::from_millis(5);
/// Packets that are read of a connection that ends: more than fit in a socket's buffer.
const LEFT_OVER: usize = 4096;
/// Fewer bytes than any packet takes of a socket's buffer. The kernel tells of the room that it
/// is about to free with one byte of it still counted (sock_wfree of net/core/sock.c).
const LEAST_UNREAD: usize = 64;

/// A client, and how far it is.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    pub peer: Peer,
    /// The number of the request that is being answered.
    number: u32,
    answer: Option<Answer>,
    pub wait: Option<Wait>,
    /// When it last did something.
    active: Instant,
    /// Descriptors sent that it is not known to have received.
    unread: usize,
    /// It is to go on once others have received theirs.
    pub starved: bool,
    /// Its connection is over for us, and what it has not received counts until it has.
    pub lingers: bool,
}

/// How a client's turn ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is to act next: its socket tells when.
    Idle,
    /// There is more to do.
    Again,
    /// There is no room for more descriptors in flight.
    Starved,
    /// The connection is over.
    Over,
}

impl Client {
    /// A client that has just connected.
    pub fn new(socket: OwnedFd) -> SysResult<Client> {
        let (pid, uid, gid) = peer::credentials(socket.as_fd())?;
        let groups = peer::groups(socket.as_fd())?;
        let peer = Peer { uid, gid, pid, groups };
        let active = Instant::now();
        Ok(Client {
            socket,
            peer,
            number: 0,
            answer: None,
            wait: None,
            active,
            unread: 0,
            starved: false,
            lingers: false,
        })
    }

    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether it waits for something other than its socket.
    pub fn waits(&self) -> bool {
        self.wait.is_some() || self.starved
    }

    /// Answers what can be answered now. `packet` is where requests are received.
    pub fn turn(&mut self, agent: &mut Agent, packet: &mut [u8]) -> Turn {
        self.settle(agent);
        if self.lingers {
            return if self.unread == 0 { Turn::Over } else { Turn::Idle };
        }
        let start = Instant::now();
        while start.elapsed() < TURN {
            if let Some(answer) = self.answer.take() {
                match self.send(agent, answer) {
                    Turn::Again => {}
                    turn => return turn,
                }
            } else if self.wait.is_some() {
                return Turn::Idle;
            } else {
                match self.receive(agent, packet) {
                    Turn::Again => {}
                    turn => return turn,
                }
            }
        }
        Turn::Again
    }

    /// Takes up one request, if one has come.
    fn receive(&mut self, agent: &mut Agent, packet: &mut [u8]) -> Turn {
        // All descriptors are taken: those that are not, the kernel would close here.
        let mut received = match scm::receive(self.socket.as_fd(), packet) {
            Err(Errno::EAGAIN) => return Turn::Idle,
            Err(Errno::EINTR) => return Turn::Again,
            Err(_) => return Turn::Over,
            Ok(received) => received,
        };
        let turn = self.take_up(agent, packet, &mut received);
        agent.closer.close(self.peer.uid, received.fds);
        turn
    }

    /// Takes up what was received. Descriptors that are not stored stay with it.
    fn take_up(&mut self, agent: &mut Agent, packet: &[u8], received: &mut scm::Received) -> Turn {
        // The end, or an empty packet, which is no request either; or one who keeps those busy
        // that close what it sent.
        if received.length == 0 || agent.closer.is_behind(self.peer.uid) {
            return Turn::Over;
        }
        self.active = Instant::now();
        let bytes = &packet[..received.length];
        self.number = number_of(bytes);
        let request = match Request::decode(bytes) {
            Err(Malformed::Version(version)) => Err(Malformed::Version(version)),
            _ if received.payload_truncated => Err(Malformed::TooLong(packet.len())),
            request => request,
        };
        let begun = match request {
            Ok(request) => {
                let lost = received.control_truncated;
                let fds = &mut received.fds;
                agent.begin(&self.peer, &self.socket, request.operation, fds, lost)
            }
            Err(why) => {
                let is_version = matches!(why, Malformed::Version(_));
                let status = if is_version { Status::Version } else { Status::Malformed };
                agent.log.line(format_args!("request: {}: refused: {why}", self.peer));
                Begun::Answer(Answer::Whole(Trouble::new(status, why.to_string()).into()))
            }
        };
        match begun {
            Begun::Answer(answer) => self.answer = Some(answer),
            Begun::Wait { names, milliseconds } => {
                self.wait = Some(Wait::new(names, milliseconds, self.active));
                self.look(agent);
            }
        }
        Turn::Again
    }

    /// Sends the next packet of an answer, and keeps what is left of it.
    fn send(&mut self, agent: &mut Agent, answer: Answer) -> Turn {
        // Asked before descriptors are opened. One packet with descriptors at a time, so that
        // whoever does not read holds no more.
        let is_trusted = agent.access.is_trusted(&self.peer);
        if answer.carries() && self.unread > 0 && !agent.ends {
            self.answer = Some(answer);
            return Turn::Idle;
        }
        if answer.carries() && agent.in_flight.room(self.peer.uid, is_trusted) == 0 {
            self.answer = Some(answer);
            return Turn::Starved;
        }
        let Packet { reply, fds, lines, next } = match agent.packet(&self.peer, &answer) {
            Ok(packet) => packet,
            Err((verb, refusal)) => {
                self.answer = Some(agent.refuse(&self.peer, &self.socket, verb, refusal));
                return Turn::Again;
            }
        };
        let Some(reply) = reply else {
            self.answer = answer.advance(next);
            return Turn::Again;
        };
        let count = fds.len();
        let borrowed: Vec<BorrowedFd> = fds.iter().map(AsFd::as_fd).collect();
        let sent = scm::send(self.socket.as_fd(), &reply.encode(self.number), &borrowed);
        drop(fds);
        match sent {
            Ok(()) => {
                self.active = Instant::now();
                self.unread += count;
                agent.in_flight.add(self.peer.uid, count);
                lines.iter().for_each(|line| agent.log.granted(line));
                self.answer = answer.advance(next);
                Turn::Again
            }
            Err(Errno::EAGAIN) => {
                self.answer = Some(answer);
                Turn::Idle
            }
            // The kernel's own limit.
            Err(Errno::ETOOMANYREFS) => {
                self.answer = Some(answer);
                Turn::Starved
            }
            Err(_) => Turn::Over,
        }
    }

    /// Whether all descriptors sent to it have been received since the last call: then they do not
    /// count against the limits any more.
    pub fn settle(&mut self, agent: &mut Agent) -> bool {
        let is_read = |bytes| bytes < LEAST_UNREAD;
        if self.unread == 0 || !peer::unread(self.socket.as_fd()).is_ok_and(is_read) {
            return false;
        }
        agent.in_flight.release(self.peer.uid, std::mem::take(&mut self.unread));
        true
    }

    /// Ends the connection; false if it has to linger, because descriptors that were sent have not
    /// been received and still count against the limits.
    pub fn end(&mut self, agent: &mut Agent, packet: &mut [u8]) -> bool {
        self.settle(agent);
        // A half-closed peer may still hold the descriptors queued to it.
        self.lingers = self.unread > 0;
        if self.lingers {
            (self.answer, self.wait, self.starved) = (None, None, false);
            let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Read);
        } else {
            self.empty(agent, packet);
        }
        !self.lingers
    }

    /// Receives the requests that are left. Otherwise the kernel would close their descriptors
    /// together with the socket, and the client would get ECONNRESET before the replies that it
    /// has not read.
    pub fn empty(&self, agent: &mut Agent, packet: &mut [u8]) {
        // A packet has credentials then, even an empty one; the end of the connection has none.
        let _ = peer::pass_credentials(self.socket.as_fd());
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Read);
        for _ in 0..LEFT_OVER {
            match scm::receive(self.socket.as_fd(), packet) {
                Ok(left) if left.credentials.is_some() => {
                    agent.closer.close(self.peer.uid, left.fds);
                }
                _ => return,
            }
        }
    }

    /// Answers a client that waits, if what it waits for is there; true if so.
    pub fn look(&mut self, agent: &Agent) -> bool {
        let Some(names) = self.wait.as_mut().and_then(|wait| wait.found(&agent.store)) else {
            return false;
        };
        self.end_wait(Answer::Tell { names, sent: 0 });
        true
    }

    /// Answers a client whose time to wait is over; true if it is.
    pub fn give_up(&mut self, now: Instant) -> bool {
        if !self.wait.as_ref().is_some_and(|wait| wait.is_late(now)) {
            return false;
        }
        let trouble = Trouble::new(Status::Late, "the time to wait is over");
        self.end_wait(Answer::Whole(trouble.into()));
        true
    }

    fn end_wait(&mut self, answer: Answer) {
        self.wait = None;
        self.active = Instant::now();
        self.answer = Some(answer);
    }

    /// Whether it has done nothing for longer than `patience`. Who waits is to be idle, and who
    /// is kept waiting by others is not to blame.
    pub fn dawdles(&self, now: Instant, patience: Duration) -> bool {
        self.wait.is_none()
            && !self.starved
            && !self.lingers
            && now.duration_since(self.active) >= patience
    }
}
