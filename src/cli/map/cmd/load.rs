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
mod steps;
mod table;
mod wanted;
mod write;

use crate::cli::exit;
use crate::cli::map::arguments::{self, MapArguments, WrittenCpus};
use crate::cli::map::output::Output;
use crate::cli::map::session::Session;
use crate::cli::map::target::Target;
use crate::output::element::Integers;
use anyhow::{Context, bail};
use bpf_inherit::AccessMode;
use clap::{ArgMatches, Command};
use input::InputFormat;
use kept::Kept;
use std::ffi::OsStr;
use steps::Load;

pub fn arguments(command: Command) -> Command {
    let flag = arguments::flag;
    // A required option that conflicts with a given one is not asked for.
    let others = ["stream", "if-absent"];
    let command = arguments::map(command).args([
        arguments::input_file(),
        flag("csv", "Read CSV instead of JSON lines").conflicts_with("tsv"),
        flag("tsv", "Read tab-separated values"),
        flag("if-absent", "Write only entries whose key is missing"),
        flag(
            "replace",
            "Write the entries that differ, and remove entries that are not in the file",
        )
        .conflicts_with_all(others),
        flag("dry-run", "With --replace: print what it would change, and change nothing")
            .requires("replace")
            .conflicts_with_all(others),
        flag("stream", "Write while reading, without checking the whole file first"),
    ]);
    let json = arguments::json_flags().map(|flag| {
        let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
        flag.help(format!("With --dry-run: {}", help.replacen('P', "p", 1)))
            .requires("dry-run")
            .conflicts_with_all(others)
    });
    command.args(arguments::written_cpus()).args(json)
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: MapArguments<'a>,
    /// Standard input if there is none.
    file: Option<&'a OsStr>,
    format: InputFormat,
    mode: LoadMode,
    cpus: WrittenCpus,
}

/// Which entries are written, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LoadMode {
    /// Writes all entries, or the entries whose key is missing; with `stream`, while reading.
    Write { if_absent: bool, stream: bool },
    /// Writes the entries that differ, and removes entries that are not in the file.
    Replace,
    /// Prints the differences, as JSON if this is not None, and writes nothing.
    DryRun(Option<Integers>),
}

impl LoadMode {
    fn new(matches: &ArgMatches) -> LoadMode {
        match (matches.get_flag("replace"), matches.get_flag("dry-run")) {
            (true, false) => LoadMode::Replace,
            (true, true) => LoadMode::DryRun(arguments::integers(matches)),
            (false, _) => LoadMode::Write {
                if_absent: matches.get_flag("if-absent"),
                stream: matches.get_flag("stream"),
            },
        }
    }
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        Ok(Args {
            map: MapArguments::new(matches)?,
            file: arguments::optional(matches, "FILE").filter(|file| *file != "-"),
            format: match (matches.get_flag("csv"), matches.get_flag("tsv")) {
                (true, _) => InputFormat::Table(b','),
                (false, true) => InputFormat::Table(b'\t'),
                (false, false) => InputFormat::Json,
            },
            mode: LoadMode::new(matches),
            cpus: WrittenCpus::new(matches),
        })
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    if session.out.line.is_some() && args.file.is_none() {
        bail!("load: standard input is not available in a batch: name a file");
    }
    let access = match args.mode {
        LoadMode::DryRun(_) => AccessMode::ReadOnly,
        LoadMode::Write { .. } | LoadMode::Replace => AccessMode::ReadWrite,
    };
    let target = session.open(&args.map, access)?;
    let out = &mut session.out;
    check_type(&target, args.mode).with_context(|| target.label.clone())?;
    let placement = target.place_value(args.cpus)?;
    let if_absent = matches!(args.mode, LoadMode::Write { if_absent: true, .. });
    let mut load = Load::new(&target, placement, (args.file, args.format), if_absent)?;
    match args.mode {
        LoadMode::DryRun(json) => {
            load.read(None)?;
            load.print_difference(json, out)
        }
        LoadMode::Replace => {
            load.read(None)?;
            let messages = load.replace()?;
            drop(load);
            report(messages, out)
        }
        LoadMode::Write { stream, .. } => {
            let mut kept = Kept::new(&target, stream);
            load.read(stream.then_some(&mut kept))?;
            load.write(!stream, &mut kept)?;
            let (written, present) = (load.writer.written, load.writer.kept);
            // The progress line is removed before messages are printed.
            drop(load);
            let all = written + present;
            let label = &target.label;
            let present =
                (present > 0).then(|| format!("{label}: {present} of {all} keys exist already"));
            let evicted = kept.map_or(Ok(None), Kept::check)?;
            report(present.into_iter().chain(evicted), out)
        }
    }
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

/// An error if the map's type cannot be loaded, or not in this mode.
fn check_type(target: &Target, mode: LoadMode) -> anyhow::Result<()> {
    let kind = target.map.info().map_type;
    let name = kind.with_article();
    if kind.has_no_elements() {
        bail!("load: not possible with {name}");
    }
    if kind.takes_objects() {
        bail!("load: not possible with {name}, whose entries are written one by one (see set)");
    }
    let flag = match mode {
        LoadMode::Replace | LoadMode::DryRun(_) => "--replace",
        LoadMode::Write { if_absent: true, .. } => "--if-absent",
        LoadMode::Write { if_absent: false, .. } => return Ok(()),
    };
    if target.map.key_len() == 0 {
        bail!("load: {flag} is not possible with {name}, which has no keys");
    }
    Ok(())
}
