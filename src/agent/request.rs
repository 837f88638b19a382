//! A request is decided: it is refused, carried out, or becomes a reply of several packets.

use super::RequestError;
use super::peer::Peer;
use super::policy::PermissionSet;
use super::reply::{List, PendingReply};
use super::service::Service;
use super::store::{Incoming, absent};
use super::wait::Wait;
use crate::text::{count, quoted};
use crate::wire::agent::{MAX_NAME, Operation, Record, Reply, Status};
use bpf_inherit::describe;
use bpf_inherit::object::Object;
use bpf_inherit::untrusted::Attached;
use std::os::fd::BorrowedFd;

/// Bytes of the longest glob that makes sense: a star before each byte of a name, and one after it.
const MAX_GLOB: usize = 2 * MAX_NAME + 1;

impl Service {
    /// Decides a request. `attached` are the file descriptors that came with it.
    pub fn begin(
        &mut self,
        peer: &Peer,
        socket: BorrowedFd,
        operation: Operation,
        attached: Attached,
    ) -> PendingReply {
        let verb = verb(&operation);
        match self.decide(peer, operation, attached) {
            Ok(reply) => reply,
            Err(refusal) => PendingReply::Whole(self.refuse(peer, socket, verb, refusal)),
        }
    }

    /// Decides whether the file descriptor of a request is to be received at all.
    pub fn check_attached(&self, peer: &Peer, operation: &Operation) -> Result<(), RequestError> {
        match operation {
            Operation::Put { name, replace, .. } => {
                self.demand(peer, name, put_permissions(*replace))
            }
            _ => Err(unexpected_fd()),
        }
    }

    fn decide(
        &mut self,
        peer: &Peer,
        operation: Operation,
        attached: Attached,
    ) -> Result<PendingReply, RequestError> {
        if !matches!((&operation, &attached), (Operation::Put { .. }, _) | (_, Attached::None)) {
            return Err(unexpected_fd());
        }
        match operation {
            Operation::List { glob, .. } if glob.len() > MAX_GLOB => {
                let length = count(glob.len(), "byte");
                let reason = format!("a glob of {length}, longer than {MAX_GLOB}");
                Err(RequestError::new(Status::Malformed, reason))
            }
            Operation::List { glob, layouts } => {
                let glob = if glob.is_empty() { b"*".to_vec() } else { glob };
                let line = format_args!("list {}: granted what it may see", quoted(&glob));
                self.log.granted(peer, line);
                Ok(PendingReply::List(List { glob, layouts, after: None, found: Vec::new() }))
            }
            // Decided packet by packet, when a packet can be sent.
            Operation::Get { names, wanted } => Ok(PendingReply::Get { names, wanted }),
            Operation::Wait { names, milliseconds } => {
                Ok(PendingReply::Check { wait: Wait::new(names, milliseconds), checked: 0 })
            }
            Operation::WaitChange { name, id, milliseconds } => {
                let wait = Wait::for_change(name, id, milliseconds);
                Ok(PendingReply::Check { wait, checked: 0 })
            }
            Operation::Info { name } => self.info(peer, &name),
            Operation::Remove { ref name } => self.remove(peer, name).map_err(|e| e.of(name)),
            Operation::Put { ref name, layout, replace } => {
                self.put(peer, name, layout, replace, attached).map_err(|e| e.of(name))
            }
        }
    }

    fn info(&mut self, peer: &Peer, name: &[u8]) -> Result<PendingReply, RequestError> {
        self.demand(peer, name, PermissionSet::LIST)?;
        let record = self.record(peer, name).ok_or_else(|| absent(name))?;
        self.log.granted(peer, format_args!("info {}: granted", quoted(name)));
        Ok(whole(vec![record]))
    }

    fn remove(&mut self, peer: &Peer, name: &[u8]) -> Result<PendingReply, RequestError> {
        self.demand(peer, name, PermissionSet::REMOVE)?;
        self.store.remove(name)?;
        self.has_news = true;
        self.report(peer, format_args!("remove {}: removed", quoted(name)));
        Ok(whole(Vec::new()))
    }

    fn put(
        &mut self,
        peer: &Peer,
        name: &[u8],
        layout: Vec<u8>,
        replace: bool,
        attached: Attached,
    ) -> Result<PendingReply, RequestError> {
        // Again: the rules may have changed since the message was received.
        self.demand(peer, name, put_permissions(replace))?;
        let object = identify(attached)?;
        let may_list = peer.granted(name).permissions.has(PermissionSet::LIST);
        let incoming = Incoming { object, layout, replace, peer, may_list };
        let is_new = self.store.put(name, incoming)?;
        self.has_news |= is_new;
        let record = self.record(peer, name).into_iter().collect::<Vec<_>>();
        if let Some(Record { kind, id, bound, .. }) = record.first() {
            let (kind, bound) = (kind.short_name(), bound.name());
            let same = if is_new { "" } else { ", unchanged" };
            self.report(peer, format!("put {}: stored {kind} {id} {bound}{same}", quoted(name)));
        }
        Ok(whole(record))
    }
}

fn put_permissions(replace: bool) -> PermissionSet {
    if replace { PermissionSet::PUT.or(PermissionSet::REMOVE) } else { PermissionSet::PUT }
}

fn whole(records: Vec<Record>) -> PendingReply {
    PendingReply::Whole(Reply::Records { records, more: false })
}

fn unexpected_fd() -> RequestError {
    let reason = "this operation takes no file descriptor, and one was attached";
    RequestError::new(Status::Malformed, reason)
}

/// The object of a PUT.
fn identify(attached: Attached) -> Result<Object, RequestError> {
    let unfit = |reason: &str| RequestError::new(Status::Unfit, reason);
    let failed = |errno| RequestError::new(Status::Failed, describe(errno));
    let not_object = |what: &str| unfit(&format!("{what}, not a BPF object"));
    match attached {
        Attached::None => Err(unfit("no file descriptor was attached")),
        Attached::Several => Err(unfit("more than one file descriptor was attached")),
        Attached::Other(kind) => Err(not_object(kind.with_article())),
        Attached::NotSent(errno) => Err(failed(errno)),
        Attached::Object(fd) => {
            let object = Object::identify(fd).map_err(failed)?;
            object.map_err(|other| not_object(other.with_article()))
        }
    }
}

pub fn verb(operation: &Operation) -> &'static str {
    match operation {
        Operation::List { .. } => "list",
        Operation::Get { .. } => "get",
        Operation::Put { .. } => "put",
        Operation::Remove { .. } => "remove",
        Operation::Info { .. } => "info",
        Operation::Wait { .. } | Operation::WaitChange { .. } => "wait for",
    }
}
