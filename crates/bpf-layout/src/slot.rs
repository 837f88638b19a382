//! Slots: parts of a value with their type and offset. Slots read numbers from values.

use super::atom::{Atom, AtomClass};
use super::number::Number;
use super::types::{Field, Record};
use super::{Type, bits};
use std::cmp::Ordering;

/// A field, an element or the whole of a value.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'t> {
    pub(super) ty: &'t Type,
    /// Offset in bits from the start of the value; a multiple of 8 unless the slot is a bitfield.
    pub(super) bit: u64,
    /// The width of a bitfield in bits; None for other slots.
    pub(super) width: Option<u8>,
}

impl<'t> From<&'t Type> for Slot<'t> {
    fn from(ty: &'t Type) -> Self {
        Slot { ty, bit: 0, width: None }
    }
}

impl<'t> Slot<'t> {
    /// Returns the type; of a bitfield, the declared type.
    pub fn ty(&self) -> &'t Type {
        self.ty
    }

    /// Returns the offset of the first byte that contains a part of the slot.
    pub fn offset(&self) -> usize {
        (self.bit / 8) as usize
    }

    /// Returns the number of bits from the start of the value to the first bit of the slot.
    pub fn bit(&self) -> u64 {
        self.bit
    }

    /// Returns the number of bytes from [`Slot::offset`] on that contain a part of the slot.
    pub fn len(&self) -> usize {
        match self.width {
            Some(width) => (self.bit % 8 + u64::from(width)).div_ceil(8) as usize,
            None => self.ty.size(),
        }
    }

    /// Reports whether the slot has no bytes, as a flexible array member does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the width of a bitfield in bits; None for other slots.
    pub fn width(&self) -> Option<u8> {
        self.width
    }

    /// Returns the bytes of the slot. Panics if `value` is shorter than the type that contains the
    /// slot.
    pub fn bytes<'b>(&self, value: &'b [u8]) -> &'b [u8] {
        &value[self.offset()..self.offset() + self.len()]
    }

    /// Reports whether all bits of the slot are zero. Panics if `value` is shorter than the type.
    pub fn is_zero(&self, value: &[u8]) -> bool {
        match self.width {
            Some(width) => bits::read_bits(value, self.bit, width, bits::BIG) == 0,
            None => self.bytes(value).iter().all(|byte| *byte == 0),
        }
    }

    pub(super) fn field(&self, field: &'t Field) -> Slot<'t> {
        Slot { ty: &field.ty, bit: self.bit + field.bit, width: field.width }
    }

    /// Returns the slot of the element at `index`, if this slot is an array of `elem`.
    pub fn element(&self, elem: &'t Type, index: usize) -> Slot<'t> {
        Slot { ty: elem, bit: self.bit + (elem.size() * index) as u64 * 8, width: None }
    }

    pub(super) fn record(&self) -> Option<&'t Record> {
        self.ty.as_record()
    }

    /// Returns the integer type that stores the slot, and its width in bits; None for types
    /// without one.
    pub(super) fn integer(&self) -> Option<(Atom, u32)> {
        let atom = match self.ty {
            Type::Atom(atom) if !matches!(atom.class(), AtomClass::Float | AtomClass::Address) => {
                *atom
            }
            Type::Enum(e) => e.carrier(),
            _ => return None,
        };
        Some((atom, self.width.map_or(atom.size() as u32 * 8, u32::from)))
    }

    /// Returns the number in the slot; None for text, addresses, raw bytes, arrays and structs.
    /// Panics if `value` is shorter than the type.
    pub fn number(&self, value: &[u8]) -> Option<Number> {
        if let Type::Atom(Atom::F32) = self.ty {
            return Some(Number::Float(
                self.bytes(value).first_chunk().map(|b| f32::from_ne_bytes(*b))?.into(),
            ));
        }
        if let Type::Atom(Atom::F64) = self.ty {
            return Some(Number::Float(
                self.bytes(value).first_chunk().map(|b| f64::from_ne_bytes(*b))?,
            ));
        }
        let (atom, bits) = self.integer()?;
        let raw = match self.width {
            Some(width) => u128::from(bits::read_bits(value, self.bit, width, bits::BIG)),
            None => read_unsigned(self.bytes(value), atom.class() == AtomClass::Network),
        };
        if atom.class() != AtomClass::Signed {
            return Some(Number::Unsigned(raw));
        }
        let unused = 128 - bits;
        Some(Number::Signed((raw << unused) as i128 >> unused))
    }

    /// Compares two values by this slot: numbers numerically, other types bytewise. Panics if a
    /// value is shorter than the type.
    pub fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        match (self.number(a), self.number(b)) {
            (Some(a), Some(b)) => a.compare(b),
            _ => self.bytes(a).cmp(self.bytes(b)),
        }
    }
}

/// Reads an integer of 1 to 16 bytes in host or network byte order.
fn read_unsigned(bytes: &[u8], network: bool) -> u128 {
    match (bytes, network) {
        (&[a], _) => a.into(),
        (&[a, b], false) => u16::from_ne_bytes([a, b]).into(),
        (&[a, b, c, d], false) => u32::from_ne_bytes([a, b, c, d]).into(),
        (&[a, b, c, d, e, f, g, h], false) => u64::from_ne_bytes([a, b, c, d, e, f, g, h]).into(),
        (bytes, false) => bytes.first_chunk().map_or(0, |word| u128::from_ne_bytes(*word)),
        (bytes, true) => bytes.iter().fold(0, |value, byte| value << 8 | u128::from(*byte)),
    }
}
