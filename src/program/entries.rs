//! The program that prints the entries of a map: an iterator over its elements, generated for a layout
//! and a format. What it prints is what `bpf-map dump` prints, but for padding.

mod address;
mod number;
#[cfg(test)]
mod tests;
mod text;
mod utf8;

use super::assembler::Register::{self, *};
use super::assembler::{Code, If, Label, TooLong};
use super::kernel::{self, Unsupported};
use super::object::{Buffered, buffered};
use super::printer::Printer;
use crate::output::separated;
use bpf_layout::print::{self, Column, Leaf, Piece, Style, has_sums, template};
use bpf_layout::{Atom, AtomClass, Btf, Slot, Type};

/// The function of the kernel that the program is attached to.
const FUNCTION: &str = "bpf_iter_bpf_map_elem";
/// The longest text, which bounds the steps of the verifier.
const MAX_TEXT: u32 = 1024;
/// The kernel's buffer has 32 KiB, and a record has to fit.
const MAX_RECORD: usize = 32 << 10;

/// The entries of a map, and their format.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'t> {
    pub key: &'t Type,
    pub value: &'t Type,
    pub format: Format,
    pub cpus: Cpus<'t>,
}

/// How entries are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Plain,
    JsonLines,
    /// With a separator.
    Table(u8),
}

/// How the values of CPUs are printed. `stride` is the distance between two of them in bytes.
#[derive(Clone, Copy, Debug)]
pub enum Cpus<'t> {
    /// There is one value.
    One,
    Sum {
        stride: u32,
        count: u32,
    },
    /// With the numbers of the CPUs.
    Each {
        stride: u32,
        numbers: &'t [u32],
    },
}

/// Why entries cannot be printed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unprintable {
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// A field of the value, and why.
    #[error("{0}: {1} by a program in the kernel (--fields selects other fields)")]
    Value(String, &'static str),
    /// A field of the key, and why.
    #[error("key: {0}: {1} by a program in the kernel")]
    Key(String, &'static str),
    /// All fields together.
    #[error(
        "the fields take more than 32 KiB of text or too many instructions (--fields selects some)"
    )]
    TooLong,
}

impl From<TooLong> for Unprintable {
    fn from(_: TooLong) -> Unprintable {
        Unprintable::TooLong
    }
}

/// The program for the kernel with this BTF, and the id of [`FUNCTION`] in it.
pub fn program(btf: &Btf, entries: &Entries) -> Result<(u32, Code), Unprintable> {
    Ok((kernel::function(btf, FUNCTION)?, generate(entries, buffered(btf)?)?))
}

/// Where a value is in memory.
#[derive(Clone, Copy, Debug)]
struct Place {
    base: Register,
    /// In bytes.
    offset: u32,
}

/// What CSV does to quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoting {
    None,
    /// In a cell that is quoted.
    Doubled,
    /// Text that is a whole cell, and may have to be quoted.
    Cell,
}

/// A program in the making. R6 is the seq_file, R7 the key, R8 the value.
struct Generator {
    out: Printer,
    quoting: Quoting,
    /// Where the table for text is, once there is one.
    machine: Option<u32>,
    /// The greatest length of a record in bytes.
    length: usize,
}

const KEY: Place = Place { base: R7, offset: 0 };
const VALUE: Place = Place { base: R8, offset: 0 };

/// `struct bpf_iter__bpf_map_elem` has the metadata, the map, the key and the value, which are null after
/// the last entry.
fn generate(entries: &Entries, buffered: Buffered) -> Result<Code, Unprintable> {
    let out = Printer::default();
    let mut generator = Generator { out, quoting: Quoting::None, machine: None, length: 0 };
    let (no_header, entry, end) = generator.labels();
    let asm = &mut generator.out.asm;
    asm.load(super::assembler::Width::Eight, R7, R1, 16);
    asm.load(super::assembler::Width::Eight, R8, R1, 24);
    generator.out.begin_output(buffered, no_header);
    let table = match entries.format {
        Format::Table(separator) => {
            let table = Table::new(entries, separator);
            generator.text(&table.header);
            generator.out.flush();
            Some(table)
        }
        _ => None,
    };
    let asm = &mut generator.out.asm;
    asm.put(no_header);
    asm.jump_if(If::Equal, R7, 0, end);
    asm.jump_if(If::NotEqual, R8, 0, entry);
    asm.put(end);
    generator.out.end();
    generator.out.asm.put(entry);
    generator.length = 0;
    match table {
        Some(table) => generator.rows(entries, &table)?,
        None => generator.record(entries)?,
    }
    generator.out.flush();
    generator.out.end();
    if generator.length > MAX_RECORD {
        return Err(Unprintable::TooLong);
    }
    Ok(generator.out.asm.finish()?)
}

