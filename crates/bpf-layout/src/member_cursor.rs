//! The placement of members by the rules of C for BPF.

use super::types::{MemberPart, RecordKind};

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
