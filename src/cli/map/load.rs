//! `bpf-map load`: elements out of a file. By default all of it is read and checked
//! before the first is written.

mod elements;
mod guess;
mod json;
mod progress;
mod rows;
mod table;
mod write;

use super::cpus::{self, Placement};
use super::lines::Lines;
use super::reference::{self, Target};
use crate::cli::exit::{self, Output};
use crate::layout::Slot;
use crate::map::kind::Kind;
use anyhow::{Context, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use elements::{Elements, Given};
use guess::Guess;
use progress::Progress;
use std::ffi::OsString;
use write::{Refused, Writer};

/// Bytes that a line may have beside those of its element, each of which may take as
/// much as `-128,` and more.
const LINE: usize = 4 << 20;
const LINE_FOR_BYTE: usize = 64;
/// Elements that `--stream` gathers, if they come faster than they can be written.
const STREAM: usize = 4096;

pub fn arguments(command: Command) -> Command {
    let flag = |name, help| Arg::new(name).long(name).help(help).action(ArgAction::SetTrue);
    let command = reference::arguments(command).args([
        Arg::new("FILE")
            .help("The file [default: standard input]")
            .value_parser(value_parser!(OsString)),
        flag("csv", "Read CSV, in place of a JSON object a line").conflicts_with("tsv"),
        flag("tsv", "Read tab-separated values"),
        flag("if-absent", "Write only what is not there"),
        flag("replace", "Also remove what is not in the file")
            .conflicts_with_all(["stream", "if-absent"]),
        flag("stream", "Write while reading, without checking all first"),
    ]);
    command.args(cpus::written())
}

pub fn run(matches: &ArgMatches, out: &mut Output) -> anyhow::Result<u8> {
    let file = matches.get_one::<OsString>("FILE").map(OsString::as_os_str);
    if out.line.is_some() && file.is_none_or(|file| file == "-") {
        bail!("load: standard input is not to be had within a batch: name a file");
    }
    let target = reference::open(matches, true)?;
    let flag = |name: &str| matches.get_flag(name);
    let allowed = allow(&target, flag("replace"), flag("if-absent"));
    allowed.with_context(|| target.label.clone())?;
    let placement = target.placement(matches)?;
    let bytes = target.map.key_len() + target.map.value_len();
    let lines = Lines::open(file, LINE + LINE_FOR_BYTE * bytes)?;
    let reader = match (flag("csv"), flag("tsv")) {
        (true, _) => Reader::table(&target, b','),
        (_, true) => Reader::table(&target, b'\t'),
        _ => Reader::Json(json::Reader::new(&target)),
    };
    let mut load = Load {
        target: &target,
        placement,
        lines,
        reader,
        guess: Guess::new(&target),
        writer: Writer::new(&target, placement, flag("if-absent")),
        elements: Elements::new(&target.map, placement),
        progress: Progress::new(),
    };
    load.all(flag("stream"), flag("replace"))?;
    let Load { writer: Writer { written, kept, .. }, .. } = load;
    if kept == 0 {
        return Ok(0);
    }
    let all = written + kept;
    out.report(format_args!("{}: {kept} of {all} keys are there already", target.label))?;
    Ok(exit::ABSENT)
}

/// An error where the map's type takes nothing from a file, or not in this way.
fn allow(target: &Target, replace: bool, if_absent: bool) -> anyhow::Result<()> {
    let kind = Kind(target.map.info().kind);
    let name = kind.with_article();
    if kind.has_no_elements() {
        bail!("load: not possible with {name}");
    }
    if kind.takes_objects() {
        bail!("load: not possible with {name}, whose elements are set one by one (bpf-map set)");
    }
    let flag = if replace { "--replace" } else { "--if-absent" };
    if (replace || if_absent) && target.map.key_len() == 0 {
        bail!("load: {flag} is not possible with {name}, which has no keys");
    }
    Ok(())
}

enum Reader<'t> {
    Json(json::Reader<'t>),
    Table(Box<table::Reader<'t>>),
}

impl<'t> Reader<'t> {
    fn table(target: &'t Target, delimiter: u8) -> Reader<'t> {
        Reader::Table(Box::new(table::Reader::new(target, delimiter)))
    }
}

/// One load, from its lines to the map.
struct Load<'t> {
    target: &'t Target,
    placement: Placement,
    lines: Lines,
    reader: Reader<'t>,
    /// Set if a type is not known.
    guess: Option<Guess>,
    writer: Writer<'t>,
    elements: Elements<'t>,
    progress: Progress,
}

impl Load<'_> {
    fn all(&mut self, stream: bool, replace: bool) -> anyhow::Result<()> {
        let size = self.lines.size();
        let mut told = 0;
        loop {
            // What was gathered is not kept back while the next line is waited for.
            if stream && (self.elements.len() >= STREAM || !self.lines.is_ready()) {
                self.write(false)?;
                self.elements.clear();
            }
            match self.next() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if stream => {
                    self.write(false)?;
                    bail!("{error:#} ({} were written)", self.writer.written);
                }
                Err(error) => return Err(error),
            }
            if self.lines.total() != told {
                told = self.lines.total();
                self.progress.step("reading", told, size);
            }
        }
        if replace {
            write::remove_others(self.target, &self.elements)?;
        }
        self.write(!stream)
    }

    /// Reads one element; false at the end.
    fn next(&mut self) -> anyhow::Result<bool> {
        let Load { target, placement, lines, reader, guess, elements, .. } = self;
        let limit = lines.limit;
        let place = |name: &str, line: usize| format!("{}: {name}: line {line}", target.label);
        loop {
            let Some((number, line)) = lines.next().with_context(|| target.label.clone())? else {
                if let Reader::Table(reader) = reader {
                    reader.finish().with_context(|| format!("{}: {}", target.label, lines.name))?;
                }
                return Ok(false);
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let read = match reader {
                Reader::Json(reader) => {
                    let checked = guess.as_ref().map_or(Ok(()), |guess| guess.check(line));
                    checked.and_then(|()| reader.read(line).map(Some))
                }
                Reader::Table(reader) => {
                    let mut complete = reader.add(line);
                    while !complete {
                        let next = lines.next().with_context(|| target.label.clone())?;
                        let line = next.filter(|_| reader.len() <= limit);
                        complete = match line {
                            Some((_, line)) => reader.add(line),
                            None => {
                                bail!("{}: a quote without its end", place(&lines.name, number))
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

    /// Writes what was gathered; it is all there is, unless it is a part of a stream.
    fn write(&mut self, whole: bool) -> anyhow::Result<()> {
        let progress = whole.then_some(&mut self.progress);
        let result = self.writer.write(&self.elements, progress);
        result.map_err(|Refused { element, error }| {
            let name = &self.lines.name;
            let (line, written) = (self.elements.line(element), self.writer.written);
            let of = if whole { format!(" of {}", self.elements.len()) } else { String::new() };
            anyhow!("{error:#}: {name}: line {line} ({written}{of} elements were written)")
        })
    }
}

/// An error if no option selects the CPUs that get a value, or a line has values for more than `--cpu`.
fn check_cpus(target: &Target, placement: Placement, value: &Given) -> anyhow::Result<()> {
    match value {
        Given::One(value) => {
            let slot = Slot::from(&target.layout.value);
            placement.check(slot.is_zero(value)).context("value")
        }
        Given::Each(_) if placement.keeps_others() => {
            bail!("values for every CPU, but --cpu selects one")
        }
        Given::Each(_) => Ok(()),
    }
}

/// An error for an index that is past the end of an array.
fn in_range(target: &Target, key: &[u8]) -> anyhow::Result<()> {
    let info = target.map.info();
    if let (true, Some(index)) = (Kind(info.kind).is_indexed(), key.first_chunk()) {
        let (index, entries) = (u32::from_ne_bytes(*index), info.max_entries);
        if index >= entries {
            bail!("key: {index} is past the end of an array of {entries}");
        }
    }
    Ok(())
}
