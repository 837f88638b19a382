//! Reads and checks the elements of a file or of standard input one by one.

use super::elements::{Elements, Given};
use super::{json, table};
use crate::cli::map::lines::Lines;
use crate::cli::map::target::Target;
use crate::cli::map::target::cpus::Placement;
use anyhow::{Context, bail};
use bpf_layout::Slot;
use std::ffi::OsStr;

/// The longest line: a fixed number of bytes, and more for each byte of the element, which may be
/// written as `-128,` with spaces.
const LINE: usize = 4 << 20;
const LINE_FOR_BYTE: usize = 64;

/// The format of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFormat {
    Json,
    /// A table whose cells are separated by this byte.
    Table(u8),
}

enum LineReader<'t> {
    Json(json::JsonReader<'t>),
    Table(Box<table::TableReader<'t>>),
}

/// The input for one map.
pub struct Input<'t> {
    target: &'t Target,
    placement: Placement,
    pub lines: Lines,
    reader: LineReader<'t>,
    /// The number of the last line that is not empty.
    last: usize,
}

impl<'t> Input<'t> {
    pub fn open(
        target: &'t Target,
        placement: Placement,
        file: Option<&OsStr>,
        format: InputFormat,
    ) -> anyhow::Result<Input<'t>> {
        let bytes = target.map.key_len() + target.map.value_len();
        let lines = Lines::open(file, LINE + LINE_FOR_BYTE * bytes)?;
        let reader = match format {
            InputFormat::Json => LineReader::Json(json::JsonReader::new(target)),
            InputFormat::Table(delimiter) => {
                LineReader::Table(Box::new(table::TableReader::new(target, placement, delimiter)))
            }
        };
        Ok(Input { target, placement, lines, reader, last: 0 })
    }

    /// Reads one element; false at the end.
    pub fn next(&mut self, elements: &mut Elements) -> anyhow::Result<bool> {
        let Input { target, placement, lines, reader, last } = self;
        let limit = lines.limit;
        let place = |name: &str, line: usize| format!("{}: {name}: line {line}", target.label);
        loop {
            let Some((number, line)) = lines.next().with_context(|| target.label.clone())? else {
                if let LineReader::Table(reader) = reader {
                    if !reader.has_header() {
                        bail!("{}: {}: no line names the columns", target.label, lines.name);
                    }
                    reader.finish().with_context(|| place(&lines.name, *last))?;
                }
                return Ok(false);
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            *last = number;
            let read = match reader {
                LineReader::Json(reader) => reader.read(line).map(Some),
                LineReader::Table(reader) => {
                    let mut complete = reader.add(line);
                    while !complete {
                        let next = lines.next().with_context(|| target.label.clone())?;
                        let line = next.filter(|_| reader.len() <= limit);
                        complete = match line {
                            Some((_, line)) => reader.add(line),
                            None => {
                                bail!("{}: unterminated quote", place(&lines.name, number))
                            }
                        };
                    }
                    reader.take()
                }
            };
            let read = read.and_then(|read| {
                let Some((key, value)) = read else { return Ok(false) };
                in_range(target, key)?;
                check_cpus(target, *placement, &value)?;
                elements.push(key, value, number);
                Ok(true)
            });
            if read.with_context(|| place(&lines.name, number))? {
                return Ok(true);
            }
        }
    }
}

/// An error if a single value needs an option that selects CPUs and there is none, or if there is one
/// and the line has the values of all CPUs.
fn check_cpus(target: &Target, placement: Placement, value: &Given) -> anyhow::Result<()> {
    match value {
        Given::One(value) => {
            let slot = Slot::from(&target.layout.value);
            placement.check(slot.is_zero(value)).context("value")
        }
        Given::Each(_) => placement.check_each(),
    }
}

/// An error if the index is past the end of the array.
fn in_range(target: &Target, key: &[u8]) -> anyhow::Result<()> {
    let info = target.map.info();
    if let (true, Some(index)) = (info.map_type.is_indexed(), key.first_chunk()) {
        let (index, entries) = (u32::from_ne_bytes(*index), info.max_entries);
        if index >= entries {
            bail!("key: {index} is past the end of an array of {entries}");
        }
    }
    Ok(())
}
