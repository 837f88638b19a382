//! `bpf-map set`: writes the value of a key, or one field of it.

use crate::cli::exit::{self, Output};
use crate::cli::map::arguments::{positional, value};
use crate::cli::map::session::Session;
use crate::cli::map::target::Condition;
use crate::cli::map::target::Target;
use crate::cli::map::target::check_inherited as inherited;
use crate::cli::map::target::cpus::{self, Placement};
use crate::cli::map::target::inner::Reached;
use crate::cli::map::target::origin::Part;
use crate::cli::map::target::values::Values;
use crate::cli::map::target::{program, reference};
use crate::map::flags;
use crate::text::escape;
use anyhow::{Context, anyhow, bail};
use bpf_inherit::MapType;
use bpf_layout::{Slot, parse};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

pub fn arguments(command: Command) -> Command {
    let condition = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
    };
    let command = reference::arguments(command).args([
        positional("KEY", "The key"),
        positional("VALUE", "The value, or a field as .NAME and its value").num_args(1..=2),
        condition("if-absent", "Write only where there is no such key")
            .conflicts_with("if-present"),
        condition("if-present", "Write only where there is such a key"),
        crate::cli::map::target::inner::layout(),
    ]);
    command.args(cpus::written())
}

pub fn run(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let target = reference::open(&session.startup, matches, true)?;
    let (label, text) = (target.label.clone(), value(matches, "KEY"));
    match target.reach(text, matches)? {
        Reached::Map(target, text, key) => set(session, &target, text, &key, matches),
        Reached::Missing(outer) => not_met(&label, outer, Condition::Present, &mut session.out),
    }
}

fn set(
    session: &mut Session,
    target: &Target,
    key_text: &OsStr,
    key: &[u8],
    matches: &ArgMatches,
) -> anyhow::Result<u8> {
    let (path, text) = field_and_value(matches)?;
    let condition = match (matches.get_flag("if-absent"), matches.get_flag("if-present")) {
        (true, _) if path.is_some() => {
            bail!("{}: --if-absent: a field is set only where the key is present", target.label)
        }
        (true, _) => Condition::Absent,
        (false, false) if path.is_none() => Condition::Any,
        _ => Condition::Present,
    };
    let placement = target.placement(matches)?;
    let kind = target.map.info().map_type;
    let done = if kind.takes_descriptors() {
        if let Some(path) = path {
            bail!(
                "{}: {} has no field {}",
                target.label,
                kind.with_article(),
                escape(path.as_bytes())
            );
        }
        set_descriptor(session, target, key, text, condition, matches)?
    } else {
        let wrong = || format!("{}: value {}", target.label, escape(text.as_bytes()));
        let slot = target.field(path)?;
        let bytes = text.to_str().filter(|text| values_are_given(target, slot, text));
        if !bytes.is_some_and(Values::are_hex) {
            target.refuse_guess(Part::Value, text)?;
        }
        let text = text.to_str().ok_or_else(|| anyhow!("not UTF-8")).with_context(wrong)?;
        let new = New { target, slot, text, placement };
        // An error in the value is reported before anything is read.
        let mut element = vec![0; target.map.value_len()];
        new.put(&mut element).with_context(wrong)?;
        if path.is_none() && !placement.keeps_others() {
            target.write("set", key, &element, condition)?
        } else {
            target.change("set", key, condition, |element| new.put(element).with_context(wrong))?
        }
    };
    if done { Ok(0) } else { not_met(&target.label, key_text, condition, &mut session.out) }
}

/// `[.field] VALUE`.
fn field_and_value(matches: &ArgMatches) -> anyhow::Result<(Option<&OsStr>, &OsStr)> {
    let given: Vec<&OsString> = matches.get_many("VALUE").into_iter().flatten().collect();
    match given[..] {
        [path, value] if path.as_bytes().starts_with(b".") => Ok((Some(path), value)),
        [path, _] => bail!(
            "{}: a field such as .NAME goes before the value (see bpf-map set --help)",
            escape(path.as_bytes())
        ),
        [value] => Ok((None, value)),
        _ => unreachable!("the option parser takes one or two"),
    }
}

