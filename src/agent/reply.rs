//! The packets of a reply, one at a time as the client receives them. None is longer than a packet
//! may be, and the time to make one is limited.

use super::RequestError;
use super::glob::matches;
use super::log::quoted;
use super::peer::Peer;
use super::policy::Permissions;
use super::request::{Grant, Refusal};
use super::service::Service;
use super::store::absent;
use super::stored::Handout;
use super::wait::Wait;
use crate::wire::agent::{Access, Record, Reply, Status};
use bpf_inherit::scm::MAX_FDS;
use std::time::Instant;

/// Bytes after which a packet is sent; one record more fits in any case.
const PACKET: usize = 32 << 10;

/// What is yet to be sent to a client.
#[derive(Debug)]
pub enum PendingReply {
    /// The visible names after this one, or all, that match; and those found since the last packet.
    List { glob: Vec<u8>, layouts: bool, after: Option<Vec<u8>>, found: Vec<Record> },
    /// Those of these names that have not been sent, with file descriptors.
    Get { names: Vec<Vec<u8>>, wanted: Access, sent: usize },
    /// Nothing, until it is checked whether the client may wait for the names.
    Check { wait: Wait, checked: usize },
    /// Nothing, until the wait is over.
    Wait(Wait),
    /// Those of these names that have not been sent.
    Records { names: Vec<Vec<u8>>, sent: usize },
    /// One packet.
    Whole(Reply),
}

/// One packet of a reply, and the rest of the reply.
pub struct Packet<'a> {
    /// None if nothing is to be sent yet.
    pub reply: Option<Reply>,
    pub fds: Vec<Handout<'a>>,
    /// Lines for the log once the packet is sent.
    pub lines: Vec<String>,
    /// For [`PendingReply::advance`].
    pub next: Next,
}

/// The progress of a reply once a packet is sent.
pub enum Next {
    Searched { after: Vec<u8>, found: Vec<Record> },
    Sent(usize),
    End,
}

impl PendingReply {
    /// Whether its next packet has file descriptors.
    pub fn has_fds(&self) -> bool {
        matches!(self, PendingReply::Get { .. })
    }

    /// The rest of the reply once a packet is sent.
    pub fn advance(self, next: Next) -> Option<PendingReply> {
        match (self, next) {
            (PendingReply::List { glob, layouts, .. }, Next::Searched { after, found }) => {
                Some(PendingReply::List { glob, layouts, after: Some(after), found })
            }
            (PendingReply::Get { names, wanted, .. }, Next::Sent(sent)) => {
                Some(PendingReply::Get { names, wanted, sent })
            }
            (PendingReply::Records { names, .. }, Next::Sent(sent)) => {
                Some(PendingReply::Records { names, sent })
            }
            (PendingReply::Check { wait, .. }, Next::Sent(checked)) => {
                Some(PendingReply::Check { wait, checked })
            }
            (PendingReply::Check { wait, .. }, Next::End) => Some(PendingReply::Wait(wait)),
            _ => None,
        }
    }
}

impl<'a> Packet<'a> {
    fn new(reply: Option<Reply>, next: Next) -> Packet<'a> {
        Packet { reply, fds: Vec::new(), lines: Vec::new(), next }
    }

    /// Records of `names`, of which `sent` were sent before.
    fn of_names(names: &[Vec<u8>], sent: usize, records: Vec<Record>) -> Packet<'a> {
        let sent = sent + records.len();
        let more = sent < names.len();
        let next = if more { Next::Sent(sent) } else { Next::End };
        Packet::new(Some(Reply::Records { records, more }), next)
    }
}

impl Service {
    /// The record of a name, as `peer` may see it, with the object to which its pin refers now.
    pub fn record(&self, peer: &Peer, name: &[u8]) -> Option<Record> {
        let stored = self.store.get(name)?;
        let access = peer.granted(name).permissions.access();
        Some(self.store.look(name, stored, stored.access(access)))
    }

