//! The columns of a table. A column is a field or a run of padding.

use super::forms::{cell, label, word};
use super::leaf::Style;
use super::values::Values;
use crate::Slot;
use crate::padding::Gap;
use crate::types::Record;

/// A column of a table, which corresponds to a word of the plain form.
#[derive(Clone, Debug)]
pub struct Column<'t> {
    /// The path of the field without a leading dot; empty if the type has no fields. Names of
    /// padding end in `@` and its offset in bytes.
    pub name: String,
    /// The field; for padding, the struct or union that contains the padding.
    pub slot: Slot<'t>,
    /// The run of padding; None for a field.
    pub(crate) gap: Option<&'t Gap>,
}

impl Column<'_> {
    /// Reports whether the column is a run of padding and not a field.
    pub fn is_padding(&self) -> bool {
        self.gap.is_some()
    }

    /// Appends the cell of the column as [`cell`] does. Zero padding has an empty cell.
    pub fn cell<V: Values + ?Sized>(&self, values: &V, out: &mut Vec<u8>) {
        self.print(Style::Cell, values, out);
    }

    /// Appends the cell in the form of [`word`]. Zero padding is empty.
    pub fn word<V: Values + ?Sized>(&self, values: &V, out: &mut Vec<u8>) {
        self.print(Style::Word, values, out);
    }

    /// Appends the cell in the form of [`label`]. Zero padding is empty.
    pub fn label<V: Values + ?Sized>(&self, values: &V, out: &mut Vec<u8>) {
        self.print(Style::Label, values, out);
    }

    fn print<V: Values + ?Sized>(&self, style: Style, values: &V, out: &mut Vec<u8>) {
        match self.gap {
            None => match style {
                Style::Label => label(self.slot, values, out),
                Style::Word => word(self.slot, values, out),
                _ => cell(self.slot, values, out),
            },
            Some(gap) => {
                let padding = values.padding(self.slot.offset(), gap);
                padding.into_iter().for_each(|padding| padding.print(Style::Cell, out));
            }
        }
    }
}

/// Returns a column for each field of a type. An array is one column, in JSON.
pub fn columns<'t>(what: impl Into<Slot<'t>>) -> Vec<Column<'t>> {
    let slot = what.into();
    let mut columns = Vec::new();
    match slot.record() {
        Some(record) => collect_fields(slot, record, "", &mut columns),
        None => columns.push(Column { name: String::new(), slot, gap: None }),
    }
    columns
}

/// Returns the columns of fields, followed by those of padding.
pub fn all_columns<'t>(what: impl Into<Slot<'t>>) -> Vec<Column<'t>> {
    let slot = what.into();
    let mut all = columns(slot);
    if let Some(record) = slot.record() {
        collect_padding(slot, record, "", &mut all);
    }
    all
}

fn collect_fields<'t>(
    slot: Slot<'t>,
    record: &'t Record,
    prefix: &str,
    columns: &mut Vec<Column<'t>>,
) {
    for field in record.fields() {
        let (name, slot) = (format!("{prefix}{}", field.name), slot.field(field));
        match slot.record() {
            Some(inner) => collect_fields(slot, inner, &format!("{name}."), columns),
            None => columns.push(Column { name, slot, gap: None }),
        }
    }
}

fn collect_padding<'t>(
    slot: Slot<'t>,
    record: &'t Record,
    prefix: &str,
    columns: &mut Vec<Column<'t>>,
) {
    for field in record.fields() {
        let inner = slot.field(field);
        if let Some(record) = inner.record() {
            collect_padding(inner, record, &format!("{prefix}{}.", field.name), columns);
        }
    }
    for gap in record.gaps() {
        columns.push(Column { name: format!("{prefix}{}", gap.name()), slot, gap: Some(gap) });
    }
}
