//! `bpf-map set`: writes the value of a key, or one field of it.

mod assignment;
mod change;
pub mod descriptor;

use crate::cli::exit;
use crate::cli::map::arguments::{self, MapArguments, ProgramLoad, WrittenCpus};
use crate::cli::map::output::Output;
use crate::cli::map::session::Session;
use crate::cli::map::target::inner::Reached;
use crate::cli::map::target::{Condition, Target};
use crate::program::element::RunOutcome;
use crate::text::escape;
use anyhow::bail;
use assignment::{Assignment, split_expected, split_fields};
use bpf_inherit::AccessMode;
use bpf_layout::Layout;
use change::Change;
use clap::{Arg, ArgMatches, Command, value_parser};
use descriptor::set_descriptor;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

pub fn arguments(command: Command) -> Command {
    let command = arguments::map(command).args([
        arguments::positional("KEY", "The key"),
        arguments::positional("VALUE", "The value, or fields as .NAME, each before its value")
            .num_args(1..),
        Arg::new("if")
            .long("if")
            .value_name(".FIELD=OLD")
            .help("Write only if a field has this value")
            .value_parser(value_parser!(OsString)),
        arguments::flag("atomic", "Fail if an update of a concurrent writer could be lost"),
        arguments::flag("if-absent", "Write only if the key is missing")
            .conflicts_with("if-present"),
        arguments::flag("if-present", "Write only if the key exists"),
        arguments::inner(),
    ]);
    let help = "Report the method by which fields are written, or the log of the verifier";
    let program = arguments::program_load();
    command.args(arguments::written_cpus()).args(program).mut_arg("verbose", |arg| arg.help(help))
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: MapArguments<'a>,
    key: &'a OsStr,
    values: Vec<Assignment<'a>>,
    /// The field that must have some content, and the content.
    expected: Option<Assignment<'a>>,
    condition: Condition,
    inner: Option<Layout>,
    cpus: WrittenCpus,
    atomic: bool,
    program: ProgramLoad,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        let condition = match (matches.get_flag("if-absent"), matches.get_flag("if-present")) {
            (true, _) => Condition::Absent,
            (false, true) => Condition::Present,
            (false, false) => Condition::Any,
        };
        let (key, values) =
            split_fields(arguments::required(matches, "KEY"), &arguments::all(matches, "VALUE"))?;
        Ok(Args {
            map: MapArguments::new(matches)?,
            key,
            values,
            expected: arguments::optional(matches, "if").map(split_expected).transpose()?,
            condition,
            inner: arguments::inner_layout(matches)?,
            cpus: WrittenCpus::new(matches),
            atomic: matches.get_flag("atomic"),
            program: ProgramLoad::new(matches),
        })
    }

    /// The arguments of a line without options: `MAP KEY VALUE`, `MAP KEY .FIELD VALUE...`.
    pub fn short(words: &[&'a OsStr]) -> Option<Args<'a>> {
        let [map, key, values @ ..] = words else { return None };
        if values.is_empty() {
            return None;
        }
        let (key, values) = split_fields(key, values).ok()?;
        Some(Args {
            map: MapArguments::of(map),
            key,
            values,
            expected: None,
            condition: Condition::Any,
            inner: None,
            cpus: WrittenCpus::Unspecified,
            atomic: false,
            program: ProgramLoad::default(),
        })
    }
}

pub fn run(mut args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let target = session.open(&args.map, AccessMode::ReadWrite)?;
    if let [only] = &mut args.values[..] {
        (args.key, only.field) = target.key_and_field(args.key, only.field);
    }
    match target.reach(args.key, args.inner.as_ref())? {
        Reached::Entry(target, text, key) => set(session, &target, text, &key, &args),
        Reached::Missing(outer) => {
            report_unmet(&target.label, outer, Condition::Present, &mut session.out)
        }
    }
}

fn set(
    session: &mut Session,
    target: &Target,
    key_text: &OsStr,
    key: &[u8],
    args: &Args,
) -> anyhow::Result<u8> {
    let first = args.values[0];
    let condition = match args.condition {
        Condition::Absent if first.field.is_some() => {
            bail!("{}: --if-absent: a field can be set only if the key exists", target.label)
        }
        // A field is a part of an existing value.
        Condition::Any if first.field.is_some() => Condition::Present,
        condition => condition,
    };
    if first.field.is_none() && args.expected.is_some() {
        bail!("{}: --if: only fields can be written on this condition", target.label);
    }
    let placement = target.place_value(args.cpus)?;
    if args.expected.is_some() && target.is_per_cpu() {
        let numbers = target.cpus()?.numbers();
        if (0..numbers.len()).filter(|place| placement.writes(*place)).count() > 1 {
            // Each CPU has a word of its own: a condition could hold for some only.
            bail!("{}: --if: not possible for several CPUs at once: use --cpu", target.label);
        }
    }
    let kind = target.map.info().map_type;
    let outcome = if kind.takes_descriptors() {
        if let Some(field) = first.field {
            let (kind, field) = (kind.with_article(), escape(field.as_bytes()));
            bail!("{}: {kind} has no field {field}", target.label);
        }
        let map = (args.map.reference, key);
        match set_descriptor(session, target, map, first.text, (condition, args.program))? {
            true => RunOutcome::Done,
            false => RunOutcome::Missing,
        }
    } else {
        let change = Change::new(target, &args.values, args.expected, placement)?;
        if first.field.is_none() && !placement.keeps_others() {
            change.write_all(key, condition)?
        } else {
            let method = change.choose_method(key)?;
            if args.atomic {
                target.require_atomic("set", &method)?;
            }
            let outcome = change.write(key, condition, &method)?;
            if args.program.verbose && outcome == RunOutcome::Done {
                session.out.report(format_args!("{}: {}", target.label, method.describe()))?;
            }
            outcome
        }
    };
    match outcome {
        RunOutcome::Done => Ok(0),
        RunOutcome::Missing => report_unmet(&target.label, key_text, condition, &mut session.out),
        RunOutcome::Refused => {
            let field = args.expected.and_then(|expected| expected.field).unwrap_or_default();
            let field = escape(field.as_bytes());
            session.out.report(format_args!("{}: {field} has another value", target.label))?;
            Ok(exit::ABSENT)
        }
    }
}

fn report_unmet(
    label: &str,
    key: &OsStr,
    condition: Condition,
    out: &mut Output,
) -> anyhow::Result<u8> {
    let key = escape(key.as_bytes());
    match condition {
        Condition::Absent => out.report(format_args!("{label}: key {key} exists already"))?,
        Condition::Any | Condition::Present => out.report(format_args!("{label}: no key {key}"))?,
    }
    Ok(exit::ABSENT)
}
