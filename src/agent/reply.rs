//! The packets of a reply, one at a time as the client receives them. None is longer than a packet
//! may be, and the time to make one is limited.

use super::RequestError;
use super::peer::Peer;
use super::policy::PermissionSet;
use super::service::Service;
use super::store::absent;
use super::stored::Handout;
use super::wait::Wait;
use crate::glob::matches;
use crate::text::quoted;
use crate::wire::agent::{Access, Record, Reply, Status};
use bpf_inherit::scm::MAX_FDS;
use std::time::Instant;

/// Bytes after which a packet is sent; one record more fits in any case.
const PACKET: usize = 32 << 10;

/// The rest of a reply.
#[derive(Debug)]
pub enum PendingReply {
    /// The visible names that match.
    List(List),
    /// Fds of these names.
    Get { names: Vec<Vec<u8>>, wanted: Access },
    /// Nothing, until it is checked whether the client may wait for the names.
    Check { wait: Wait, checked: usize },
    /// Nothing, until the wait is over.
    Wait(Wait),
    /// The records of these names.
    Records { names: Vec<Vec<u8>> },
    /// One packet.
    Whole(Reply),
}

/// The progress of a LIST.
#[derive(Clone, Debug)]
pub struct List {
    pub glob: Vec<u8>,
    pub layouts: bool,
    /// The last name that was examined.
    pub after: Option<Vec<u8>>,
    /// Those found since the last packet.
    pub found: Vec<Record>,
}

/// One packet of a reply, and the rest of the reply.
pub struct Packet<'a> {
    /// None if nothing is to be sent yet.
    pub reply: Option<Reply>,
    pub fds: Vec<Handout<'a>>,
    /// Lines for the log once the packet is sent.
    pub lines: Vec<String>,
    /// The rest of the reply once the packet is sent.
    pub next: Option<PendingReply>,
}

impl PendingReply {
    /// Whether its next packet has file descriptors.
    pub fn has_fds(&self) -> bool {
        matches!(self, PendingReply::Get { .. })
    }

    /// The operation of a reply that can fail.
    pub fn operation(&self) -> &'static str {
        if self.has_fds() { "get" } else { "wait for" }
    }
}

impl<'a> Packet<'a> {
    fn new(reply: Option<Reply>, next: Option<PendingReply>) -> Packet<'a> {
        Packet { reply, fds: Vec::new(), lines: Vec::new(), next }
    }

    /// Records of names, of which `rest` are to be sent by a reply that `next` makes.
    fn of_names(
        records: Vec<Record>,
        rest: &[Vec<u8>],
        next: impl FnOnce(Vec<Vec<u8>>) -> PendingReply,
    ) -> Packet<'a> {
        let next = (!rest.is_empty()).then(|| next(rest.to_vec()));
        Packet::new(Some(Reply::Records { records, more: next.is_some() }), next)
    }
}

impl Service {
    /// The record of a name, as `peer` may see it, with the object to which its pin refers now.
    pub fn record(&self, peer: &Peer, name: &[u8]) -> Option<Record> {
        let stored = self.store.get(name)?;
        let access = peer.granted(name).permissions.access();
        Some(self.store.look(name, stored, stored.access(access)))
    }

