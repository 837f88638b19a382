//! Structs and unions: their members, and where C on BPF puts them.

use super::{Field, Member, MemberPart, Record, RecordKind};
use crate::padding::Gap;

impl Field {
    /// The bits that it takes, from the record's start: the first, and the one after the last.
    pub(crate) fn bits(&self) -> (u64, u64) {
        (self.bit, self.bit + self.width.map_or(self.ty.size() as u64 * 8, u64::from))
    }
}

// Not derived: comparing the flattened fields as well would double the work at every level.
impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.members == other.members
    }
}

impl Eq for Record {}

impl MemberPart {
    /// Bytes taken; None where it counts in bits.
    pub(crate) fn size(&self) -> Option<usize> {
        match self {
            MemberPart::Field(ty) => Some(ty.size()),
            MemberPart::Pad(bytes) => Some(*bytes as usize),
            MemberPart::Bits(..) | MemberPart::PadBits(_) => None,
        }
    }

    pub(crate) fn align(&self) -> usize {
        match self {
            MemberPart::Field(ty) | MemberPart::Bits(ty, _) => ty.align(),
            MemberPart::Pad(_) | MemberPart::PadBits(_) => 1,
        }
    }
}

impl Record {
    /// Struct or union, packed or not.
    pub fn kind(&self) -> RecordKind {
        self.kind
    }

    /// The members as written, padding included.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The fields by name, with those of nameless members in their place.
    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The runs of bytes with bits that no field has.
    pub(crate) fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Bytes taken, trailing padding included.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Alignment in bytes.
    pub fn align(&self) -> usize {
        self.align
    }

    pub(crate) fn leaves(&self) -> usize {
        self.leaves
    }
}

/// Places members one after the other, by the rules of C on BPF (the System V ABI's bitfields).
pub(crate) struct MemberCursor {
    kind: RecordKind,
    /// Where the next member may start, in bits; the end so far, of a union.
    pub(crate) pos: u64,
    /// In bytes, the strictest so far.
    pub(crate) align: usize,
}

impl MemberCursor {
    pub(crate) fn new(kind: RecordKind) -> Self {
        MemberCursor { kind, pos: 0, align: 1 }
    }

    /// Puts the next member, and says at which bit.
    pub(crate) fn place(&mut self, part: &MemberPart) -> u64 {
        let align = if self.kind.packed { 1 } else { part.align() };
        self.align = self.align.max(align);
        let from = if self.kind.union { 0 } else { self.pos };
        let (at, len) = match part {
            MemberPart::Field(ty) => {
                (from.next_multiple_of(align as u64 * 8), ty.size() as u64 * 8)
            }
            MemberPart::Bits(ty, width) => {
                let (unit, width) = (ty.size() as u64 * 8, u64::from(*width));
                // A bitfield may not straddle a unit of its own type, except in a packed struct.
                let straddles = !self.kind.packed && from % unit + width > unit;
                (if straddles { from.next_multiple_of(unit) } else { from }, width)
            }
            MemberPart::Pad(bytes) => (from.next_multiple_of(8), u64::from(*bytes) * 8),
            MemberPart::PadBits(bits) => (from, u64::from(*bits)),
        };
        self.pos = self.pos.max(at + len);
        at
    }

    /// The record's size in bytes if it ended here.
    pub(crate) fn size(&self) -> u64 {
        self.pos.next_multiple_of(self.align as u64 * 8) / 8
    }
}
