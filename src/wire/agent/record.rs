//! The record of one stored object in a reply.

use super::bytes::{PacketReader, push_string};
use super::packet::{Access, PacketError, check_name};
use bpf_inherit::ObjectKind;

/// The kinds of objects, at the number that a packet has for each.
const KINDS: [(u8, ObjectKind); 3] =
    [(1, ObjectKind::Map), (2, ObjectKind::Program), (3, ObjectKind::Link)];

fn kind_from_byte(byte: u8) -> Option<ObjectKind> {
    Some(KINDS.iter().find(|(number, _)| *number == byte)?.1)
}

fn kind_to_byte(kind: ObjectKind) -> u8 {
    KINDS.iter().find(|(_, known)| *known == kind).map_or(0, |(number, _)| *number)
}

/// How an object is kept, and whether its pin still refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PinState {
    /// By the agent's fd alone: it is released when the agent ends.
    Memory = 0,
    /// By a pin too.
    Pinned = 1,
    /// Its pin refers to another object.
    Changed = 3,
    /// Its pin is missing, or cannot be opened.
    Gone = 4,
}

impl PinState {
    fn from_byte(byte: u8) -> Option<PinState> {
        use PinState::*;
        [Memory, Pinned, Changed, Gone].into_iter().find(|state| *state as u8 == byte)
    }

    pub fn name(self) -> &'static str {
        match self {
            PinState::Memory => "memory",
            PinState::Pinned => "pinned",
            PinState::Changed => "changed",
            PinState::Gone => "gone",
        }
    }
}

/// One stored object: 52 bytes, its name and its layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub kind: ObjectKind,
    /// The access of the attached fd, or of one that the client could get.
    pub access: Access,
    /// The access of the fd that was put: more is never handed out.
    pub bound: Access,
    pub state: PinState,
    /// The kernel's id.
    pub id: u32,
    /// The id that its pin refers to now; 0 for none.
    pub pin_id: u32,
    /// `enum bpf_map_type`, `bpf_prog_type` or `bpf_link_type`.
    pub object_type: u32,
    /// For a map: bytes of a key, bytes of a value, entries and flags. For a link: first the id of
    /// its program.
    pub details: [u32; 4],
    /// The peer that put it, as the kernel reported it.
    pub uid: u32,
    pub gid: u32,
    pub pid: u32,
    /// The time of the PUT, in seconds since 1970.
    pub time: u64,
    pub name: Vec<u8>,
    /// `KEY -> VALUE`, as the client that put it declared; empty if it declared none.
    pub layout: Vec<u8>,
}

impl Record {
    /// Bytes that it takes in a packet.
    pub fn encoded_len(&self) -> usize {
        52 + 4 + self.name.len() + 4 + self.layout.len()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend([
            kind_to_byte(self.kind),
            self.access.bits(),
            self.bound.bits(),
            self.state as u8,
        ]);
        let [a, b, c, d] = self.details;
        for word in
            [self.id, self.pin_id, self.object_type, a, b, c, d, self.uid, self.gid, self.pid]
        {
            out.extend(word.to_ne_bytes());
        }
        out.extend(self.time.to_ne_bytes());
        push_string(out, &self.name);
        push_string(out, &self.layout);
    }

    pub(super) fn decode(rest: &mut PacketReader) -> Result<Record, PacketError> {
        let strange = PacketError::Reply;
        let kind = kind_from_byte(rest.u8()?).ok_or(strange("a kind of object"))?;
        let access = Access::from_bits(rest.u8()?).ok_or(strange("an access"))?;
        let bound = Access::from_bits(rest.u8()?).ok_or(strange("an access"))?;
        let state = PinState::from_byte(rest.u8()?).ok_or(strange("a state"))?;
        let (id, pin_id, object_type) = (rest.u32()?, rest.u32()?, rest.u32()?);
        let details = [rest.u32()?, rest.u32()?, rest.u32()?, rest.u32()?];
        let (uid, gid, pid, time) = (rest.u32()?, rest.u32()?, rest.u32()?, rest.u64()?);
        let (name, layout) = (rest.string()?.to_vec(), rest.string()?.to_vec());
        check_name(&name)?;
        Ok(Record {
            kind,
            access,
            bound,
            state,
            id,
            pin_id,
            object_type,
            details,
            uid,
            gid,
            pid,
            time,
            name,
            layout,
        })
    }
}
