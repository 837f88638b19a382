//! The position, size and type of a field, from which its relocations are computed.

use super::access::{Access, member};
use super::relocation::{
    CoreError, FIELD_OFFSET, FIELD_SHIFT_LEFT, FIELD_SHIFT_RIGHT, FIELD_SIGNED, FIELD_SIZE,
};
use crate::btf::{Btf, entries, kind};

/// BTF_INT_SIGNED.
const SIGNED: u32 = 1;

/// The position of a field, and the way to read it.
pub struct CoreField {
    pub kind: u8,
    pub signed: bool,
    pub is_bit_field: bool,
    /// From the start of the type.
    bit: u64,
    bits: u64,
    /// The bytes that are read.
    byte: u64,
    pub bytes: u32,
    /// Whether it is a named member, not an element of an array.
    is_named: bool,
}

impl CoreField {
    /// The field at the end of `access`.
    pub fn new(btf: &Btf, access: &Access) -> Result<CoreField, CoreError> {
        let malformed = || CoreError::Access(String::new());
        let last = access.steps.last().ok_or_else(malformed)?;
        let is_named = !last.name.is_empty();
        let (type_id, width) = match is_named {
            true => {
                let member = member(btf, last)?;
                (member.type_id, member.width)
            }
            false => (last.type_id, 0),
        };
        let bare = btf.strip_aliases(type_id)?;
        let encoding = entries::<1>(bare.raw.tail).next().map_or(0, |[word]| word >> 24);
        let signed = match bare.raw.kind {
            kind::ENUM | kind::ENUM64 => bare.raw.flag,
            kind::INT => encoding & SIGNED != 0,
            _ => false,
        };
        let mut bytes = btf.byte_size(type_id)?;
        let mut byte = access.bit / 8;
        let mut bits = u64::from(bytes) * 8;
        if width > 0 {
            bits = width.into();
            // The smallest aligned integer that contains the bits.
            let around = |bytes: u32| access.bit / 8 / u64::from(bytes) * u64::from(bytes);
            bytes = bytes.max(1);
            byte = around(bytes);
            while access.bit + bits - byte * 8 > u64::from(bytes) * 8 {
                if bytes >= 8 {
                    return Err(malformed());
                }
                bytes *= 2;
                byte = around(bytes);
            }
        }
        let (kind, bit) = (bare.raw.kind, access.bit);
        Ok(CoreField { kind, signed, is_bit_field: width > 0, bit, bits, byte, bytes, is_named })
    }

    /// The value of a relocation of the field.
    pub fn value(&self, relocation: u32) -> Result<u64, CoreError> {
        let word = 64u64;
        let (inside, bytes) = (self.bit - self.byte * 8, u64::from(self.bytes));
        let value = match relocation {
            FIELD_OFFSET => Some(self.byte),
            FIELD_SIZE => Some(bytes),
            // An element has no bits of its own.
            _ if !self.is_named => None,
            FIELD_SIGNED => Some(self.signed.into()),
            FIELD_SHIFT_LEFT if cfg!(target_endian = "little") => {
                word.checked_sub(inside + self.bits)
            }
            FIELD_SHIFT_LEFT => word.checked_sub(bytes * 8).map(|unused| unused + inside),
            FIELD_SHIFT_RIGHT => word.checked_sub(self.bits),
            other => return Err(CoreError::Kind(other)),
        };
        value.ok_or_else(|| CoreError::Access(String::new()))
    }
}