/// The columns of a table.
struct Table<'t> {
    key: Vec<Column<'t>>,
    value: Vec<Column<'t>>,
    separator: u8,
    header: Vec<u8>,
}

impl<'t> Table<'t> {
    fn new(entries: &Entries<'t>, separator: u8) -> Table<'t> {
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
    /// A line, plain or of JSON.
    fn record(&mut self, entries: &Entries) -> Result<(), Unprintable> {
        let json = entries.format == Format::JsonLines;
        let form = |ty: &Type| match json {
            true => template(|values, out| print::json(ty, values, out)),
            false => template(|values, out| print::plain(ty, values, out)),
        };
        let (key, value) = (form(entries.key), form(entries.value));
        self.text(if json { b"{\"key\":" } else { b"" });
        self.pieces(&key, KEY, Cpus::One).map_err(|e| e.of_key(entries.key))?;
        let fail = |error: LeafError| error.of_value(entries.value);
        match entries.cpus {
            Cpus::Each { stride, numbers } => {
                self.text(if json { b",\"values\":[" } else { b"\t" });
                for cpu in 0..numbers.len() as u32 {
                    if cpu > 0 {
                        self.text(if json { b"," } else { b"\t" });
                    }
                    let place = Place { offset: cpu * stride, ..VALUE };
                    self.pieces(&value, place, Cpus::One).map_err(fail)?;
                }
                self.text(if json { b"]" } else { b"" });
            }
            cpus => {
                self.text(if json { b",\"value\":" } else { b"\t" });
                self.pieces(&value, VALUE, cpus).map_err(fail)?;
            }
        }
        if json && matches!(entries.cpus, Cpus::Sum { .. }) {
            let sums = has_sums(entries.value);
            self.text(if sums { b",\"sum\":true" } else { b",\"sum\":false" });
        }
        self.text(if json { b"}\n" } else { b"\n" });
        Ok(())
    }

    /// A row, or one for each CPU.
    fn rows(&mut self, entries: &Entries, table: &Table) -> Result<(), Unprintable> {
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

    fn pieces(&mut self, pieces: &[Piece], place: Place, cpus: Cpus) -> Result<(), LeafError> {
        for piece in pieces {
            match piece {
                Piece::Text(text) if self.quoting == Quoting::Doubled => {
                    self.text(&text::double(text));
                }
                Piece::Text(text) => self.text(text),
                Piece::Leaf(leaf) => self.leaf(leaf, place, cpus)?,
            }
        }
        Ok(())
    }

    fn leaf(&mut self, leaf: &Leaf, place: Place, cpus: Cpus) -> Result<(), LeafError> {
        let slot = leaf.slot();
        check(slot)?;
        let (stride, count) = match cpus {
            Cpus::Sum { stride, count } => (stride, count),
            _ => (0, 1),
        };
        // In a sum, text that is - is not what is printed if CPUs differ.
        let is_sum = matches!(cpus, Cpus::Sum { .. });
        if count == 1 {
            self.one(leaf, place, is_sum);
        } else if has_sums(slot) {
            self.sum(slot, place, stride, count);
            self.length += 40;
        } else {
            self.out.flush();
            let (differ, after, _) = self.labels();
            self.check_agreement(slot, place, (stride, count), differ);
            self.one(leaf, place, is_sum);
            self.out.flush();
            self.out.asm.jump(after);
            self.out.asm.put(differ);
            self.text(if leaf.style == Style::Json { b"null" } else { b"-" });
            self.out.flush();
            self.out.asm.put(after);
        }
        Ok(())
    }

    /// Prints one value.
    fn one(&mut self, leaf: &Leaf, place: Place, is_sum: bool) {
        let (slot, style) = (leaf.slot(), leaf.style);
        let at = Place { offset: place.offset + slot.offset() as u32, ..place };
        match slot.ty() {
            Type::Char(len) => self.characters(*len as usize, at, style, is_sum),
            Type::Hex(0) if style == Style::Cell && self.quoting == Quoting::Cell => {
                self.text(b"\"\"");
            }
            Type::Hex(len) => {
                self.quotes(style);
                self.hex(at, *len as usize);
                self.quotes(style);
            }
            Type::Enum(names) => {
                let named = |number: i128| {
                    let name = names.name_of(number).unwrap_or_default();
                    let mut text = name.as_bytes().to_vec();
                    if style == Style::Json {
                        text = [b"\"", &text[..], b"\""].concat();
                    }
                    let doubled = self.quoting == Quoting::Doubled;
                    (number as u64, if doubled { text::double(&text) } else { text })
                };
                let mut numbers: Vec<i128> = names.names().map(|(_, number)| number).collect();
                numbers.sort_unstable();
                numbers.dedup();
                let names = numbers.into_iter().map(named).collect();
                self.name(slot, place, names);
            }
            Type::Atom(Atom::Bool) => {
                self.name(slot, place, vec![(0, b"false".to_vec()), (1, b"true".to_vec())]);
            }
            Type::Atom(Atom::Ptr) => self.pointer(slot, place, style),
            Type::Atom(atom) if atom.class() == AtomClass::Address => {
                self.quotes(style);
                self.address(*atom, at);
                self.quotes(style);
            }
            _ => self.number(slot, place),
        }
    }

    fn text(&mut self, text: &[u8]) {
        self.length += text.len();
        self.out.text(text);
    }

    fn argument(&mut self, conversion: &str, from: Register) {
        self.out.argument(conversion, from);
    }

    /// The quotes around what needs no escapes, in JSON only.
    fn quotes(&mut self, style: Style) {
        match (style, self.quoting) {
            (Style::Json, Quoting::Doubled) => self.text(b"\"\""),
            (Style::Json, _) => self.text(b"\""),
            _ => {}
        }
    }

    fn labels(&mut self) -> (Label, Label, Label) {
        let asm = &mut self.out.asm;
        (asm.label(), asm.label(), asm.label())
    }
}

/// A leaf that cannot be printed: its position and the reason.
struct LeafError {
    bit: u64,
    reason: &'static str,
}

impl LeafError {
    fn new(slot: Slot, reason: &'static str) -> LeafError {
        LeafError { bit: slot.bit(), reason }
    }

    fn of_key(self, key: &Type) -> Unprintable {
        Unprintable::Key(self.column(key, "key"), self.reason)
    }

    fn of_value(self, value: &Type) -> Unprintable {
        Unprintable::Value(self.column(value, "value"), self.reason)
    }

    /// The name of the column that the leaf is part of.
    fn column(&self, ty: &Type, whole: &str) -> String {
        let columns = print::columns(ty);
        let contains = |column: &&Column| {
            let slot = column.slot;
            let bits = slot.width().map_or(slot.ty().size() as u64 * 8, u64::from);
            (slot.bit()..slot.bit() + bits).contains(&self.bit)
        };
        // Several members of a union are at this position: take the first that cannot be printed.
        let mut columns = columns.iter().filter(contains);
        let column = columns.clone().find(|column| check(column.slot).is_err());
        let name = column.or_else(|| columns.next()).map_or("", |column| column.name.as_str());
        if name.is_empty() { whole.to_owned() } else { name.to_owned() }
    }
}

/// An error if a scalar or text cannot be printed as the codec prints it.
fn check(slot: Slot) -> Result<(), LeafError> {
    let reason = match slot.ty() {
        Type::Atom(Atom::F32 | Atom::F64) => "floating-point numbers cannot be printed",
        Type::Atom(Atom::U128 | Atom::I128) => "integers of 128 bits cannot be printed",
        Type::Char(len) if *len > MAX_TEXT => "text of more than 1024 bytes cannot be printed",
        Type::Lpm(_) => "prefixes cannot be printed",
        Type::Array(array) => return check(array.elem().into()),
        _ => return Ok(()),
    };
    Err(LeafError::new(slot, reason))
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
