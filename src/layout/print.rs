//! Bytes to text: plain words for shells, JSON, and cells of a table. Appends to a buffer that the
//! caller reuses, so that a dump allocates nothing per value.

mod change;
mod leaf;
mod percpu;

pub use change::Change;
pub(crate) use leaf::decimal;
pub use leaf::float;
pub use percpu::{PerCpu, has_sums};

use super::record::Record;
use super::{Number, Slot, Type};
use leaf::Style;

/// What can be printed: one value's bytes, or the sum over CPUs of several ([`PerCpu`]).
///
/// Bytes must be at least as long as the type, or the call panics: check `value_size` once.
pub trait Values {
    /// Appends one scalar, text, or LPM key.
    #[doc(hidden)]
    fn leaf(&self, slot: Slot<'_>, style: Style, out: &mut Vec<u8>);

    /// The number in `slot`; None where there is none.
    fn number(&self, slot: Slot<'_>) -> Option<Number>;
}

impl Values for [u8] {
    fn leaf(&self, slot: Slot<'_>, style: Style, out: &mut Vec<u8>) {
        leaf::print(slot, self, style, out);
    }

    fn number(&self, slot: Slot<'_>) -> Option<Number> {
        slot.number(self)
    }
}

/// Appends JSON without spaces: integers of all sizes as numbers, structs as objects, the rest as
/// strings. Text that is not UTF-8, or that begins with `hex:`, is `"hex:…"` of all its bytes.
pub fn json<'t, V: Values + ?Sized>(what: impl Into<Slot<'t>>, values: &V, out: &mut Vec<u8>) {
    tree(what.into(), values, out);
}

/// Appends a scalar bare, a struct as `name=value` words with dotted names, an array as JSON.
pub fn plain<'t, V: Values + ?Sized>(what: impl Into<Slot<'t>>, values: &V, out: &mut Vec<u8>) {
    let slot = what.into();
    match (slot.record(), slot.ty) {
        (Some(record), _) => {
            let start = out.len();
            words(slot, record, None, values, start, out);
        }
        (None, Type::Array(_)) => tree(slot, values, out),
        (None, _) => values.leaf(slot, Style::Bare, out),
    }
}

/// Appends one column's cell: like [`plain`], but text with spaces, and empty text, go unquoted.
pub fn cell<'t, V: Values + ?Sized>(what: impl Into<Slot<'t>>, values: &V, out: &mut Vec<u8>) {
    let slot = what.into();
    match slot.ty {
        Type::Array(_) | Type::Record(_) => tree(slot, values, out),
        Type::Lpm(_) if slot.record().is_some() => tree(slot, values, out),
        _ => values.leaf(slot, Style::Cell, out),
    }
}

/// A column of a table: a word of the plain form.
#[derive(Clone, Debug)]
pub struct Column<'t> {
    /// The field's path without its leading dot; empty for the one column of what is no struct.
    pub name: String,
    /// Where it is.
    pub slot: Slot<'t>,
}

/// The columns of a type: one a word of the plain form, so an array is a single column of JSON.
pub fn columns<'t>(what: impl Into<Slot<'t>>) -> Vec<Column<'t>> {
    let slot = what.into();
    let mut columns = Vec::new();
    match slot.record() {
        Some(record) => gather(slot, record, "", &mut columns),
        None => columns.push(Column { name: String::new(), slot }),
    }
    columns
}

fn gather<'t>(slot: Slot<'t>, record: &'t Record, prefix: &str, columns: &mut Vec<Column<'t>>) {
    for field in record.fields() {
        let (name, slot) = (format!("{prefix}{}", field.name), slot.field(field));
        match slot.record() {
            Some(inner) => gather(slot, inner, &format!("{name}."), columns),
            None => columns.push(Column { name, slot }),
        }
    }
}

fn tree<V: Values + ?Sized>(slot: Slot<'_>, values: &V, out: &mut Vec<u8>) {
    if let Some(record) = slot.record() {
        out.push(b'{');
        for (index, field) in record.fields().iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",\"" } else { b"\"" });
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b"\":");
            tree(slot.field(field), values, out);
        }
        out.push(b'}');
    } else if let Type::Array(array) = slot.ty {
        out.push(b'[');
        for index in 0..array.len() {
            if index > 0 {
                out.push(b',');
            }
            tree(slot.element(array.elem(), index), values, out);
        }
        out.push(b']');
    } else {
        values.leaf(slot, Style::Json, out);
    }
}

/// The names on the way to a field, innermost first: a list on the stack.
struct Prefix<'p> {
    outer: Option<&'p Prefix<'p>>,
    name: &'p str,
}

impl Prefix<'_> {
    fn print(&self, out: &mut Vec<u8>) {
        if let Some(outer) = self.outer {
            outer.print(out);
        }
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'.');
    }
}

fn words<V: Values + ?Sized>(
    slot: Slot<'_>,
    record: &Record,
    prefix: Option<&Prefix<'_>>,
    values: &V,
    start: usize,
    out: &mut Vec<u8>,
) {
    for field in record.fields() {
        let slot = slot.field(field);
        if let Some(inner) = slot.record() {
            let prefix = Prefix { outer: prefix, name: &field.name };
            words(slot, inner, Some(&prefix), values, start, out);
            continue;
        }
        if out.len() > start {
            out.push(b' ');
        }
        if let Some(prefix) = prefix {
            prefix.print(out);
        }
        out.extend_from_slice(field.name.as_bytes());
        out.push(b'=');
        match slot.ty {
            Type::Array(_) => tree(slot, values, out),
            _ => values.leaf(slot, Style::Word, out),
        }
    }
}
