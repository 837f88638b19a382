//! CSV and TSV: a header with the names of the columns, then a row for each element.
//!
//! Quoting in CSV follows RFC 4180. TSV has no quoting: no cell contains a tab or a newline, because
//! text with control characters is written as a JSON string. So a cell in double quotes is a JSON
//! string: in TSV unchanged, in CSV after unquoting.

use super::elements::Given;
use super::rows::Rows;
use crate::cli::map::target::Target;
use crate::cli::map::target::cpus::Placement;
use crate::cli::map::target::origin::LayoutPart;
use crate::text::escape;
use anyhow::{Context, anyhow, bail};
use bpf_inherit::Map;
use bpf_layout::Type;
use bpf_layout::parse::RowReader;
use bpf_layout::print::{Column, all_columns};
use csv_core::{ReadRecordResult, ReaderBuilder, Terminator};

/// Why there is no sum to load.
pub const CPUS_DIFFER: &str = "the CPUs' values differ (see dump --per-cpu)";

/// Reads each row into the same buffers.
pub struct TableReader<'t> {
    key: Side<'t>,
    value: Side<'t>,
    /// The number of columns; None until the header is read.
    columns: Option<usize>,
    csv: csv_core::Reader,
    /// The cells of a row without gaps, and the end of each.
    text: Vec<u8>,
    ends: Vec<usize>,
    /// How many bytes of `text` and how many of `ends` are in use.
    at: (usize, usize),
    map: &'t Map,
    per_cpu: bool,
    /// Whether a row without a CPU may be a sum that dump printed.
    is_sum: bool,
    /// If each row has the value of one CPU: the column with its number, and the rows of one key.
    cpu: Option<(usize, Rows<'t>)>,
}

/// The columns of the key or of the value.
struct Side<'t> {
    what: &'static str,
    ty: Option<&'t Type>,
    columns: Vec<Column<'t>>,
    row: Option<RowReader<'t>>,
    /// Why only `hex:` is accepted, if the type is not known.
    guess: Option<String>,
    /// The cells of a row that belong to this side, and their paths in the type.
    cells: Vec<(usize, String)>,
    bytes: Vec<u8>,
}

impl<'t> TableReader<'t> {
    pub fn new(target: &'t Target, placement: Placement, delimiter: u8) -> TableReader<'t> {
        let side = |what, ty: Option<&'t Type>, part| Side {
            what,
            ty,
            columns: ty.map(all_columns).unwrap_or_default(),
            guess: target.origin.explain_guess(part),
            row: None,
            cells: Vec::new(),
            bytes: vec![0; ty.map_or(0, Type::size)],
        };
        TableReader {
            key: side("key", target.layout.key.as_ref(), LayoutPart::Key),
            value: side("value", Some(&target.layout.value), LayoutPart::Value),
            columns: None,
            csv: ReaderBuilder::new()
                .delimiter(delimiter)
                .quoting(delimiter == b',')
                .terminator(Terminator::Any(b'\n'))
                .build(),
            text: vec![0; 256],
            ends: vec![0; 16],
            at: (0, 0),
            map: &target.map,
            per_cpu: target.is_per_cpu(),
            is_sum: target.is_per_cpu() && !placement.keeps_others(),
            cpu: None,
        }
    }

    /// Adds a line; false if a quoted cell continues in the next line.
    pub fn add(&mut self, line: &[u8]) -> bool {
        self.feed(line);
        self.feed(b"\n")
    }

    /// Whether the line that names the columns was read.
    pub fn has_header(&self) -> bool {
        self.columns.is_some()
    }

    /// Bytes of the row so far.
    pub fn len(&self) -> usize {
        self.at.0
    }

    /// An error if the table ends in the middle of an element.
    pub fn finish(&self) -> anyhow::Result<()> {
        self.cpu.as_ref().map_or(Ok(()), |(_, rows)| rows.finish())
    }

    /// Parses some input; true once the row is complete.
    fn feed(&mut self, mut input: &[u8]) -> bool {
        loop {
            let (text, ends) = (&mut self.text[self.at.0..], &mut self.ends[self.at.1..]);
            let (result, read, written, ended) = self.csv.read_record(input, text, ends);
            input = &input[read..];
            self.at = (self.at.0 + written, self.at.1 + ended);
            match result {
                ReadRecordResult::InputEmpty => return false,
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record | ReadRecordResult::End => return true,
            }
        }
    }

