//! One connection: a request at a time, and its reply, as the client receives it.

mod receive;

use super::RequestError;
use super::foreign_fd::ForeignFds;
use super::peer::Peer;
use super::policy::Policy;
use super::quota::Charge;
use super::reply::{Packet, PendingReply};
use super::service::Service;
use super::wait::Wait;
use crate::wire::agent::{Operation, Status};
use bpf_inherit::{Errno, peer, scm};
use nix::sys::socket::{Shutdown, shutdown};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Fewer bytes than any packet takes of a socket's buffer. When the kernel reports that it is about
/// to free a packet, one byte of it still counts (sock_wfree of net/core/sock.c).
const LEAST_UNREAD: usize = 64;

/// A connection and the progress of its current request.
#[derive(Debug)]
pub struct PeerConnection {
    socket: OwnedFd,
    pub peer: Peer,
    /// The number of the current request.
    number: u32,
    reply: Option<PendingReply>,
    /// A PUT that a child is receiving.
    receiving: Option<Operation>,
    /// When the client last did something.
    active: Instant,
    /// The fds that were sent and that the client is not known to have received.
    unread: Vec<Charge>,
    /// The peer may attach fds to its messages.
    passes_rights: bool,
    /// The connection ends once the current reply is sent.
    is_closing: bool,
    /// The connection has ended, except that the client may still receive what was sent.
    lingers: bool,
    /// The next step needs room in flight, or a child that receives a PUT.
    pub is_starved: bool,
    charge: Charge,
}

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// The client is next: epoll reports what it does.
    Idle,
    /// There is more to do.
    Again,
    /// There is no room for fds in flight, or no child to receive a PUT.
    Starved,
    /// The connection is over.
    Over,
}

/// State that the steps of all connections share.
pub struct Shared<'a> {
    pub service: &'a mut Service,
    pub foreign: &'a mut ForeignFds,
    /// Where requests are received.
    pub buffer: &'a mut [u8],
    /// The agent is about to end: no client is waited for.
    pub ends: bool,
}

impl AsFd for PeerConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl PeerConnection {
    pub fn new(socket: OwnedFd, peer: Peer, charge: Charge) -> PeerConnection {
        // ENOPROTOOPT before Linux 6.16, where every peer may attach fds.
        let passes_rights = match peer.is_trusted {
            true => peer::pass_rights(socket.as_fd(), true).is_ok(),
            false => peer::passes_rights(socket.as_fd()),
        };
        PeerConnection {
            socket,
            peer,
            number: 0,
            reply: None,
            receiving: None,
            active: Instant::now(),
            unread: Vec::new(),
            passes_rights,
            is_closing: false,
            lingers: false,
            is_starved: false,
            charge,
        }
    }

    /// Selects the rules that apply to the peer again. If that fails, none applies. Whether the peer
    /// waits: a next step checks whether it still may, so that the end of the wait reveals nothing
    /// of a name that it may not list any more.
    pub fn apply(&mut self, policy: &Policy) -> bool {
        self.peer.apply(self.socket.as_fd(), policy);
        match self.reply.take() {
            Some(PendingReply::Wait(wait)) => {
                self.active = Instant::now();
                self.reply = Some(PendingReply::Check { wait, checked: 0 });
                true
            }
            reply => {
                self.reply = reply;
                false
            }
        }
    }

    /// Whether the connection needs something other than its socket to go on.
    pub fn is_waiting(&self) -> bool {
        self.wait().is_some() || self.is_starved
    }

    pub fn is_receiving(&self) -> bool {
        self.receiving.is_some()
    }

    pub fn wait(&self) -> Option<&Wait> {
        match &self.reply {
            Some(PendingReply::Wait(wait)) => Some(wait),
            _ => None,
        }
    }

    /// Whether requests are unanswered once the connection is shut down for reading.
    pub fn is_unanswered(&self) -> bool {
        self.wait().is_none() && !self.lingers
    }

    /// Makes one step: a request is received, or a packet is sent, before `until` if possible.
    pub fn step(&mut self, key: usize, shared: &mut Shared, until: Instant) -> Turn {
        self.settle();
        if self.lingers {
            return if self.is_all_read() { Turn::Over } else { Turn::Idle };
        }
        if self.receiving.is_some() {
            return Turn::Idle;
        }
        let Some(reply) = self.reply.take() else {
            if self.is_closing {
                return self.linger();
            }
            return self.receive(key, shared);
        };
        match reply {
            PendingReply::Wait(mut wait) => {
                let found = wait.found(&shared.service.store);
                self.reply = Some(match found {
                    Some(names) => PendingReply::Records { names },
                    None => PendingReply::Wait(wait),
                });
                if self.wait().is_some() { Turn::Idle } else { Turn::Again }
            }
            reply => self.send(shared, reply, until),
        }
    }

