//! Sums over CPUs, field by field, in a form that prints like a single value.

use super::Values;
use super::leaf::{self, Style};
use crate::layout::atom::Class;
use crate::layout::{Number, Slot, Type, bits};

/// One value of each CPU, to be printed as one.
///
/// Integers add up in 128 bits and floats as f64. What cannot be added (text, addresses, enums,
/// bools, raw bytes) shows where all CPUs that hold something other than zero agree, else null; so
/// does a sum beyond 128 bits.
#[derive(Clone, Copy)]
pub struct PerCpu<'b> {
    slots: &'b [u8],
    stride: usize,
}

impl<'b> PerCpu<'b> {
    /// The buffer that a lookup in a per-CPU map fills: a value every `stride` bytes, one a possible
    /// CPU. The kernel's stride is the value's size rounded up to 8; less than the type's size panics.
    pub fn new(slots: &'b [u8], stride: usize) -> PerCpu<'b> {
        PerCpu { slots, stride: stride.max(1) }
    }

    /// Each CPU's value, trailing bytes of its slot included.
    pub fn each(self) -> impl Iterator<Item = &'b [u8]> {
        self.slots.chunks_exact(self.stride)
    }

    /// The value on which every CPU that is not zero agrees.
    fn agreed(&self, slot: Slot<'_>) -> Option<&'b [u8]> {
        let mut found: Option<&[u8]> = None;
        for value in self.each() {
            match found {
                _ if slot.is_zero(value) => found = found.or(Some(value)),
                Some(other) if !slot.is_zero(other) => {
                    if !is_same(slot, value, other) {
                        return None;
                    }
                }
                _ => found = Some(value),
            }
        }
        found
    }
}

fn is_same(slot: Slot<'_>, a: &[u8], b: &[u8]) -> bool {
    match slot.width {
        Some(width) => {
            bits::read(a, slot.bit, width, bits::BIG) == bits::read(b, slot.bit, width, bits::BIG)
        }
        None => slot.bytes(a) == slot.bytes(b),
    }
}

pub(super) fn can_add(slot: Slot<'_>) -> bool {
    let class = match slot.ty {
        Type::Atom(atom) => atom.class(),
        _ => return false,
    };
    matches!(class, Class::Unsigned | Class::Signed | Class::Network | Class::Float)
}

impl Values for PerCpu<'_> {
    fn leaf(&self, slot: Slot<'_>, style: Style, out: &mut Vec<u8>) {
        let mut each = self.each();
        if let (Some(only), None) = (each.next(), each.next()) {
            return leaf::print(slot, only, style, out);
        }
        if can_add(slot) {
            match self.number(slot) {
                Some(Number::Float(n)) if !n.is_finite() && style == Style::Json => {
                    out.push(b'"');
                    super::float(n, out);
                    out.push(b'"');
                }
                Some(number) => number.print(out),
                None => out.extend_from_slice(b"null"),
            }
            return;
        }
        match self.agreed(slot) {
            Some(value) => leaf::print(slot, value, style, out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn number(&self, slot: Slot<'_>) -> Option<Number> {
        if !can_add(slot) {
            return slot.number(self.agreed(slot)?);
        }
        let mut numbers = self.each().filter_map(|value| slot.number(value));
        let first = numbers.next()?;
        numbers.try_fold(first, |sum, number| match (sum, number) {
            (Number::Unsigned(a), Number::Unsigned(b)) => a.checked_add(b).map(Number::Unsigned),
            (Number::Signed(a), Number::Signed(b)) => a.checked_add(b).map(Number::Signed),
            (a, b) => Some(Number::Float(a.to_f64() + b.to_f64())),
        })
    }
}
