//! Sums over CPUs, field by field, which print like a value.

use super::leaf::{self, Style, append_null};
use super::values::{PaddingValue, Values};
use crate::atom::AtomClass;
use crate::padding::Gap;
use crate::{Number, Slot, Type, bits};

/// The values of all CPUs, printed as one.
///
/// Integers are added in 128 bits, floats as f64. Text, addresses, enums, bools, bitfields of one
/// bit and raw bytes are printed if all CPUs agree, else as null in JSON and `-` in text. A sum of
/// more than 128 bits is printed as null or `-`, too.
#[derive(Clone, Copy)]
pub struct PerCpu<'b> {
    slots: &'b [u8],
    stride: usize,
}

impl<'b> PerCpu<'b> {
    /// Wraps the buffer of a lookup in a per-CPU map, which contains a value for each possible
    /// CPU, `stride` bytes apart. The kernel's stride is the size of the value rounded up to 8
    /// bytes. Printing panics if the stride is less than the size of the type.
    pub fn new(slots: &'b [u8], stride: usize) -> PerCpu<'b> {
        PerCpu { slots, stride: stride.max(1) }
    }

    /// Returns the value of each CPU, including the bytes up to the stride.
    pub fn each(self) -> impl Iterator<Item = &'b [u8]> {
        self.slots.chunks_exact(self.stride)
    }

    /// Returns the value of the first CPU, if all CPUs agree in this slot.
    fn agreed_value(&self, slot: Slot<'_>) -> Option<&'b [u8]> {
        let mut each = self.each();
        let first = each.next()?;
        each.all(|value| is_same(slot, first, value)).then_some(first)
    }
}

fn is_same(slot: Slot<'_>, a: &[u8], b: &[u8]) -> bool {
    match slot.width {
        Some(width) => {
            bits::read_bits(a, slot.bit, width, bits::BIG)
                == bits::read_bits(b, slot.bit, width, bits::BIG)
        }
        None => slot.bytes(a) == slot.bytes(b),
    }
}

fn is_dash(slot: Slot<'_>, value: &[u8]) -> bool {
    let text = slot.bytes(value);
    matches!(slot.ty, Type::Char(_)) && text.starts_with(b"-") && text[1..].iter().all(|b| *b == 0)
}

/// Reports whether values are added: numbers, but not flags of one bit.
pub(super) fn is_summable(slot: Slot<'_>) -> bool {
    let class = match slot.ty {
        Type::Atom(atom) if slot.width != Some(1) => atom.class(),
        _ => return false,
    };
    matches!(class, AtomClass::Unsigned | AtomClass::Signed | AtomClass::Network | AtomClass::Float)
}

/// Reports whether a type, or a part of a type, contains numbers that [`PerCpu`] adds.
pub fn has_sums<'t>(what: impl Into<Slot<'t>>) -> bool {
    let slot = what.into();
    match (slot.record(), slot.ty) {
        (Some(record), _) => record.fields().iter().any(|field| has_sums(slot.field(field))),
        (None, Type::Array(array)) => !array.is_empty() && has_sums(array.elem()),
        (None, _) => is_summable(slot),
    }
}

impl Values for PerCpu<'_> {
    fn leaf(&self, slot: Slot<'_>, style: Style, out: &mut Vec<u8>) {
        let mut each = self.each();
        // The text `-` is quoted in tables as well, because an unquoted `-` indicates that CPUs
        // differ.
        let print = |value: &[u8], out: &mut Vec<u8>| match style {
            Style::Cell if is_dash(slot, value) => leaf::append_leaf(slot, value, Style::Bare, out),
            style => leaf::append_leaf(slot, value, style, out),
        };
        if let (Some(only), None) = (each.next(), each.next()) {
            return print(only, out);
        }
        if is_summable(slot) {
            match self.number(slot) {
                Some(Number::Float(n)) if !n.is_finite() && style == Style::Json => {
                    out.push(b'"');
                    crate::number::append_float(n, out);
                    out.push(b'"');
                }
                Some(number) => number.print(out),
                None => append_null(style, out),
            }
            return;
        }
        match self.agreed_value(slot) {
            Some(value) => print(value, out),
            None => append_null(style, out),
        }
    }

    fn number(&self, slot: Slot<'_>) -> Option<Number> {
        if !is_summable(slot) {
            return slot.number(self.agreed_value(slot)?);
        }
        let mut numbers = self.each().filter_map(|value| slot.number(value));
        let first = numbers.next()?;
        numbers.try_fold(first, |sum, number| match (sum, number) {
            (Number::Unsigned(a), Number::Unsigned(b)) => a.checked_add(b).map(Number::Unsigned),
            (Number::Signed(a), Number::Signed(b)) => a.checked_add(b).map(Number::Signed),
            (a, b) => Some(Number::Float(a.to_f64() + b.to_f64())),
        })
    }

    fn padding(&self, base: usize, gap: &Gap) -> Option<PaddingValue> {
        let mut each = self.each();
        let first = each.next()?;
        match each.all(|value| gap.bytes(value, base).eq(gap.bytes(first, base))) {
            true if gap.is_zero(first, base) => None,
            true => Some(PaddingValue::Bytes(gap.bytes(first, base).collect())),
            false => Some(PaddingValue::Mixed),
        }
    }
}