    /// Sends the next packet of a reply, and keeps the rest.
    fn send(&mut self, shared: &mut Shared, reply: PendingReply, until: Instant) -> Turn {
        let service = &mut *shared.service;
        // Checked before fds are opened. One packet with fds at a time, so that a client that does
        // not read has no more in flight.
        if reply.has_fds() && !self.unread.is_empty() && !shared.ends {
            self.reply = Some(reply);
            return Turn::Idle;
        }
        if reply.has_fds() && service.in_flight.room(&self.peer) == 0 {
            self.reply = Some(reply);
            return Turn::Starved;
        }
        let Packet { reply: packet, fds, lines, next } =
            match service.packet(&self.peer, &reply, until) {
                Ok(packet) => packet,
                Err(error) => return self.refuse(shared, reply.operation(), error),
            };
        let Some(packet) = packet else {
            self.reply = next;
            return Turn::Again;
        };
        let count = fds.len();
        let borrowed: Vec<BorrowedFd> = fds.iter().map(AsFd::as_fd).collect();
        let sent = scm::send(self.socket.as_fd(), &packet.encode(self.number), &borrowed);
        drop(fds);
        match sent {
            Ok(()) => {
                self.active = Instant::now();
                if count > 0 {
                    let uid = (!self.peer.is_trusted).then_some(self.peer.uid);
                    self.unread.push(service.in_flight.charge_always(uid, count));
                }
                for line in lines {
                    service.log.granted(&self.peer, line);
                }
                self.reply = next;
                Turn::Again
            }
            Err(Errno::EAGAIN) => {
                self.reply = Some(reply);
                Turn::Idle
            }
            // The kernel's own limit of fds in flight.
            Err(Errno::ETOOMANYREFS) => {
                self.reply = Some(reply);
                Turn::Starved
            }
            Err(_) => Turn::Over,
        }
    }

    fn is_all_read(&self) -> bool {
        peer::unread(self.as_fd()).is_ok_and(|bytes| bytes < LEAST_UNREAD)
    }

    /// Releases the quota of fds if the client has received all of them. Whether something was
    /// released.
    pub fn settle(&mut self) -> bool {
        let settles = !self.unread.is_empty() && self.is_all_read();
        if settles {
            self.unread.clear();
        }
        settles
    }

    /// Shuts the connection down, and keeps it until the client has received everything.
    fn linger(&mut self) -> Turn {
        (self.reply, self.is_starved, self.lingers) = (None, false, true);
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
        if self.is_all_read() { Turn::Over } else { Turn::Idle }
    }

    /// Ends the connection; false if it is kept, because the client has not received the fds that
    /// were sent: they still count against the quota, even if the client has closed its sending
    /// side.
    pub fn end(&mut self) -> bool {
        self.settle();
        if !self.unread.is_empty() {
            self.linger();
        }
        self.unread.is_empty()
    }

    /// Drops the connection. Requests that are queued are discarded, because the client would
    /// otherwise get ECONNRESET before the replies; those with fds of other users are left to a
    /// child.
    pub fn close(self, foreign: &mut ForeignFds) {
        // No more can arrive.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Read);
        while scm::peek_payload(self.as_fd(), &mut [0]).is_ok_and(|peeked| {
            peeked.length > 0 && (self.peer.is_trusted || !peeked.control_truncated)
        }) && scm::discard(self.as_fd()).is_ok()
        {}
        if !self.peer.is_trusted && self.passes_rights && self.has_queued() {
            foreign.discard(self.socket, self.charge);
        }
    }

    /// Whether any packet is queued.
    fn has_queued(&self) -> bool {
        // With SO_PASSCRED, this flag is set for every packet, even an empty one.
        let _ = peer::pass_credentials(self.as_fd());
        let peeked = scm::peek_payload(self.as_fd(), &mut []);
        peeked.is_ok_and(|peeked| peeked.control_truncated)
    }

    /// Ends the wait of a client whose time is over; true if it is.
    pub fn end_wait(&mut self, now: Instant) -> bool {
        let is_late = self.wait().is_some_and(|wait| wait.is_late(now));
        if is_late {
            let error = RequestError::new(Status::Late, "the time to wait is over");
            self.active = now;
            self.reply = Some(PendingReply::Whole(error.into()));
        }
        is_late
    }

    /// Whether the client has done nothing for a time. A client that waits is expected to be idle,
    /// and one that is starved cannot help it; fds in flight are kept until they are received.
    pub fn is_idle(&self, now: Instant, limit: Duration) -> bool {
        let may_be_idle = self.is_waiting() || self.is_receiving();
        let keeps_fds = self.lingers && !self.unread.is_empty();
        !may_be_idle && !keeps_fds && now.duration_since(self.active) >= limit
    }
}
