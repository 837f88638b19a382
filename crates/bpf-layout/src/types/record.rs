//! Structs and unions: accessors of their parts.

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
