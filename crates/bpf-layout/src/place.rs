//! Where C on BPF puts the members of a struct or union.

use super::record::Part;

/// Which of the four kinds of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Members share their first byte.
    pub union: bool,
    /// Members are not aligned.
    pub packed: bool,
}

/// Places members one after the other, by the rules of C on BPF (the System V ABI's bitfields).
pub(super) struct Cursor {
    kind: Kind,
    /// Where the next member may start, in bits; the end so far, of a union.
    pub(super) pos: u64,
    /// In bytes, the strictest so far.
    pub(super) align: usize,
}

impl Cursor {
    pub(super) fn new(kind: Kind) -> Self {
        Cursor { kind, pos: 0, align: 1 }
    }

    /// Puts the next member, and says at which bit.
    pub(super) fn put(&mut self, part: &Part) -> u64 {
        let align = if self.kind.packed { 1 } else { part.align() };
        self.align = self.align.max(align);
        let from = if self.kind.union { 0 } else { self.pos };
        let (at, len) = match part {
            Part::Field(ty) => (from.next_multiple_of(align as u64 * 8), ty.size() as u64 * 8),
            Part::Bits(ty, width) => {
                let (unit, width) = (ty.size() as u64 * 8, u64::from(*width));
                // A bitfield may not straddle a unit of its own type, except in a packed struct.
                let straddles = !self.kind.packed && from % unit + width > unit;
                (if straddles { from.next_multiple_of(unit) } else { from }, width)
            }
            Part::Pad(bytes) => (from.next_multiple_of(8), u64::from(*bytes) * 8),
            Part::PadBits(bits) => (from, u64::from(*bits)),
        };
        self.pos = self.pos.max(at + len);
        at
    }

    /// The record's size in bytes if it ended here.
    pub(super) fn size(&self) -> u64 {
        self.pos.next_multiple_of(self.align as u64 * 8) / 8
    }
}
