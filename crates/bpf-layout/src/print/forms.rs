//! The text forms of a value: JSON, words, cells and labels.

use super::leaf::Style;
use super::values::Values;
use crate::types::Record;
use crate::{Atom, Slot, Type};

/// Appends a value as JSON without spaces: integers of all sizes as numbers, structs as objects,
/// arrays as arrays, other types as strings. Text that is not UTF-8 or begins with `hex:` is
/// printed as `"hex:…"` with all its bytes, and so is non-zero padding, as the member `"@OFFSET"`
/// of its struct.
pub fn json<'t, V: Values + ?Sized>(what: impl Into<Slot<'t>>, values: &V, out: &mut Vec<u8>) {
    append_tree(what.into(), values, out);
}

/// Appends a value in the plain form: a scalar bare, a struct as `name=value` words with dotted
/// names, an array as JSON. Non-zero padding is the word `@OFFSET=hex:…`.
pub fn plain<'t, V: Values + ?Sized>(what: impl Into<Slot<'t>>, values: &V, out: &mut Vec<u8>) {
    let slot = what.into();
    match (slot.record(), slot.ty) {
        (Some(record), _) => {
            let start = out.len();
            append_words(slot, record, None, values, start, out);
        }
        (None, Type::Array(_)) => append_tree(slot, values, out),
        (None, _) => values.leaf(slot, Style::Bare, out),
    }
}

/// Appends a value in the form of [`plain`], except that a scalar is quoted if necessary, so that
/// several values can follow each other on a line.
pub fn word<'t, V: Values + ?Sized>(what: impl Into<Slot<'t>>, values: &V, out: &mut Vec<u8>) {
    let slot = what.into();
    match (slot.record(), slot.ty) {
        (Some(_), _) | (None, Type::Array(_)) => plain(slot, values, out),
        (None, _) => values.leaf(slot, Style::Word, out),
    }
}

/// Appends a value for a table cell, in the form of [`plain`], except that text is not quoted if
/// it is empty or contains spaces.
pub fn cell<'t, V: Values + ?Sized>(what: impl Into<Slot<'t>>, values: &V, out: &mut Vec<u8>) {
    let slot = what.into();
    match slot.ty {
        Type::Array(_) | Type::Record(_) => append_tree(slot, values, out),
        Type::Lpm(_) if slot.record().is_some() => append_tree(slot, values, out),
        _ => values.leaf(slot, Style::Cell, out),
    }
}

/// Appends a value for a label of a metric, in the form of [`cell`], except that text with unsafe
/// characters is `hex:…`, an array of six bytes is a MAC address, and other arrays of bytes are
/// `hex:…`.
pub fn label<'t, V: Values + ?Sized>(what: impl Into<Slot<'t>>, values: &V, out: &mut Vec<u8>) {
    let slot = what.into();
    match slot.ty {
        Type::Char(_) => values.leaf(slot, Style::Label, out),
        Type::Array(array) if *array.elem() == Type::Atom(Atom::U8) => {
            values.leaf(slot, Style::Label, out);
        }
        _ => cell(slot, values, out),
    }
}

fn append_tree<V: Values + ?Sized>(slot: Slot<'_>, values: &V, out: &mut Vec<u8>) {
    if let Some(record) = slot.record() {
        out.push(b'{');
        for (index, field) in record.fields().iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",\"" } else { b"\"" });
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b"\":");
            append_tree(slot.field(field), values, out);
        }
        for gap in record.gaps() {
            let Some(padding) = values.padding(slot.offset(), gap) else { continue };
            out.extend_from_slice(if out.ends_with(b"{") { b"\"" } else { b",\"" });
            out.extend_from_slice(gap.name().as_bytes());
            out.extend_from_slice(b"\":");
            padding.print(Style::Json, out);
        }
        out.push(b'}');
    } else if let Type::Array(array) = slot.ty {
        out.push(b'[');
        for index in 0..array.len() {
            if index > 0 {
                out.push(b',');
            }
            append_tree(slot.element(array.elem(), index), values, out);
        }
        out.push(b']');
    } else {
        values.leaf(slot, Style::Json, out);
    }
}

/// The names of the outer fields as a list on the stack, innermost first.
struct NamePrefix<'p> {
    outer: Option<&'p NamePrefix<'p>>,
    name: &'p str,
}

impl NamePrefix<'_> {
    fn print(&self, out: &mut Vec<u8>) {
        if let Some(outer) = self.outer {
            outer.print(out);
        }
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'.');
    }
}

fn append_words<V: Values + ?Sized>(
    slot: Slot<'_>,
    record: &Record,
    prefix: Option<&NamePrefix<'_>>,
    values: &V,
    start: usize,
    out: &mut Vec<u8>,
) {
    for field in record.fields() {
        let slot = slot.field(field);
        if let Some(inner) = slot.record() {
            let prefix = NamePrefix { outer: prefix, name: &field.name };
            append_words(slot, inner, Some(&prefix), values, start, out);
            continue;
        }
        begin_word(prefix, &field.name, start, out);
        match slot.ty {
            Type::Array(_) => append_tree(slot, values, out),
            _ => values.leaf(slot, Style::Word, out),
        }
    }
    for gap in record.gaps() {
        if let Some(padding) = values.padding(slot.offset(), gap) {
            begin_word(prefix, &gap.name(), start, out);
            padding.print(Style::Word, out);
        }
    }
}

/// Appends a space, if necessary, the name and `=`.
fn begin_word(prefix: Option<&NamePrefix<'_>>, name: &str, start: usize, out: &mut Vec<u8>) {
    if out.len() > start {
        out.push(b' ');
    }
    if let Some(prefix) = prefix {
        prefix.print(out);
    }
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
}
