//! `bpf-map add`: adds to an integer, atomically in memory if the map can be mapped.

use crate::cli::exit;
use crate::cli::map::arguments::{self, MapArguments, ReadCpus};
use crate::cli::map::output::Output;
use crate::cli::map::session::Session;
use crate::cli::map::target::cpus::CpuSelection;
use crate::cli::map::target::inner::Reached;
use crate::cli::map::target::origin::LayoutPart;
use crate::cli::map::target::{Condition, Target};
use crate::text::escape;
use anyhow::{anyhow, bail};
use bpf_inherit::AccessMode;
use bpf_inherit::mmap::Mapped;
use bpf_layout::parse;
use bpf_layout::print::{self, PerCpu, Values};
use bpf_layout::{AtomClass, Integer, IntegerOverflow, Layout, Number, Slot, Type};
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
        arguments::flag("verbose", "Report the method of addition").short('v'),
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
    verbose: bool,
    inner: Option<Layout>,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        let (field, amount) = match arguments::all(matches, "NUMBER")[..] {
            [path, amount] if arguments::is_field(path) => (Some(path), amount),
            [path, _] => bail!("{}: expected a field such as .NAME", escape(path.as_bytes())),
            [amount] => (None, amount),
            _ => unreachable!("the option parser takes one or two"),
        };
        Ok(Args {
            map: MapArguments::new(matches)?,
            key: arguments::required(matches, "KEY"),
            field,
            amount,
            create: matches.get_flag("create"),
            cpu: arguments::cpu_number(matches),
            verbose: matches.get_flag("verbose"),
            inner: arguments::inner_layout(matches)?,
        })
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
    let addition = Addition { slot, amount };
    let cpus = target.select_cpus(args.cpu.map_or(ReadCpus::Sum, ReadCpus::One))?;
    let (result, how) = match addition.in_memory(&target, &key)? {
        Some(number) => (Some(number), "added in memory, atomically"),
        None => {
            let condition = if args.create { Condition::Any } else { Condition::Present };
            let result = addition.read_and_write(&target, &key, &cpus, condition)?;
            (result, "read, added to and written back: not atomically")
        }
    };
    let Some(result) = result else { return report_missing(label, key_text, out) };
    if args.verbose {
        out.report(format_args!("{label}: {how}"))?;
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

/// The number to add, and the slot of the value to add it to.
struct Addition<'t> {
    slot: Slot<'t>,
    amount: Integer,
}

impl Addition<'_> {
    /// Adds to the number in one value. The value is unchanged if the sum is out of range.
    fn apply(&self, target: &Target, value: &mut [u8], cpu: Option<u32>) -> anyhow::Result<()> {
        let (old, shown) = match self.slot.number(value) {
            Some(Number::Unsigned(n)) => (Integer::from(n), n.to_string()),
            Some(Number::Signed(n)) => (Integer::from(n), n.to_string()),
            _ => bail!("{}: add: not an integer", target.label), // refused before
        };
        let of_cpu = cpu.map(|cpu| format!(" of CPU {cpu}")).unwrap_or_default();
        let wrong = |cause: &dyn std::fmt::Display| {
            anyhow!("{}: add to {shown}{of_cpu}: {cause}", target.label)
        };
        let new =
            old.checked_add(self.amount).ok_or_else(|| wrong(&"the sum has more than 128 bits"))?;
        parse::store_number(self.slot, new, value).map_err(|error| wrong(&error))
    }

    /// Adds to the value in mapped memory, atomically: no update of a concurrent writer is lost.
    /// None if the map cannot be mapped, the number is not in one machine word, or the key is
    /// missing.
    fn in_memory(&self, target: &Target, key: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        let info = target.map.info();
        let index = key.first_chunk().map_or(u32::MAX, |word| u32::from_ne_bytes(*word));
        if index >= info.max_entries {
            return Ok(None);
        }
        // Only the page of this value is mapped: each page that is read counts as used memory.
        let mapped = Mapped::part(&target.map, index as usize, 1, true);
        let Ok(mapped) = mapped else { return Ok(None) };
        let (at, size) = (self.slot.offset(), self.slot.len());
        let mut value = vec![0; info.value_size as usize];
        let done = mapped.change(at, size, |word| {
            value[at..at + size].copy_from_slice(word);
            self.apply(target, &mut value, None)?;
            word.copy_from_slice(&value[at..at + size]);
            anyhow::Ok(())
        });
        match done {
            Ok(result) => result.map(|()| Some(self.text(&value[..]))),
            Err(_) => Ok(None),
        }
    }

    /// Reads the value, adds and writes it back. Returns the new number as text, summed over all
    /// CPUs unless one was named; None if the condition does not hold.
    fn read_and_write(
        &self,
        target: &Target,
        key: &[u8],
        cpus: &CpuSelection,
        condition: Condition,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        let done = target.change("add", key, condition, |element| {
            if !target.is_per_cpu() {
                self.apply(target, element, None)?;
                text = self.text(&element[..]);
                return Ok(());
            }
            let (place, cpu) = match cpus {
                CpuSelection::One { place, number } => (*place, *number),
                _ => (0, target.cpus()?.numbers().first().copied().unwrap_or_default()),
            };
            let value = &mut element[target.map.slot(place)];
            self.apply(target, value, Some(cpu))?;
            text = match cpus {
                CpuSelection::One { .. } => self.text(&value[..]),
                _ => self.text(&PerCpu::new(element, target.map.stride())),
            };
            Ok(())
        })?;
        Ok(done.then_some(text))
    }

    fn text(&self, values: &(impl Values + ?Sized)) -> Vec<u8> {
        let mut text = Vec::new();
        print::plain(self.slot, values, &mut text);
        text
    }
}
