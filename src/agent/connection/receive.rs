//! Receiving the requests of a connection, and beginning their replies.

use super::{PeerConnection, Shared, Turn};
use crate::agent::RequestError;
use crate::agent::policy::PermissionSet;
use crate::agent::reply::PendingReply;
use crate::agent::request::verb;
use crate::agent::service::Service;
use crate::wire::agent::{AgentRequest, Operation, PacketError, Status, number_of};
use bpf_inherit::untrusted::Attached;
use bpf_inherit::{Errno, peer, scm};
use std::os::fd::AsFd;
use std::time::Instant;

impl PeerConnection {
    /// Receives a request: of a trusted peer with its fds, where the kernel drops those that do not
    /// fit; of another peer without any. With fds, such a request stays queued.
    pub(super) fn receive(&mut self, key: usize, shared: &mut Shared) -> Turn {
        let (socket, is_trusted) = (self.socket.as_fd(), self.peer.is_trusted);
        let is_peeked = self.passes_rights && !is_trusted;
        let received = match is_trusted {
            true => scm::receive(socket, shared.buffer),
            false if is_peeked => scm::peek_payload(socket, shared.buffer),
            false => scm::receive_at_most(socket, shared.buffer, 0),
        };
        let mut received = match received {
            Err(errno) => return turn_of(errno),
            // The end, or an empty packet, which is not a request either.
            Ok(received) if received.length == 0 => return Turn::Over,
            Ok(received) => received,
        };
        let has_fds = !is_trusted && received.control_truncated;
        if is_peeked && !has_fds && scm::discard(socket).is_err() {
            return Turn::Over;
        }
        let Some(operation) = self.decode(shared, received.length, received.payload_truncated)
        else {
            self.is_closing |= has_fds;
            return Turn::Again;
        };
        if has_fds {
            return self.receive_fds(key, shared, operation);
        }
        let attached = match (received.fds.pop(), received.fds.len()) {
            (None, _) if received.control_truncated => Attached::NotSent(Errno::EMFILE),
            (None, _) => Attached::None,
            (Some(fd), 0) if !received.control_truncated => Attached::Object(fd),
            _ => Attached::Several,
        };
        self.begin(shared, operation, attached)
    }

    /// Has a child receive the request that was peeked at, if its fd may be stored. Otherwise the
    /// request stays queued, and the connection is closed once the client has the reason.
    fn receive_fds(&mut self, key: usize, shared: &mut Shared, operation: Operation) -> Turn {
        if let Err(error) = shared.service.check_attached(&self.peer, &operation) {
            self.is_closing = true;
            return self.refuse(shared, verb(&operation), error);
        }
        if !shared.foreign.can_receive(self.peer.uid) {
            return Turn::Starved;
        }
        match shared.foreign.receive(self.socket.as_fd(), self.peer.uid, key) {
            Ok(()) => {
                self.receiving = Some(operation);
                Turn::Idle
            }
            Err(errno) => {
                self.is_closing = true;
                self.begin(shared, operation, Attached::NotSent(errno))
            }
        }
    }

    /// Carries out the PUT that a child has received.
    pub fn finish_put(&mut self, service: &mut Service, attached: Attached) {
        // The child may have left the message in the queue.
        self.is_closing |= matches!(attached, Attached::NotSent(_) | Attached::None);
        self.active = Instant::now();
        if let Some(operation) = self.receiving.take() {
            let socket = self.socket.as_fd();
            self.reply = Some(service.begin(&self.peer, socket, operation, attached));
        }
    }

    /// The operation of a request. If it is malformed, the reply is the reason.
    fn decode(
        &mut self,
        shared: &mut Shared,
        length: usize,
        is_truncated: bool,
    ) -> Option<Operation> {
        self.active = Instant::now();
        let bytes = &shared.buffer[..length.min(shared.buffer.len())];
        self.number = number_of(bytes);
        let request = match AgentRequest::decode(bytes) {
            Err(PacketError::Version(version)) => Err(PacketError::Version(version)),
            _ if is_truncated => Err(PacketError::TooLong(shared.buffer.len())),
            request => request,
        };
        let why = match request {
            Ok(request) => return Some(request.operation),
            Err(why) => why,
        };
        let is_version = matches!(why, PacketError::Version(_));
        let status = if is_version { Status::Version } else { Status::Malformed };
        let error = RequestError::new(status, why.to_string());
        self.refuse(shared, "request", error);
        None
    }

    pub(super) fn refuse(
        &mut self,
        shared: &mut Shared,
        operation: &str,
        error: RequestError,
    ) -> Turn {
        let socket = self.socket.as_fd();
        let reply = shared.service.refuse(&self.peer, socket, operation, error);
        self.reply = Some(PendingReply::Whole(reply));
        Turn::Again
    }

    fn begin(&mut self, shared: &mut Shared, operation: Operation, attached: Attached) -> Turn {
        if let Operation::Info { name } = &operation
            && !self.passes_rights
            && self.peer.granted(name).permissions.has(PermissionSet::PUT)
        {
            self.passes_rights = peer::pass_rights(self.as_fd(), true).is_ok();
        }
        let socket = self.socket.as_fd();
        self.reply = Some(shared.service.begin(&self.peer, socket, operation, attached));
        Turn::Again
    }
}

fn turn_of(errno: Errno) -> Turn {
    match errno {
        Errno::EAGAIN => Turn::Idle,
        Errno::EINTR => Turn::Again,
        _ => Turn::Over,
    }
}
