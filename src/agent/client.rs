//! One connection: a request at a time, and its answer, as the client takes it.

use super::Trouble;
use super::access::Peer;
use super::answer::Begun;
use super::packet::Answer;
use super::shared::Agent;
use crate::sys::{Errno, Result as SysResult, peer, scm};
use crate::wire::agent::{Malformed, Reply, Request, Status, number_of};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Requests that are answered before others get their turn.
const REQUESTS: usize = 64;
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
    /// It has closed its end. That is told once, and may be before what it asked is read.
    pub gone: bool,
}

/// A client that waits for names.
#[derive(Debug)]
pub struct Wait {
    names: Vec<Vec<u8>>,
    /// The place of one that was not there when it was last looked for.
    missing: usize,
    /// None for ever.
    pub until: Option<Instant>,
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
            gone: false,
        })
    }

    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Answers what can be answered now. `packet` is where requests are received.
    pub fn turn(&mut self, agent: &mut Agent, packet: &mut [u8]) -> Turn {
        self.settle(agent);
        for _ in 0..REQUESTS {
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
        // From a client that may not put anything no descriptor is taken.
        let room = usize::from(agent.access.may_put_something(&self.peer));
        let received = match scm::receive_at_most(self.socket.as_fd(), packet, room) {
            Err(Errno::EAGAIN) => return Turn::Idle,
            Err(Errno::EINTR) => return Turn::Again,
            // The end, or an empty packet, which is no request either.
            Ok(received) if received.length == 0 => return Turn::Over,
            Err(_) => return Turn::Over,
            Ok(received) => received,
        };
        self.active = Instant::now();
        let bytes = &packet[..received.length];
        self.number = number_of(bytes);
        let request = match received.payload_truncated {
            true => Err(format!("a request of more than {} bytes", packet.len())),
            false => Request::decode(bytes).map_err(|e| e.to_string()),
        };
        let begun = match request {
            Ok(request) => {
                let lost = received.control_truncated;
                agent.begin(&self.peer, &self.socket, request.operation, received.fds, lost)
            }
            Err(reason) => {
                let version =
                    Request::decode(bytes).is_err_and(|e| matches!(e, Malformed::Version(_)));
                let status = if version { Status::Version } else { Status::Malformed };
                agent.log.line(format_args!("request: {}: refused: {reason}", self.peer));
                Begun::Answer(Answer::Whole(Trouble::new(status, reason).into()))
            }
        };
        match begun {
            Begun::Answer(answer) => self.answer = Some(answer),
            Begun::Wait { names, milliseconds } => {
                let time = Duration::from_millis(milliseconds.into());
                let until = (milliseconds > 0).then(|| self.active.checked_add(time)).flatten();
                self.wait = Some(Wait { names, missing: 0, until });
                self.look(agent);
            }
        }
        Turn::Again
    }

    /// Sends the next packet of an answer, and keeps what is left of it.
    fn send(&mut self, agent: &mut Agent, answer: Answer) -> Turn {
        let packet = agent.packet(&self.peer, &answer);
        let Some(reply) = &packet.reply else {
            self.answer = answer.advance(packet.next);
            return Turn::Again;
        };
        let count = packet.fds.len();
        let fds: Vec<BorrowedFd> = packet.fds.iter().map(AsFd::as_fd).collect();
        let is_trusted = agent.access.is_trusted(&self.peer);
        // One packet with descriptors at a time, so that whoever does not read holds no more.
        let blocked = count > 0
            && (self.unread > 0 || agent.in_flight.room(self.peer.uid, is_trusted) < count);
        let bytes = reply.encode(self.number);
        let sent = match blocked {
            true => Err(Errno::ETOOMANYREFS),
            false => scm::send(self.socket.as_fd(), &bytes, &fds),
        };
        let next = packet.next;
        match sent {
            Ok(()) => {
                self.active = Instant::now();
                self.unread += count;
                agent.in_flight.add(self.peer.uid, count);
                self.answer = answer.advance(next);
                Turn::Again
            }
            Err(Errno::EAGAIN) => {
                self.answer = Some(answer);
                Turn::Idle
            }
            Err(Errno::ETOOMANYREFS) => {
                self.answer = Some(answer);
                if self.unread > 0 { Turn::Idle } else { Turn::Starved }
            }
            Err(_) => Turn::Over,
        }
    }

    /// Finds out whether what was sent has been received; true if it is now.
    pub fn settle(&mut self, agent: &mut Agent) -> bool {
        self.unread > 0
            && peer::unread(self.socket.as_fd()).is_ok_and(|bytes| bytes < LEAST_UNREAD)
            && self.release(agent)
    }

    /// What was sent to it is not in flight any more; false if there was nothing.
    pub fn release(&mut self, agent: &mut Agent) -> bool {
        let unread = std::mem::take(&mut self.unread);
        agent.in_flight.release(self.peer.uid, unread);
        unread > 0
    }

    /// Answers a client that waits, if what it waits for is there; true if so.
    pub fn look(&mut self, agent: &Agent) -> bool {
        let Some(wait) = &mut self.wait else { return false };
        // One at a time: a list of many names is not gone through at each that comes.
        let is_there = |name: &Vec<u8>| agent.store.get(name).is_some();
        if wait.names.get(wait.missing).is_some_and(|name| !is_there(name)) {
            return false;
        }
        if let Some(missing) = wait.names.iter().position(|name| !is_there(name)) {
            wait.missing = missing;
            return false;
        }
        let names = std::mem::take(&mut wait.names);
        self.end_wait(Answer::Tell { names, sent: 0 });
        true
    }

    /// Answers a client whose time to wait is over; true if it is.
    pub fn give_up(&mut self, now: Instant) -> bool {
        let late = |wait: &Wait| wait.until.is_some_and(|until| until <= now);
        if !self.wait.as_ref().is_some_and(late) {
            return false;
        }
        let reason = "the time to wait is over";
        let reply = Reply::from(Trouble::new(Status::Late, reason));
        self.end_wait(Answer::Whole(reply));
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
        self.wait.is_none() && !self.starved && now.duration_since(self.active) >= patience
    }
}