/// What is to be written into a field, or into the whole of a value.
struct New<'a> {
    target: &'a Target,
    slot: Slot<'a>,
    text: &'a str,
    placement: Placement,
}

impl New<'_> {
    /// Writes it into an element, for the CPUs that get it.
    fn put(&self, element: &mut [u8]) -> anyhow::Result<()> {
        let map = &self.target.map;
        if values_are_given(self.target, self.slot, self.text) {
            self.placement.check_each()?;
            return Values::new(map, self.slot, element).parse(self.text);
        }
        self.placement.each(map, element, |value, given| {
            if !given {
                return Ok(zero(self.slot, value)?);
            }
            parse::slot(self.slot, self.text, value)?;
            self.placement.check(self.slot.is_zero(value))
        })
    }
}

/// Whether a value is an array with a value for every CPU.
fn values_are_given(target: &Target, slot: Slot, text: &str) -> bool {
    target.is_per_cpu() && Values::are_given(slot, text)
}

fn zero(field: Slot, value: &mut [u8]) -> Result<(), parse::ValueError> {
    match field.width() {
        // Its bytes belong to its neighbours, too.
        Some(_) => parse::store_number(field, 0u128, value),
        None => {
            value[field.offset()..][..field.len()].fill(0);
            Ok(())
        }
    }
}

/// Stores what the kernel wants a descriptor of: a program, a map, or an inherited one.
fn set_descriptor(
    session: &mut Session,
    target: &Target,
    key: &[u8],
    text: &OsStr,
    condition: Condition,
    matches: &ArgMatches,
) -> anyhow::Result<bool> {
    let (startup, out) = session.parts();
    let kind = target.map.info().map_type;
    let store = |fd: BorrowedFd| {
        let mut value = (fd.as_raw_fd() as u32).to_ne_bytes().to_vec();
        value.resize(target.map.value_len(), 0);
        target.write("set", key, &value, condition)
    };
    if kind.holds_maps() {
        let inner = reference::open_named(startup, text, false, None, None)?;
        return store(inner.map.as_fd());
    }
    if kind == MapType::PROG_ARRAY {
        let done =
            store(program::open(startup, text).with_context(|| target.label.clone())?.as_fd())?;
        if done {
            program::warn_unless_held(target, value(matches, "MAP"), out)?;
        }
        return Ok(done);
    }
    let value = target.value(text)?;
    let wrong = || format!("{}: value {}", target.label, escape(text.as_bytes()));
    inherited(&value).with_context(wrong)?;
    check_lasting(target, self::value(matches, "MAP"))?;
    target.write("set", key, &value, condition)
}

/// An error if the kernel removes the entry when this process ends: that of a perf_event_array
/// goes with the open file of the map by which it was set (`perf_event_fd_array_release`),
/// which is ours alone unless it was inherited.
fn check_lasting(target: &Target, map: &OsStr) -> anyhow::Result<()> {
    let info = target.map.info();
    let kept = flags::by_name("PRESERVE_ELEMS").is_some_and(|bit| info.flags & bit != 0);
    if info.map_type == MapType::PERF_EVENT_ARRAY && !kept && !reference::is_inherited(map) {
        bail!(
            "{}: set: the entry would vanish when bpf-map ends: \
             use an inherited descriptor of the map, or a map with PRESERVE_ELEMS",
            target.label
        );
    }
    Ok(())
}

fn not_met(label: &str, key: &OsStr, condition: Condition, out: &mut Output) -> anyhow::Result<u8> {
    let key = escape(key.as_bytes());
    match condition {
        Condition::Absent => out.report(format_args!("{label}: key {key} is there already"))?,
        _ => out.report(format_args!("{label}: no key {key}"))?,
    }
    Ok(exit::ABSENT)
}
