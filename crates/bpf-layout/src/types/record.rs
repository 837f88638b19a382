//! Structs and unions: accessors, and the placement of members by the rules of C for BPF.

use super::{Field, Member, MemberPart, Record, RecordKind};
use crate::padding::Gap;

impl Field {
    /// Returns the field's first bit and the bit after its last bit, from the start of the record.
    pub(crate) fn bits(&self) -> (u64, u64) {
        (self.bit, self.bit + self.width.map_or(self.ty.size() as u64 * 8, u64::from))
    }
}

// Not derived: the flattened fields repeat the members, and comparing both would double the work
// at every level of nesting.
impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.members == other.members
    }
}

impl Eq for Record {}

impl MemberPart {
    /// Returns the size in bytes; None for bitfields and for padding in bits.
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
    /// Reports whether the record is a struct or a union, and whether it is packed.
    pub fn kind(&self) -> RecordKind {
        self.kind
    }

    /// Returns the members as declared, including padding.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Returns the fields; those of a nameless member are in the place of the member.
    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Returns the runs of bytes that contain padding.
    pub(crate) fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Returns the size in bytes, including trailing padding.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn leaves(&self) -> usize {
        self.leaves
    }
}

/// Places members one after the other by the rules of C for BPF; bitfields follow the System V
/// ABI.
pub(crate) struct MemberCursor {
    kind: RecordKind,
    /// Offset of the next member in bits, before alignment; of a union, the end of the longest
    /// member.
    pub(crate) pos: u64,
    /// The largest alignment of the members so far, in bytes.
    pub(crate) align: usize,
}

impl MemberCursor {
    pub(crate) fn new(kind: RecordKind) -> Self {
        MemberCursor { kind, pos: 0, align: 1 }
    }

    /// Places the next member and returns its offset in bits.
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
                // A bitfield does not cross the boundary of its type, except in a packed struct.
                let straddles = !self.kind.packed && from % unit + width > unit;
                (if straddles { from.next_multiple_of(unit) } else { from }, width)
            }
            MemberPart::Pad(bytes) => (from.next_multiple_of(8), u64::from(*bytes) * 8),
            MemberPart::PadBits(bits) => (from, u64::from(*bits)),
        };
        self.pos = self.pos.max(at + len);
        at
    }

    /// Returns the size of the record in bytes, if no further member follows.
    pub(crate) fn size(&self) -> u64 {
        self.pos.next_multiple_of(self.align as u64 * 8) / 8
    }
}
