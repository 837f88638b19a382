//! `bpf-map set`: writes the value of a key, or one field of it.

use crate::bpffs::holders;
use crate::cli::exit;
use crate::cli::map::arguments::{self, MapArguments, WrittenCpus};
use crate::cli::map::output::Output;
use crate::cli::map::session::Session;
use crate::cli::map::target::cpus::Placement;
use crate::cli::map::target::inner::Reached;
use crate::cli::map::target::origin::LayoutPart;
use crate::cli::map::target::values::Values;
use crate::cli::map::target::{Condition, Target, check_inherited, named, reference};
use crate::map::flags;
use crate::text::escape;
use anyhow::{Context, anyhow, bail};
use bpf_inherit::object::Object;
use bpf_inherit::{AccessMode, MapType, ObjectKind, Startup};
use bpf_layout::{Layout, Slot, parse};
use clap::{ArgMatches, Command};
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

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
            bail!("{}: --if-absent: a field is set only where the key is present", target.label)
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
        set_descriptor(session, target, key, args, condition)?
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

/// Stores an object that the kernel takes as a file descriptor: a program, a map, or an inherited
/// file descriptor.
fn set_descriptor(
    session: &mut Session,
    target: &Target,
    key: &[u8],
    args: &Args,
    condition: Condition,
) -> anyhow::Result<bool> {
    let Session { startup, bpffs, out, .. } = session;
    let kind = target.map.info().map_type;
    let store = |fd: BorrowedFd| {
        let mut value = (fd.as_raw_fd() as u32).to_ne_bytes().to_vec();
        value.resize(target.map.value_len(), 0);
        target.write("set", key, &value, condition)
    };
    if kind.holds_maps() {
        let inner =
            Target::open(startup, bpffs, args.value, AccessMode::ReadOnly, &Default::default())?;
        return store(inner.map.as_fd());
    }
    if kind == MapType::PROG_ARRAY {
        let program =
            open_program(startup, bpffs, args.value).with_context(|| target.label.clone())?;
        let done = store(program.as_fd())?;
        if done {
            warn_unless_held(target, args.map.reference, out)?;
        }
        return Ok(done);
    }
    let value = target.value(args.value)?;
    let wrong = || format!("{}: value {}", target.label, escape(args.value.as_bytes()));
    check_inherited(&value).with_context(wrong)?;
    check_lasting(target, args.map.reference)?;
    target.write("set", key, &value, condition)
}

/// Opens the program that `prog:` and a reference name.
fn open_program(startup: &Startup, bpffs: &Path, text: &OsStr) -> anyhow::Result<Object> {
    match reference::split_kind(text) {
        (ObjectKind::Program, rest) if !rest.is_empty() => {
            Ok(named::open(startup, bpffs, text, AccessMode::ReadWrite)?.object)
        }
        _ => bail!(
            "{}: expected prog:PATH, prog:NAME, prog:id:N or prog:fd:N",
            escape(text.as_bytes())
        ),
    }
}

/// Warns if nothing was found that holds the program array when this process ends: the kernel clears
/// its entries with the last user reference, and a program that uses the array is not one.
fn warn_unless_held(target: &Target, map: &OsStr, out: &mut Output) -> anyhow::Result<()> {
    // The pin through which it was just opened holds it.
    if reference::is_pin(map) || holders::found(target.map.info().id) {
        return Ok(());
    }
    out.report(format_args!(
        "warning: {}: no pin and no other process was found that holds the map: the kernel \
         clears its entries when bpf-map ends",
        target.label
    ))
}

/// An error if the kernel would remove the entry when this process ends: the kernel removes an
/// entry of a perf_event_array with the open file of the map by which it was set
/// (`perf_event_fd_array_release`), which no other process has unless it was inherited.
fn check_lasting(target: &Target, map: &OsStr) -> anyhow::Result<()> {
    let info = target.map.info();
    let kept = flags::parse_name("PRESERVE_ELEMS").is_some_and(|bit| info.flags & bit != 0);
    if info.map_type == MapType::PERF_EVENT_ARRAY && !kept && !reference::is_inherited(map) {
        bail!(
            "{}: set: the entry would vanish when bpf-map ends: \
             use an inherited descriptor of the map, or a map with PRESERVE_ELEMS",
            target.label
        );
    }
    Ok(())
}

fn report_unmet(
    label: &str,
    key: &OsStr,
    condition: Condition,
    out: &mut Output,
) -> anyhow::Result<u8> {
    let key = escape(key.as_bytes());
    match condition {
        Condition::Absent => out.report(format_args!("{label}: key {key} is there already"))?,
        Condition::Any | Condition::Present => out.report(format_args!("{label}: no key {key}"))?,
    }
    Ok(exit::ABSENT)
}
