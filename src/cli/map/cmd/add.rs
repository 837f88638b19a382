//! `bpf-map add`: adds to an integer, atomically if the kernel and the map allow it.

mod addition;

use crate::cli::exit;
use crate::cli::map::arguments::{self, MapArguments, ReadCpus};
use crate::cli::map::output::Output;
use crate::cli::map::session::Session;
use crate::cli::map::target::Target;
use crate::cli::map::target::inner::Reached;
use crate::cli::map::target::origin::LayoutPart;
use crate::text::escape;
use addition::Addition;
use anyhow::bail;
use bpf_inherit::AccessMode;
use bpf_layout::{AtomClass, Integer, IntegerOverflow, Layout, Slot, Type};
use clap::{ArgMatches, Command};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

pub fn arguments(command: Command) -> Command {
    arguments::map(command).args([
        arguments::positional("KEY", "The key"),
        arguments::positional(
            "NUMBER",
            "The number to add, after the .NAME of a field if the value has fields",
        )
        .num_args(1..=2),
        arguments::flag("create", "Begin with zeros if the key is missing"),
        arguments::cpu("Add to the value of this CPU [default: the first]"),
        arguments::flag("atomic", "Fail if an update of a concurrent writer could be lost"),
        arguments::flag("verbose", "Report the method of addition, and why it is not atomic"),
        arguments::inner(),
    ])
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: MapArguments<'a>,
    key: &'a OsStr,
    field: Option<&'a OsStr>,
    amount: &'a OsStr,
    create: bool,
    cpu: Option<u32>,
    atomic: bool,
    verbose: bool,
    inner: Option<Layout>,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        let (field, amount) = split_field(&arguments::all(matches, "NUMBER"))?;
        Ok(Args {
            map: MapArguments::new(matches)?,
            key: arguments::required(matches, "KEY"),
            field,
            amount,
            create: matches.get_flag("create"),
            cpu: arguments::cpu_number(matches),
            atomic: matches.get_flag("atomic"),
            verbose: matches.get_flag("verbose"),
            inner: arguments::inner_layout(matches)?,
        })
    }

    /// The arguments of a line without options: `MAP KEY [.FIELD] NUMBER`.
    pub fn short(words: &[&'a OsStr]) -> Option<Args<'a>> {
        let [map, key, number @ ..] = words else { return None };
        if !matches!(number.len(), 1 | 2) {
            return None;
        }
        let (field, amount) = split_field(number).ok()?;
        Some(Args {
            map: MapArguments::of(map),
            key,
            field,
            amount,
            create: false,
            cpu: None,
            atomic: false,
            verbose: false,
            inner: None,
        })
    }
}

/// `[.FIELD] NUMBER`.
fn split_field<'a>(given: &[&'a OsStr]) -> anyhow::Result<(Option<&'a OsStr>, &'a OsStr)> {
    match *given {
        [path, amount] if arguments::is_field(path) => Ok((Some(path), amount)),
        [path, _] => bail!("{}: expected a field such as .NAME", escape(path.as_bytes())),
        [amount] => Ok((None, amount)),
        _ => unreachable!("the option parser takes one or two"),
    }
}

pub fn run(mut args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let target = session.open(&args.map, AccessMode::ReadWrite)?;
    (args.key, args.field) = target.key_and_field(args.key, args.field);
    let out = &mut session.out;
    let (target, key_text, key) = match target.reach(args.key, args.inner.as_ref())? {
        Reached::Entry(target, text, key) => (target, text, key),
        Reached::Missing(outer) => return report_missing(&target.label, outer, out),
    };
    let (label, kind) = (&target.label, target.map.info().map_type);
    if !kind.holds_data() {
        bail!("{label}: add: the values of {} are not numbers", kind.with_article());
    }
    target.refuse_guess(LayoutPart::Value, args.amount)?;
    let slot = countable(&target, args.field)?;
    let amount = escape(args.amount.as_bytes());
    let amount = match parse_amount(args.amount) {
        Some(Ok(number)) => number,
        Some(Err(error)) => bail!("{label}: add {amount}: {error}"),
        None => bail!("{label}: expected a whole number to add, found {amount}"),
    };
    target.check_changeable("add")?;
    let cpus = target.select_cpus(args.cpu.map_or(ReadCpus::Sum, ReadCpus::One))?;
    let addition = Addition::new(&target, slot, amount, cpus)?;
    let method = addition.choose_method(&key);
    if args.atomic {
        target.require_atomic("add", &method)?;
    }
    let Some(result) = addition.add(&key, &method, args.create)? else {
        return report_missing(label, key_text, out);
    };
    if args.verbose {
        out.report(format_args!("{label}: {}", method.describe()))?;
    }
    out.data.extend(result);
    out.data.push(b'\n');
    Ok(0)
}

fn report_missing(label: &str, key: &OsStr, out: &mut Output) -> anyhow::Result<u8> {
    out.report(format_args!("{label}: no key {}", escape(key.as_bytes())))?;
    Ok(exit::ABSENT)
}

/// Returns the slot of the integer that `path` names; other types are an error.
fn countable<'t>(target: &'t Target, path: Option<&OsStr>) -> anyhow::Result<Slot<'t>> {
    let slot = target.field(path)?;
    let class = match slot.ty() {
        Type::Atom(atom) => Some(atom.class()),
        _ => None,
    };
    if let Some(AtomClass::Unsigned | AtomClass::Signed | AtomClass::Network) = class {
        return Ok(slot);
    }
    let what = match slot.ty() {
        Type::Record(_) => "a struct (name a field, as .NAME)".into(),
        Type::Enum(_) => "an enum".into(),
        Type::Array(_) => "an array".into(),
        ty => ty.to_string(),
    };
    bail!("{}: add: expected an integer, not {what}", target.label)
}

/// A whole number, with either sign before it.
fn parse_amount(text: &OsStr) -> Option<Result<Integer, IntegerOverflow>> {
    let text = text.to_str()?;
    let plain =
        text.strip_prefix('+').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    Integer::parse(plain.unwrap_or(text))
}
