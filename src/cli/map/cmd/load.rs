//! `bpf-map load`: writes the elements of a file to a map. By default the whole file is read and
//! checked before the first element is written.

mod difference;
mod dry_run;
mod elements;
mod guess;
mod input;
mod json;
mod kept;
mod progress;
mod remove;
mod replace;
mod rows;
mod same;
mod table;
mod wanted;
mod write;

use super::get;
use crate::cli::exit::{self, Output};
use crate::cli::map::session::Session;
use crate::cli::map::target::cpus::{self, Placement};
use crate::cli::map::target::{Target, reference};
use crate::output::element::Integers;
use anyhow::{Context, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use difference::{Count, Difference};
use dry_run::DryRun;
use elements::Elements;
use input::{Format, Input};
use kept::Kept;
use progress::Progress;
use replace::Failure;
use std::ffi::OsString;
use write::{Refused, Writer};

/// How many elements `--stream` collects if they arrive faster than they can be written.
const STREAM: usize = 4096;

pub fn arguments(command: Command) -> Command {
    let flag = |name, help| Arg::new(name).long(name).help(help).action(ArgAction::SetTrue);
    // A required option that conflicts with a given one is not asked for.
    let others = ["stream", "if-absent"];
    let command = reference::arguments(command).args([
        Arg::new("FILE")
            .help("The file [default: standard input]")
            .value_parser(value_parser!(OsString)),
        flag("csv", "Read CSV instead of JSON lines").conflicts_with("tsv"),
        flag("tsv", "Read tab-separated values"),
        flag("if-absent", "Write only entries whose key is missing"),
        flag("replace", "Write entries that differ, and remove those that are not in the file")
            .conflicts_with_all(others),
        flag("dry-run", "Print what --replace would change, and change nothing")
            .requires("replace")
            .conflicts_with_all(others),
        flag("stream", "Write while reading, without checking the whole file first"),
    ]);
    let json = get::json_flags().map(|flag| flag.requires("dry-run").conflicts_with_all(others));
    command.args(cpus::written()).args(json)
}

pub fn run(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let (startup, out) = session.parts();
    let file = matches.get_one::<OsString>("FILE").map(OsString::as_os_str);
    if out.line.is_some() && file.is_none_or(|file| file == "-") {
        bail!("load: standard input is not available in a batch: name a file");
    }
    let flag = |name: &str| matches.get_flag(name);
    let target = reference::open(startup, matches, !flag("dry-run"))?;
    let allowed = allow(&target, flag("replace"), flag("if-absent"));
    allowed.with_context(|| target.label.clone())?;
    let placement = target.placement(matches)?;
    let format = match (flag("csv"), flag("tsv")) {
        (true, _) => Format::Table(b','),
        (_, true) => Format::Table(b'\t'),
        _ => Format::Json,
    };
    let mut load = Load {
        target: &target,
        placement,
        input: Input::open(&target, placement, file, format)?,
        writer: Writer::new(&target, placement, flag("if-absent")),
        elements: Elements::new(&target.map, placement),
        progress: Progress::new(),
    };
    if flag("replace") {
        load.read(None)?;
        if flag("dry-run") {
            return load.dry_run(get::integers(matches), out);
        }
        let messages = load.replace()?;
        drop(load);
        return report(messages, out);
    }
    let mut kept = Kept::new(&target, flag("stream"));
    load.read(flag("stream").then_some(&mut kept))?;
    load.write(!flag("stream"), &mut kept)?;
    let (written, present) = (load.writer.written, load.writer.kept);
    // The progress line is removed before messages are printed.
    drop(load);
    let all = written + present;
    let label = &target.label;
    let present =
        (present > 0).then(|| format!("{label}: {present} of {all} keys are there already"));
    let evicted = kept.map_or(Ok(None), Kept::check)?;
    report(present.into_iter().chain(evicted), out)
}

/// Prints messages about a map that differs from the file; returns the exit status.
fn report(messages: impl IntoIterator<Item = String>, out: &mut Output) -> anyhow::Result<u8> {
    let mut status = 0;
    for message in messages {
        out.report(message)?;
        status = exit::ABSENT;
    }
    Ok(status)
}

/// An error if the map's type cannot be loaded, or not with these options.
fn allow(target: &Target, replace: bool, if_absent: bool) -> anyhow::Result<()> {
    let kind = target.map.info().map_type;
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

/// One load, from its lines to the map.
struct Load<'t> {
    target: &'t Target,
    placement: Placement,
    input: Input<'t>,
    writer: Writer<'t>,
    elements: Elements<'t>,
    progress: Progress,
}

impl<'t> Load<'t> {
    /// Reads all elements. With `--stream`, all but the last ones are written: whenever the next line
    /// is not available yet, and if many were collected.
    fn read(&mut self, mut stream: Option<&mut Option<Kept<'t>>>) -> anyhow::Result<()> {
        let size = self.input.lines.size();
        let mut shown = 0;
        loop {
            if let Some(kept) = &mut stream
                && (self.elements.len() >= STREAM || !self.input.lines.is_ready())
            {
                self.write(false, kept)?;
                self.elements.clear();
            }
            match (self.input.next(&mut self.elements), &mut stream) {
                (Ok(true), _) => {}
                (Ok(false), _) => return Ok(()),
                (Err(error), Some(kept)) => {
                    self.write(false, kept)?;
                    bail!("{error:#} ({} were written)", self.writer.written);
                }
                (Err(error), None) => return Err(error),
            }
            let total = self.input.lines.total();
            if total != shown {
                shown = total;
                self.progress.step("reading", total, size);
            }
        }
    }

    /// Writes the elements that were read; `whole` unless they are a part of a stream.
    fn write(&mut self, whole: bool, kept: &mut Option<Kept>) -> anyhow::Result<()> {
        let progress = whole.then_some(&mut self.progress);
        let count = self.elements.len();
        let result = self.writer.write(&self.elements, count, |at| at, progress);
        result.map_err(|refused| self.refused(refused, whole.then_some(count)))?;
        if let Some(kept) = kept {
            kept.add(&self.elements);
        }
        Ok(())
    }

    /// Prints the entries that differ.
    fn dry_run(self, json: Option<Integers>, out: &mut Output) -> anyhow::Result<u8> {
        let Load { target, placement, ref elements, progress, .. } = self;
        drop(progress);
        let mut difference = Difference::new(target, elements, placement)?;
        let key_type = target.walked_key("load")?;
        let differs =
            DryRun { target, key_type, elements, placement, json }.print(&mut difference, out)?;
        Ok(if differs { exit::ABSENT } else { 0 })
    }

    /// Writes and removes the entries that differ; a message if entries still differ.
    fn replace(&mut self) -> anyhow::Result<Option<String>> {
        let Load { target, placement, elements, writer, progress, .. } = self;
        let mut difference = Difference::new(target, elements, *placement)?;
        match replace::replace(target, elements, &mut difference, writer, progress) {
            Ok(count) => {
                let name = &self.input.lines.name;
                Ok(left(target, name, difference.wanted(), count))
            }
            Err(Failure::Refused(refused, all)) => Err(self.refused(refused, Some(all))),
            Err(Failure::Other(error)) => Err(error),
        }
    }

    /// The error for an element that could not be written; `all` is how many were to be written.
    fn refused(
        &self,
        Refused { element, error, .. }: Refused,
        all: Option<usize>,
    ) -> anyhow::Error {
        let (name, written) = (&self.input.lines.name, self.writer.written);
        let line = self.elements.line(element);
        let of = all.map_or(String::new(), |all| format!(" of {all}"));
        anyhow!("{error:#}: {name}: line {line} ({written}{of} elements were written)")
    }
}

/// What is reported if the map still differs from the file.
fn left(target: &Target, name: &str, wanted: usize, count: Count) -> Option<String> {
    let Count { missing, changed, others } = count;
    let label = &target.label;
    match count.all() {
        0 => None,
        all if all == missing && target.map.info().map_type.evicts() => {
            Some(kept::message(label, wanted - missing, wanted))
        }
        all => Some(format!(
            "{label}: entries that differ from {name}: {all} ({missing} missing, {changed} with \
             another value, {others} in the map only)"
        )),
    }
}
