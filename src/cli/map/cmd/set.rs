//! `bpf-map set`: writes the value of a key, or one field of it.

mod descriptor;

use crate::cli::exit;
use crate::cli::map::arguments::{self, MapArguments, WrittenCpus};
use crate::cli::map::output::Output;
use crate::cli::map::session::Session;
use crate::cli::map::target::cpus::Placement;
use crate::cli::map::target::inner::Reached;
use crate::cli::map::target::origin::LayoutPart;
use crate::cli::map::target::values::Values;
use crate::cli::map::target::{Condition, Target};
use crate::text::escape;
use anyhow::{Context, anyhow, bail};
use bpf_inherit::AccessMode;
use bpf_layout::{Layout, Slot, parse};
use clap::{ArgMatches, Command};
use descriptor::set_descriptor;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

pub fn arguments(command: Command) -> Command {
    let command = arguments::map(command).args([
        arguments::positional("KEY", "The key"),
        arguments::positional("VALUE", "The value, or a field as .NAME and its value")
            .num_args(1..=2),
        arguments::flag("if-absent", "Write only if the key is missing")
            .conflicts_with("if-present"),
        arguments::flag("if-present", "Write only if the key exists"),
        arguments::inner(),
    ]);
    command.args(arguments::written_cpus())
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: MapArguments<'a>,
    key: &'a OsStr,
    field: Option<&'a OsStr>,
    value: &'a OsStr,
    condition: Condition,
    inner: Option<Layout>,
    cpus: WrittenCpus,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        let condition = match (matches.get_flag("if-absent"), matches.get_flag("if-present")) {
            (true, _) => Condition::Absent,
            (false, true) => Condition::Present,
            (false, false) => Condition::Any,
        };
        let (field, value) = split_field(&arguments::all(matches, "VALUE"))?;
        Ok(Args {
            map: MapArguments::new(matches)?,
            key: arguments::required(matches, "KEY"),
            field,
            value,
            condition,
            inner: arguments::inner_layout(matches)?,
            cpus: WrittenCpus::new(matches),
        })
    }

    /// The arguments of a line without options: `MAP KEY [.FIELD] VALUE`.
    pub fn short(words: &[&'a OsStr]) -> Option<Args<'a>> {
        let [map, key, value @ ..] = words else { return None };
        if !matches!(value.len(), 1 | 2) {
            return None;
        }
        let (field, value) = split_field(value).ok()?;
        Some(Args {
            map: MapArguments::of(map),
            key,
            field,
            value,
            condition: Condition::Any,
            inner: None,
            cpus: WrittenCpus::Unspecified,
        })
    }
}

/// `[.FIELD] VALUE`.
fn split_field<'a>(given: &[&'a OsStr]) -> anyhow::Result<(Option<&'a OsStr>, &'a OsStr)> {
    match *given {
        [path, value] if arguments::is_field(path) => Ok((Some(path), value)),
        [path, _] => bail!(
            "{}: a field such as .NAME goes before the value (see bpf-map set --help)",
            escape(path.as_bytes())
        ),
        [value] => Ok((None, value)),
        _ => unreachable!("the option parser takes one or two"),
    }
}

pub fn run(mut args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let target = session.open(&args.map, AccessMode::ReadWrite)?;
    (args.key, args.field) = target.key_and_field(args.key, args.field);
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
    let Args { field, value: text, .. } = *args;
    let condition = match args.condition {
        Condition::Absent if field.is_some() => {
            bail!("{}: --if-absent: a field can be set only if the key exists", target.label)
        }
        // A field is a part of an existing value.
        Condition::Any if field.is_some() => Condition::Present,
        condition => condition,
    };
    let placement = target.place_value(args.cpus)?;
    let kind = target.map.info().map_type;
    let done = if kind.takes_descriptors() {
        if let Some(field) = field {
            let (kind, field) = (kind.with_article(), escape(field.as_bytes()));
            bail!("{}: {kind} has no field {field}", target.label);
        }
        set_descriptor(session, target, (args.map.reference, key), args.value, condition)?
    } else {
        let wrong = || format!("{}: value {}", target.label, escape(text.as_bytes()));
        let slot = target.field(field)?;
        let given = text.to_str().filter(|text| has_all_values(target, slot, text));
        if !given.is_some_and(Values::are_hex) {
            target.refuse_guess(LayoutPart::Value, text)?;
        }
        let text = text.to_str().ok_or_else(|| anyhow!("not UTF-8")).with_context(wrong)?;
        let new = NewValue { target, slot, text, placement };
        // An error in the value is reported before anything is read.
        let mut element = vec![0; target.map.value_len()];
        new.write_to(&mut element).with_context(wrong)?;
        if field.is_none() && !placement.keeps_others() {
            target.write("set", key, &element, condition)?
        } else {
            let change = |element: &mut [u8]| new.write_to(element).with_context(wrong);
            target.change("set", key, condition, change)?
        }
    };
    match done {
        true => Ok(0),
        false => report_unmet(&target.label, key_text, condition, &mut session.out),
    }
}

/// The new content of a field, or of a whole value.
struct NewValue<'a> {
    target: &'a Target,
    slot: Slot<'a>,
    text: &'a str,
    placement: Placement,
}

impl NewValue<'_> {
    /// Writes it into an element, for the CPUs that get it.
    fn write_to(&self, element: &mut [u8]) -> anyhow::Result<()> {
        let map = &self.target.map;
        if has_all_values(self.target, self.slot, self.text) {
            self.placement.check_each()?;
            return Values::new(map, self.slot, element).parse(self.text);
        }
        self.placement.each(map, element, |value, given| {
            if !given {
                return Ok(clear_field(self.slot, value)?);
            }
            parse::slot(self.slot, self.text, value)?;
            self.placement.check(self.slot.is_zero(value))
        })
    }
}

/// Whether a value is an array with a value for every CPU.
fn has_all_values(target: &Target, slot: Slot, text: &str) -> bool {
    target.is_per_cpu() && Values::are_given(slot, text)
}

fn clear_field(field: Slot, value: &mut [u8]) -> Result<(), parse::ValueError> {
    match field.width() {
        // The bytes of a bit-field belong to its neighbours, too.
        Some(_) => parse::store_number(field, 0u128, value),
        None => {
            value[field.offset()..][..field.len()].fill(0);
            Ok(())
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
