//! A place in a value: the type that is there, and from which bit on. Reads numbers out of it.

use super::atom::{Atom, AtomClass};
use super::number::Number;
use super::types::{Field, Record};
use super::{Type, bits};
use std::cmp::Ordering;

/// A field, an element or the whole of a value.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'t> {
    pub(super) ty: &'t Type,
    /// Bits from the value's start; whole bytes unless it is a bitfield.
    pub(super) bit: u64,
    /// The width in bits, of a bitfield.
    pub(super) width: Option<u8>,
}

impl<'t> From<&'t Type> for Slot<'t> {
    fn from(ty: &'t Type) -> Self {
        Slot { ty, bit: 0, width: None }
    }
}

impl<'t> Slot<'t> {
    /// What is there; of a bitfield, the type it was declared with.
    pub fn ty(&self) -> &'t Type {
        self.ty
    }

    /// Bytes from the value's start to the first byte that it touches.
    pub fn offset(&self) -> usize {
        (self.bit / 8) as usize
    }

    /// Bytes touched, from [`Slot::offset`] on.
    pub fn len(&self) -> usize {
        match self.width {
            Some(width) => (self.bit % 8 + u64::from(width)).div_ceil(8) as usize,
            None => self.ty.size(),
        }
    }

    /// Whether it takes no bytes, as a flexible array does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The width in bits, of a bitfield.
    pub fn width(&self) -> Option<u8> {
        self.width
    }

    /// Its bytes within a value, which must be as long as the slot's type says.
    pub fn bytes<'b>(&self, value: &'b [u8]) -> &'b [u8] {
        &value[self.offset()..self.offset() + self.len()]
    }

    /// Whether all its bits in a value are zero.
    pub fn is_zero(&self, value: &[u8]) -> bool {
        match self.width {
            Some(width) => bits::read_bits(value, self.bit, width, bits::BIG) == 0,
            None => self.bytes(value).iter().all(|byte| *byte == 0),
        }
    }

    pub(super) fn field(&self, field: &'t Field) -> Slot<'t> {
        Slot { ty: &field.ty, bit: self.bit + field.bit, width: field.width }
    }

    /// The element at `index` of an array, whose elements are of type `elem`.
    pub fn element(&self, elem: &'t Type, index: usize) -> Slot<'t> {
        Slot { ty: elem, bit: self.bit + (elem.size() * index) as u64 * 8, width: None }
    }

    pub(super) fn record(&self) -> Option<&'t Record> {
        self.ty.as_record()
    }

    /// The integer that carries it, and its width in bits; None for what is no integer.
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

    /// The number stored; None for text, addresses, raw bytes, arrays and structs.
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

    /// The order of two values by this slot: numbers by size, all else bytewise.
    pub fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        match (self.number(a), self.number(b)) {
            (Some(a), Some(b)) => a.compare(b),
            _ => self.bytes(a).cmp(self.bytes(b)),
        }
    }
}

/// An integer of 1 to 16 bytes, of host or network byte order.
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
