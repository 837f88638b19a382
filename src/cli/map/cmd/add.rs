//! `bpf-map add`: counts up or down, in memory where the map allows it.

use crate::cli::exit::{self, Output};
use crate::cli::map::arguments::{positional, value};
use crate::cli::map::session::Session;
use crate::cli::map::target::Condition;
use crate::cli::map::target::Target;
use crate::cli::map::target::cpus::{self, Which};
use crate::cli::map::target::inner::Reached;
use crate::cli::map::target::origin::Part;
use crate::cli::map::target::reference;
use crate::text::escape;
use anyhow::{anyhow, bail};
use bpf_inherit::mmap::Mapped;
use bpf_layout::parse;
use bpf_layout::print::{self, PerCpu, Values};
use bpf_layout::{AtomClass, Integer, IntegerOverflow, Number, Slot, Type};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

pub fn arguments(command: Command) -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
    };
    reference::arguments(command).args([
        positional("KEY", "The key"),
        positional("NUMBER", "A field as .NAME, if one is meant, and what to add to it")
            .num_args(1..=2),
        flag("create", "Begin with zeros where there is no such key"),
        cpus::one("Add to the value of this CPU [default: the first]"),
        flag("verbose", "Say how it was done").short('v'),
        crate::cli::map::target::inner::layout(),
    ])
}

pub fn run(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let (startup, out) = session.parts();
    let target = reference::open(startup, matches, true)?;
    let (label, text) = (target.label.clone(), value(matches, "KEY"));
    let (target, key_text, key) = match target.reach(text, matches)? {
        Reached::Map(target, text, key) => (target, text, key),
        Reached::Missing(outer) => return absent(&label, outer, out),
    };
    let kind = target.map.info().map_type;
    if !kind.holds_data() {
        bail!(
            "{}: add: the values of {} are no numbers to count",
            target.label,
            kind.with_article()
        );
    }
    let given: Vec<&OsString> = matches.get_many("NUMBER").into_iter().flatten().collect();
    let (path, amount) = match given[..] {
        [path, amount] if path.as_bytes().starts_with(b".") => (Some(path.as_os_str()), amount),
        [path, _] => bail!("{}: expected a field such as .NAME", escape(path.as_bytes())),
        [amount] => (None, amount),
        _ => unreachable!("the option parser takes one or two"),
    };
    target.refuse_guess(Part::Value, amount)?;
    let sum = Sum {
        slot: countable(&target, path)?,
        amount: match parse_amount(amount) {
            Some(Ok(number)) => number,
            Some(Err(error)) => {
                bail!("{}: add {}: {error}", target.label, escape(amount.as_bytes()))
            }
            None => {
                let amount = escape(amount.as_bytes());
                bail!("{}: expected a whole number to add, found {amount}", target.label)
            }
        },
    };
    let which = target.which(matches)?;
    let in_memory = sum.in_memory(&target, &key)?;
    let (result, how) = match in_memory {
        Some(number) => (Some(number), "added in memory, atomically"),
        None => {
            let condition = match matches.get_flag("create") {
                true => Condition::Any,
                false => Condition::Present,
            };
            let result = sum.read_and_write(&target, &key, &which, condition)?;
            (result, "read, added to and written back: not atomically")
        }
    };
    let Some(result) = result else { return absent(&target.label, key_text, out) };
    if matches.get_flag("verbose") {
        out.report(format_args!("{}: {how}", target.label))?;
    }
    out.data.extend(result);
    out.data.push(b'\n');
    Ok(0)
}

fn absent(label: &str, key: &OsStr, out: &mut Output) -> anyhow::Result<u8> {
    out.report(format_args!("{label}: no key {}", escape(key.as_bytes())))?;
    Ok(exit::ABSENT)
}

/// The integer that `path` names. Nothing else can be counted.
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
    bail!("{}: add: an integer is wanted, not {what}", target.label)
}

/// A whole number, with either sign before it.
fn parse_amount(text: &OsStr) -> Option<Result<Integer, IntegerOverflow>> {
    let text = text.to_str()?;
    let plain =
        text.strip_prefix('+').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    Integer::parse(plain.unwrap_or(text))
}

/// What to add, and where in a value.
struct Sum<'t> {
    slot: Slot<'t>,
    amount: Integer,
}

impl Sum<'_> {
    /// Adds to the number in one value, which is left as it was where the sum does not fit.
    fn apply(&self, target: &Target, value: &mut [u8], cpu: Option<u32>) -> anyhow::Result<()> {
        let (old, shown) = match self.slot.number(value) {
            Some(Number::Unsigned(n)) => (Integer::from(n), n.to_string()),
            Some(Number::Signed(n)) => (Integer::from(n), n.to_string()),
            _ => bail!("{}: add: no integer", target.label), // refused before
        };
        let of_cpu = cpu.map(|cpu| format!(" of CPU {cpu}")).unwrap_or_default();
        let wrong = |cause: &dyn std::fmt::Display| {
            anyhow!("{}: add to {shown}{of_cpu}: {cause}", target.label)
        };
        let new =
            old.checked_add(self.amount).ok_or_else(|| wrong(&"the sum has more than 128 bits"))?;
        parse::store_number(self.slot, new, value).map_err(|error| wrong(&error))
    }

    /// Adds where the kernel and all others see it at once, and nothing that others count
    /// meanwhile is lost. None where the map cannot be mapped, the number is not in one
    /// machine word, or there is no such key.
    fn in_memory(&self, target: &Target, key: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        let info = target.map.info();
        let index = key.first_chunk().map_or(u32::MAX, |word| u32::from_ne_bytes(*word));
        if index >= info.max_entries {
            return Ok(None);
        }
        // Its element alone: pages that are mapped and read count as memory used.
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

    /// Reads the element, adds and writes it back; the new number as text, summed over all CPUs
    /// unless one was named. None where the condition does not hold.
    fn read_and_write(
        &self,
        target: &Target,
        key: &[u8],
        which: &Which,
        condition: Condition,
    ) -> anyhow::Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        let done = target.change("add", key, condition, |element| {
            if !target.is_per_cpu() {
                self.apply(target, element, None)?;
                text = self.text(&element[..]);
                return Ok(());
            }
            let (place, cpu) = match which {
                Which::One { place, number } => (*place, *number),
                _ => (0, target.cpus()?.numbers().first().copied().unwrap_or_default()),
            };
            let value = &mut element[target.map.slot(place)];
            self.apply(target, value, Some(cpu))?;
            text = match which {
                Which::One { .. } => self.text(&value[..]),
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