    /// The next packet of a reply, which is begun before `until`. An error ends the reply, which
    /// is to the operation named.
    pub fn packet(
        &self,
        peer: &Peer,
        reply: &PendingReply,
        until: Instant,
    ) -> Result<Packet<'_>, (&'static str, Refusal)> {
        match reply {
            PendingReply::Whole(reply) => Ok(Packet::new(Some(reply.clone()), Next::End)),
            PendingReply::List { glob, layouts, after, found } => {
                Ok(self.list(peer, glob, *layouts, after.as_deref(), found.clone(), until))
            }
            PendingReply::Get { names, wanted, sent } => {
                self.get(peer, names, *wanted, *sent, until).map_err(|refusal| ("get", refusal))
            }
            PendingReply::Check { wait, checked } => self
                .check(peer, wait.names(), *checked, until)
                .map_err(|refusal| ("wait for", refusal)),
            PendingReply::Wait(_) => Ok(Packet::new(None, Next::End)),
            PendingReply::Records { names, sent } => {
                self.records(peer, names, *sent, until).map_err(|refusal| ("wait for", refusal))
            }
        }
    }

    /// A packet is ended by the bytes of what `peer` may see, and by the end of the list: how many
    /// names are hidden makes no difference to the packets.
    fn list(
        &self,
        peer: &Peer,
        glob: &[u8],
        layouts: bool,
        after: Option<&[u8]>,
        mut found: Vec<Record>,
        until: Instant,
    ) -> Packet<'_> {
        let mut bytes: usize = found.iter().map(Record::encoded_len).sum();
        let mut last = None;
        for (name, stored) in self.store.after(after) {
            let permissions = peer.granted(name).permissions;
            let is_seen = permissions.has(Permissions::LIST) && matches(glob, name);
            let is_full = is_seen && bytes >= PACKET;
            if is_full || last.is_some() && Instant::now() >= until {
                let after = last.or(after).unwrap_or_default().to_vec();
                let (reply, found) = match is_full {
                    true => (Some(Reply::Records { records: found, more: true }), Vec::new()),
                    false => (None, found),
                };
                return Packet::new(reply, Next::Searched { after, found });
            }
            if is_seen {
                let access = stored.access(permissions.access());
                let mut record = self.store.look(name, stored, access);
                if !layouts {
                    record.layout.clear();
                }
                bytes += record.encoded_len();
                found.push(record);
            }
            last = Some(name.as_slice());
        }
        Packet::new(Some(Reply::Records { records: found, more: false }), Next::End)
    }

    /// Each name is decided here and nowhere else, and its file descriptor is open until the packet
    /// is sent or dropped: clients that do not read hold no file descriptors open.
    fn get(
        &self,
        peer: &Peer,
        names: &[Vec<u8>],
        wanted: Access,
        sent: usize,
        until: Instant,
    ) -> Result<Packet<'_>, Refusal> {
        let (mut records, mut fds, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        let room = self.in_flight.room(peer).min(MAX_FDS);
        for name in names[sent..].iter().take(room) {
            let is_late = bytes > 0 && !peer.is_trusted && Instant::now() >= until;
            if bytes >= PACKET || is_late {
                break;
            }
            let Grant { record, fd, line } =
                self.grant(peer, name, wanted).map_err(|error| Refusal::new(name, error))?;
            bytes += record.encoded_len();
            records.push(record);
            fds.push(fd);
            lines.extend(line);
        }
        Ok(Packet { fds, lines, ..Packet::of_names(names, sent, records) })
    }

    /// Whether `peer` may wait for these names.
    fn check(
        &self,
        peer: &Peer,
        names: &[Vec<u8>],
        checked: usize,
        until: Instant,
    ) -> Result<Packet<'_>, Refusal> {
        for (at, name) in names.iter().enumerate().skip(checked) {
            if at > checked && Instant::now() >= until {
                return Ok(Packet::new(None, Next::Sent(at)));
            }
            let checked = self.demand(peer, name, Permissions::LIST);
            checked.map_err(|error| Refusal::new(name, error))?;
        }
        Ok(Packet::new(None, Next::End))
    }

    fn records(
        &self,
        peer: &Peer,
        names: &[Vec<u8>],
        sent: usize,
        until: Instant,
    ) -> Result<Packet<'_>, Refusal> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        for name in &names[sent..] {
            if bytes >= PACKET || bytes > 0 && Instant::now() >= until {
                break;
            }
            // The rules may have changed since the request arrived.
            if !peer.granted(name).permissions.has(Permissions::LIST) {
                let reason = format!("{}: not allowed any more", quoted(name));
                return Err(Refusal::new(name, RequestError::new(Status::Refused, reason)));
            }
            let record = self.record(peer, name);
            let record = record.ok_or_else(|| Refusal::new(name, absent(name)))?;
            bytes += record.encoded_len();
            records.push(record);
        }
        Ok(Packet::of_names(names, sent, records))
    }
}