    /// The key and the value of the row that was added; None for the header, and for every row of an
    /// element but its last.
    pub fn take(&mut self) -> anyhow::Result<Option<(&[u8], Given<'_>)>> {
        let (length, count) = std::mem::take(&mut self.at);
        let text = std::str::from_utf8(&self.text[..length]).map_err(|_| anyhow!("not UTF-8"))?;
        let ends = &self.ends[..count];
        let cell = |i: usize| {
            let start = if i == 0 { 0 } else { ends[i - 1] };
            text.get(start..ends[i]).unwrap_or_default()
        };
        let Some(columns) = self.columns else {
            for at in 0..count {
                let name = cell(at);
                // In a per-CPU map, a field of this name is called value.cpu or key.cpu.
                let is_cpu = name == "cpu" && self.per_cpu;
                if is_cpu && self.cpu.is_none() {
                    self.cpu = Some((at, Rows::new(self.map)?));
                    continue;
                }
                let claimed = match is_cpu {
                    true => Err(anyhow!("given twice")),
                    false => claim(&mut self.key, &mut self.value, at, name),
                };
                claimed.with_context(|| format!("column {}", escape(short(name).as_bytes())))?;
            }
            self.key.finish()?;
            self.value.finish()?;
            self.columns = Some(count);
            return Ok(None);
        };
        if count != columns {
            bail!("{count} cells, but the header has {columns}");
        }
        self.key.read(cell)?;
        if self.is_sum && self.cpu.is_none() {
            self.value.check_agreed(cell)?;
        }
        self.value.read(cell)?;
        let (key, value) = (&self.key.bytes, &self.value.bytes);
        match &mut self.cpu {
            None => Ok(Some((key, Given::One(value)))),
            Some((at, rows)) => {
                let each = rows.add(cell(*at), key, value)?;
                Ok(each.map(|each| (&key[..], Given::Each(each))))
            }
        }
    }
}

/// Assigns a column to the key or the value, by the names that dump prints: the path of a field, after
/// `key.` or `value.` if both have this field; `key` or `value` for a type that is not a struct.
fn claim<'t>(
    key: &mut Side<'t>,
    value: &mut Side<'t>,
    at: usize,
    name: &str,
) -> anyhow::Result<()> {
    let by_prefix = |side: &Side| side.qualified(name);
    let (side, path) = match (by_prefix(key), by_prefix(value)) {
        (Some(path), _) => (key, path),
        (_, Some(path)) => (value, path),
        (None, None) => match (key.has(name), value.has(name)) {
            (true, true) => {
                let name = escape(short(name).as_bytes());
                bail!("key and value both have it: name it key.{name} or value.{name}")
            }
            (true, false) => (key, name),
            (false, true) => (value, name),
            (false, false) => bail!("no such column in the layout"),
        },
    };
    if side.cells.iter().any(|(_, taken)| taken == path) {
        bail!("given twice");
    }
    side.cells.push((at, path.to_owned()));
    Ok(())
}

impl Side<'_> {
    /// Whether the type has a column with this path; the path is empty if the type is not a struct.
    fn has(&self, path: &str) -> bool {
        self.columns.iter().any(|column| column.name == path)
    }

    /// The path in a name that begins with `key` or `value`, if this side has it.
    fn qualified<'n>(&self, name: &'n str) -> Option<&'n str> {
        match name.strip_prefix(self.what)? {
            "" => self.has("").then_some(""),
            // A type that is not a struct, with the prefix: `value.value`.
            rest if self.has("") && rest.strip_prefix('.') == Some(self.what) => Some(""),
            rest => rest.strip_prefix('.').filter(|path| !path.is_empty() && self.has(path)),
        }
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        if let Some(ty) = self.ty {
            let names = self.cells.iter().map(|(_, path)| path.as_str());
            let row = RowReader::new(ty, names)
                .with_context(|| format!("the columns of the {}", self.what));
            self.row = Some(row?);
        }
        Ok(())
    }

    /// An error for `-`, which dump prints if the CPUs' values differ. Text that is `-` is in quotes.
    fn check_agreed<'n>(&self, cell: impl Fn(usize) -> &'n str) -> anyhow::Result<()> {
        match self.cells.iter().find(|(at, _)| cell(*at) == "-") {
            Some((_, path)) if path.is_empty() => bail!("{}: {CPUS_DIFFER}", self.what),
            Some((_, path)) => bail!("{}: {path}: {CPUS_DIFFER}", self.what),
            None => Ok(()),
        }
    }

    fn read<'n>(&mut self, cell: impl Fn(usize) -> &'n str) -> anyhow::Result<()> {
        let Some(row) = &mut self.row else { return Ok(()) };
        let is_hex = |(at, _): &(usize, String)| cell(*at).starts_with("hex:");
        if let Some(why) = self.guess.as_ref().filter(|_| !self.cells.iter().all(is_hex)) {
            bail!("{}: {why}", self.what);
        }
        let cells = self.cells.iter().map(|(at, _)| cell(*at));
        row.read(cells, &mut self.bytes).context(self.what)
    }
}

fn short(text: &str) -> &str {
    text.char_indices().nth(40).map_or(text, |(at, _)| &text[..at])
}