    /// The next packet of a reply, which is begun before `until`. An error ends the reply.
    pub fn packet(
        &self,
        peer: &Peer,
        reply: &PendingReply,
        until: Instant,
    ) -> Result<Packet<'_>, RequestError> {
        match reply {
            PendingReply::Whole(reply) => Ok(Packet::new(Some(reply.clone()), None)),
            PendingReply::List(list) => Ok(self.list(peer, list.clone(), until)),
            PendingReply::Get { names, wanted } => self.get(peer, names, *wanted, until),
            PendingReply::Check { wait, checked } => self.check(peer, wait, *checked, until),
            // The connection makes no packet of it.
            PendingReply::Wait(_) => Ok(Packet::new(None, None)),
            PendingReply::Records { names } => self.records(peer, names, until),
        }
    }

    /// The visible records alone determine the packets, which reveal nothing of hidden names.
    fn list(&self, peer: &Peer, mut list: List, until: Instant) -> Packet<'_> {
        let mut bytes: usize = list.found.iter().map(Record::encoded_len).sum();
        let mut last = None;
        let after = list.after.take();
        for (name, stored) in self.store.after(after.as_deref()) {
            let permissions = peer.granted(name).permissions;
            let is_seen = permissions.has(PermissionSet::LIST) && matches(&list.glob, name);
            let is_full = is_seen && bytes >= PACKET;
            if is_full || last.is_some() && Instant::now() >= until {
                list.after = last.or(after.as_deref()).map(<[u8]>::to_vec);
                let records = is_full.then(|| std::mem::take(&mut list.found));
                let reply = records.map(|records| Reply::Records { records, more: true });
                return Packet::new(reply, Some(PendingReply::List(list)));
            }
            if is_seen {
                let access = stored.access(permissions.access());
                let mut record = self.store.look(name, stored, access);
                if !list.layouts {
                    record.layout.clear();
                }
                bytes += record.encoded_len();
                list.found.push(record);
            }
            last = Some(name.as_slice());
        }
        Packet::new(Some(Reply::Records { records: list.found, more: false }), None)
    }

    /// Each name is decided here and nowhere else, and a file descriptor that the store does not keep
    /// is open until the packet is sent or dropped: clients that do not read hold none open.
    fn get(
        &self,
        peer: &Peer,
        names: &[Vec<u8>],
        wanted: Access,
        until: Instant,
    ) -> Result<Packet<'_>, RequestError> {
        let (mut records, mut fds, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        let room = self.in_flight.room(peer).min(MAX_FDS);
        for name in names.iter().take(room) {
            let is_late = bytes > 0 && !peer.is_trusted && Instant::now() >= until;
            if bytes >= PACKET || is_late {
                break;
            }
            let (record, fd, line) = self.grant(peer, name, wanted).map_err(|e| e.of(name))?;
            bytes += record.encoded_len();
            records.push(record);
            fds.push(fd);
            lines.extend(line);
        }
        let rest = &names[records.len()..];
        let packet = Packet::of_names(records, rest, |names| PendingReply::Get { names, wanted });
        Ok(Packet { fds, lines, ..packet })
    }

    /// Decides whether `peer` gets `name`: the record, an fd, and the line for the log, if granted
    /// requests are logged.
    fn grant(
        &self,
        peer: &Peer,
        name: &[u8],
        wanted: Access,
    ) -> Result<(Record, Handout<'_>, Option<String>), RequestError> {
        let granted = peer.granted(name);
        let allowed = wanted.and(granted.permissions.access());
        let refused = |reason: String| RequestError::new(Status::Refused, reason);
        // A client without any permission on the name does not learn whether the name exists.
        if allowed == Access::NONE {
            let missing =
                if wanted == Access::WRITE { PermissionSet::WRITE } else { PermissionSet::READ };
            return Err(refused(granted.refusal(peer.uid, missing, name)));
        }
        let stored = self.store.get(name).ok_or_else(|| absent(name))?;
        let access = stored.access(allowed);
        if access == Access::NONE {
            let (asked, bound) = (allowed.name(), stored.about.bound.name());
            let kind = stored.about.kind.short_name();
            let name = quoted(name);
            return Err(refused(match kind {
                "map" => format!("{name} was put with access {bound}, not {asked}"),
                _ => format!(
                    "{name} is a {kind}, which has no file descriptor with access {asked} alone"
                ),
            }));
        }
        let fd = self.store.hand_out(name, access)?;
        let record = self.store.record(name, stored, access);
        let line = || format!("get {}: granted {} by {granted}", quoted(name), access.name());
        let line = (!self.log.quiet).then(line);
        Ok((record, fd, line))
    }

    /// Whether `peer` may wait for these names, of which the first ones were `checked` before.
    fn check(
        &self,
        peer: &Peer,
        wait: &Wait,
        checked: usize,
        until: Instant,
    ) -> Result<Packet<'_>, RequestError> {
        for (at, name) in wait.names().iter().enumerate().skip(checked) {
            if at > checked && Instant::now() >= until {
                let next = PendingReply::Check { wait: wait.clone(), checked: at };
                return Ok(Packet::new(None, Some(next)));
            }
            self.demand(peer, name, PermissionSet::LIST)?;
        }
        Ok(Packet::new(None, Some(PendingReply::Wait(wait.clone()))))
    }

    fn records(
        &self,
        peer: &Peer,
        names: &[Vec<u8>],
        until: Instant,
    ) -> Result<Packet<'_>, RequestError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        for name in names {
            if bytes >= PACKET || bytes > 0 && Instant::now() >= until {
                break;
            }
            // The rules may have changed since the request arrived.
            if !peer.granted(name).permissions.has(PermissionSet::LIST) {
                let reason = format!("{}: not allowed any more", quoted(name));
                return Err(RequestError::new(Status::Refused, reason).of(name));
            }
            let record = self.record(peer, name).ok_or_else(|| absent(name))?;
            bytes += record.encoded_len();
            records.push(record);
        }
        let rest = &names[records.len()..];
        Ok(Packet::of_names(records, rest, |names| PendingReply::Records { names }))
    }
}
