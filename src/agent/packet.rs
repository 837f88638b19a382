//! The packets of an answer, one at a time as the client takes them: none is longer than a
//! packet may be, and none takes long to make.

use super::Trouble;
use super::access::{Peer, Rights, matches};
use super::answer::{Grant, Refusal};
use super::shared::Agent;
use super::store::absent;
use super::stored::Handout;
use crate::text::quote;
use crate::wire::agent::{Mode, Record, Reply, Status};
use bpf_inherit::scm::MAX_FDS;

/// Bytes after which a packet is closed; one record more fits in any case.
const PACKET: usize = 32 << 10;
/// Objects of a list that are looked at in one go: others are served in between.
const LOOKS: usize = 64;

/// What is yet to be sent to a client.
#[derive(Debug)]
pub enum Answer {
    /// The visible names behind this one, or all, that match; and those found since the last
    /// packet.
    List { glob: Vec<u8>, after: Option<Vec<u8>>, found: Vec<Record> },
    /// Those of these names that have not been sent, with descriptors.
    Get { names: Vec<Vec<u8>>, wanted: Mode, sent: usize },
    /// Those of these names that have not been sent.
    Tell { names: Vec<Vec<u8>>, sent: usize },
    /// One packet.
    Whole(Reply),
}

/// One packet of an answer, and what is left of it.
pub struct Packet<'a> {
    /// None where nothing is to be sent yet.
    pub reply: Option<Reply>,
    pub fds: Vec<Handout<'a>>,
    /// Lines for the log once the packet is sent.
    pub lines: Vec<String>,
    /// For [`Answer::advance`].
    pub next: Next,
}

/// How far an answer is once a packet is sent.
pub enum Next {
    Looked { after: Vec<u8>, found: Vec<Record> },
    Sent(usize),
    End,
}

impl Answer {
    /// Whether its next packet is to carry descriptors.
    pub fn carries(&self) -> bool {
        matches!(self, Answer::Get { .. })
    }

    /// What is left once a packet is sent.
    pub fn advance(self, next: Next) -> Option<Answer> {
        match (self, next) {
            (Answer::List { glob, .. }, Next::Looked { after, found }) => {
                Some(Answer::List { glob, after: Some(after), found })
            }
            (Answer::Get { names, wanted, .. }, Next::Sent(sent)) => {
                Some(Answer::Get { names, wanted, sent })
            }
            (Answer::Tell { names, .. }, Next::Sent(sent)) => Some(Answer::Tell { names, sent }),
            _ => None,
        }
    }
}

impl<'a> Packet<'a> {
    fn last(reply: Reply) -> Packet<'a> {
        Packet { reply: Some(reply), fds: Vec::new(), lines: Vec::new(), next: Next::End }
    }

    /// Records of `names`, of which so many were sent before.
    fn of_names(names: &[Vec<u8>], sent: usize, records: Vec<Record>) -> Packet<'a> {
        let sent = sent + records.len();
        let more = sent < names.len();
        let next = if more { Next::Sent(sent) } else { Next::End };
        Packet { next, ..Packet::last(Reply::Records { records, more }) }
    }
}

impl Agent {
    /// The record of a name, as `peer` may see it, with what its pin leads to now.
    pub fn record(&self, peer: &Peer, name: &[u8]) -> Option<Record> {
        let stored = self.store.get(name)?;
        let mode = self.access.granted(peer, name).rights.mode();
        Some(self.store.look(name, stored, stored.access(mode)))
    }

    /// The next packet of an answer. An error ends the answer, which is to the operation named.
    pub fn packet(
        &self,
        peer: &Peer,
        answer: &Answer,
    ) -> Result<Packet<'_>, (&'static str, Refusal)> {
        match answer {
            Answer::Whole(reply) => Ok(Packet::last(reply.clone())),
            Answer::List { glob, after, found } => {
                Ok(self.list(peer, glob, after.as_deref(), found.clone()))
            }
            Answer::Get { names, wanted, sent } => {
                self.get(peer, names, *wanted, *sent).map_err(|refusal| ("get", refusal))
            }
            Answer::Tell { names, sent } => {
                self.tell(peer, names, *sent).map_err(|refusal| ("wait for", refusal))
            }
        }
    }

    /// A packet is closed by the bytes of what `peer` may see, and by the end, alone: how much
    /// there is that it may not see makes no difference to the packets.
    fn list(
        &self,
        peer: &Peer,
        glob: &[u8],
        after: Option<&[u8]>,
        mut found: Vec<Record>,
    ) -> Packet<'_> {
        let mut bytes: usize = found.iter().map(Record::encoded_len).sum();
        let mut last = None;
        for (looks, (name, stored)) in self.store.after(after).enumerate() {
            let rights = self.access.granted(peer, name).rights;
            let is_seen = rights.has(Rights::LIST) && matches(glob, name);
            let full = is_seen && bytes >= PACKET;
            if full || looks >= LOOKS {
                let after = last.or(after).unwrap_or_default().to_vec();
                let (reply, found) = match full {
                    true => (Some(Reply::Records { records: found, more: true }), Vec::new()),
                    false => (None, found),
                };
                let next = Next::Looked { after, found };
                return Packet { reply, fds: Vec::new(), lines: Vec::new(), next };
            }
            if is_seen {
                let access = stored.access(rights.mode());
                let record = self.store.look(name, stored, access);
                bytes += record.encoded_len();
                found.push(record);
            }
            last = Some(name.as_slice());
        }
        Packet::last(Reply::Records { records: found, more: false })
    }

    /// Each name is decided here and nowhere else, and its descriptor is open until the packet
    /// is sent or dropped: no client holds descriptors open by not reading.
    fn get(
        &self,
        peer: &Peer,
        names: &[Vec<u8>],
        wanted: Mode,
        sent: usize,
    ) -> Result<Packet<'_>, Refusal> {
        let (mut records, mut fds, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        let room = self.in_flight.room(peer.uid, self.access.is_trusted(peer)).min(MAX_FDS);
        for name in names[sent..].iter().take(room) {
            if bytes >= PACKET {
                break;
            }
            let Grant { record, fd, line } =
                self.grant(peer, name, wanted).map_err(|trouble| (quote(name), trouble))?;
            bytes += record.encoded_len();
            records.push(record);
            fds.push(fd);
            lines.extend(line);
        }
        Ok(Packet { fds, lines, ..Packet::of_names(names, sent, records) })
    }

    fn tell(&self, peer: &Peer, names: &[Vec<u8>], sent: usize) -> Result<Packet<'_>, Refusal> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        for name in &names[sent..] {
            if bytes >= PACKET {
                break;
            }
            let refusal = |trouble| (quote(name), trouble);
            if !self.access.granted(peer, name).rights.has(Rights::LIST) {
                return Err(refusal(not_any_more(name)));
            }
            let record = self.record(peer, name).ok_or_else(|| refusal(absent(name)))?;
            bytes += record.encoded_len();
            records.push(record);
        }
        Ok(Packet::of_names(names, sent, records))
    }
}

/// The rules have changed since the request came.
fn not_any_more(name: &[u8]) -> Trouble {
    Trouble::new(Status::Refused, format!("{}: not allowed any more", quote(name)))
}
