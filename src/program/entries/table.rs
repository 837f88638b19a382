//! Entries as rows of a table, separated by commas or tabs.

use super::format::{Cpus, Entries};
use super::generator::{Generator, KEY, Place, Quoting, VALUE};
use super::unprintable::{LeafError, Unprintable};
use crate::output::separated;
use bpf_layout::print::{Column, Piece, template};
use bpf_layout::{Atom, AtomClass, Type};

/// The columns of a table.
pub(super) struct Table<'t> {
    key: Vec<Column<'t>>,
    value: Vec<Column<'t>>,
    separator: u8,
    pub header: Vec<u8>,
}

impl<'t> Table<'t> {
    pub(super) fn new(entries: &Entries<'t>, separator: u8) -> Table<'t> {
        let per_cpu = !matches!(entries.cpus, Cpus::One);
        let (mut key, mut value) = separated::name_columns(entries.key, entries.value, per_cpu);
        key.retain(|column| !column.is_padding());
        value.retain(|column| !column.is_padding());
        let cpu = matches!(entries.cpus, Cpus::Each { .. }).then_some("cpu");
        let names = key.iter().map(|column| column.name.as_str());
        let names = names.chain(cpu).chain(value.iter().map(|column| column.name.as_str()));
        let mut header = names.collect::<Vec<_>>().join(&*char::from(separator).to_string());
        header.push('\n');
        Table { key, value, separator, header: header.into_bytes() }
    }
}

impl Generator {
    /// A row, or one for each CPU.
    pub(super) fn rows(&mut self, entries: &Entries, table: &Table) -> Result<(), Unprintable> {
        let Cpus::Each { stride, numbers } = entries.cpus else {
            return self.row(entries, table, None, VALUE, entries.cpus);
        };
        for (cpu, number) in numbers.iter().enumerate() {
            let place = Place { offset: cpu as u32 * stride, ..VALUE };
            self.row(entries, table, Some(*number), place, Cpus::One)?;
        }
        Ok(())
    }

    fn row(
        &mut self,
        entries: &Entries,
        table: &Table,
        cpu: Option<u32>,
        place: Place,
        cpus: Cpus,
    ) -> Result<(), Unprintable> {
        let mut first = true;
        let mut separate = |generator: &mut Generator| {
            if !std::mem::take(&mut first) {
                generator.text(&[table.separator]);
            }
        };
        for column in &table.key {
            separate(self);
            let cell = self.cell(column, table.separator, KEY, Cpus::One);
            cell.map_err(|error| error.of_key(entries.key))?;
        }
        if let Some(cpu) = cpu {
            separate(self);
            self.text(cpu.to_string().as_bytes());
        }
        for column in &table.value {
            separate(self);
            let cell = self.cell(column, table.separator, place, cpus);
            cell.map_err(|error| error.of_value(entries.value))?;
        }
        if !first {
            self.text(b"\n");
        }
        Ok(())
    }

    /// A cell of a table, quoted in CSV as it needs.
    fn cell(
        &mut self,
        column: &Column,
        separator: u8,
        place: Place,
        cpus: Cpus,
    ) -> Result<(), LeafError> {
        let pieces = template(|values, out| column.cell(values, out));
        if separator != b',' {
            return self.pieces(&pieces, place, cpus);
        }
        if let [Piece::Leaf(_)] = &pieces[..] {
            self.quoting = Quoting::Cell;
            let done = self.pieces(&pieces, place, cpus);
            self.quoting = Quoting::None;
            return done;
        }
        match is_quoted(&pieces, cpus) {
            Some(false) => self.pieces(&pieces, place, cpus),
            Some(true) => {
                self.text(b"\"");
                self.quoting = Quoting::Doubled;
                let done = self.pieces(&pieces, place, cpus);
                self.quoting = Quoting::None;
                self.text(b"\"");
                done
            }
            None => Err(LeafError::new(column.slot, "an array like this cannot be printed as CSV")),
        }
    }
}

/// Whether a cell of CSV that is an array or a struct has to be quoted; None if that depends on the
/// value.
fn is_quoted(pieces: &[Piece], cpus: Cpus) -> Option<bool> {
    let quotes = |piece: &Piece| match piece {
        Piece::Text(text) => Some(text.contains(&b',') || text.contains(&b'"')),
        Piece::Leaf(leaf) => match leaf.slot().ty() {
            Type::Char(_) | Type::Hex(_) | Type::Atom(Atom::Ptr) => Some(true),
            Type::Atom(atom) if atom.class() == AtomClass::Address => Some(true),
            Type::Enum(_) => None,
            _ => Some(false),
        },
    };
    // If the values of CPUs differ, null is printed.
    let certain = |piece: &Piece| matches!((piece, cpus), (Piece::Text(_), _) | (_, Cpus::One));
    if pieces.iter().any(|piece| quotes(piece) == Some(true) && certain(piece)) {
        return Some(true);
    }
    match pieces.iter().all(|piece| quotes(piece) == Some(false)) {
        true => Some(false),
        false => None,
    }
}
