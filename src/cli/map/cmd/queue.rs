//! `bpf-map push`, `pop`, `peek` and `has`: maps without keys.

use super::get::{View, integers, json_flags};
use crate::cli::exit::{self, Output};
use crate::cli::map::arguments::{positional, value};
use crate::cli::map::session::Session;
use crate::cli::map::target::Target;
use crate::cli::map::target::cpus::Which;
use crate::cli::map::target::origin::Part;
use crate::cli::map::target::reference;
use crate::error::Error;
use anyhow::bail;
use bpf_inherit::AccessMode;
use bpf_inherit::MapType;
use bpf_inherit::Startup;
use bpf_inherit::{Errno, fd};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;
use std::os::fd::AsFd;

/// BPF_EXIST: a full queue drops its oldest element.
const DROP_OLDEST: u64 = 2;

pub fn push_arguments(command: Command) -> Command {
    reference::arguments(command).args([
        positional("VALUE", "The values, in this order").num_args(1..),
        Arg::new("force")
            .long("force")
            .help("Drop the oldest value where there is no room")
            .action(ArgAction::SetTrue),
    ])
}

pub fn read_arguments(command: Command) -> Command {
    reference::arguments(command)
        .args([Arg::new("FIELD").help("A field of the value, as .NAME").value_parser(field)])
        .args(json_flags())
}

fn field(text: &str) -> Result<OsString, String> {
    match text.starts_with('.') {
        true => Ok(text.into()),
        false => Err("a field begins with a dot".into()),
    }
}

pub fn has_arguments(command: Command) -> Command {
    reference::arguments(command).arg(positional("VALUE", "The value"))
}

/// Adds values to a queue, a stack or a bloom filter.
pub fn push(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let (startup, out) = session.parts();
    let target =
        open(startup, matches, "push", &[MapType::QUEUE, MapType::STACK, MapType::BLOOM_FILTER])?;
    let _ = out;
    let kind = target.map.info().map_type;
    let force = matches.get_flag("force");
    if force && kind == MapType::BLOOM_FILTER {
        bail!("{}: --force: a bloom_filter is never full", target.label);
    }
    let given: Vec<&OsString> = matches.get_many("VALUE").into_iter().flatten().collect();
    let values = given.iter().map(|text| target.value(text));
    let values: Vec<Vec<u8>> = values.collect::<anyhow::Result<_>>()?;
    for (done, bytes) in values.iter().enumerate() {
        let pushed = target.map.update(&[], bytes, if force { DROP_OLDEST } else { 0 });
        pushed.map_err(|errno| refused(&target, errno, done, values.len()))?;
    }
    Ok(0)
}

fn refused(target: &Target, errno: Errno, done: usize, all: usize) -> anyhow::Error {
    let entries = target.map.info().max_entries;
    let so_far = if all > 1 { format!("; {done} of {all} went in") } else { String::new() };
    match errno {
        Errno::E2BIG => {
            let cause = format!("full ({entries} entries; --force drops the oldest){so_far}");
            Error::new(&target.label, "push", cause).into()
        }
        errno => {
            let error = target.cannot_write("push", errno);
            anyhow::anyhow!("{error}{so_far}")
        }
    }
}

/// Takes the next value out, and prints it.
pub fn pop(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let (startup, out) = session.parts();
    let target = open(startup, matches, "pop", &[MapType::QUEUE, MapType::STACK])?;
    next(&target, matches, out, |value| {
        target.map.take(&[], value).map_err(|errno| match fd::access_mode(target.map.as_fd()) {
            Ok(AccessMode::WriteOnly) => target.cannot_read("pop", errno),
            _ => target.cannot_write("pop", errno),
        })
    })
}

/// Prints the next value.
pub fn peek(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let (startup, out) = session.parts();
    let target = open(startup, matches, "peek", &[MapType::QUEUE, MapType::STACK])?;
    next(&target, matches, out, |value| {
        target.map.lookup(&[], value).map_err(|errno| target.cannot_read("peek", errno))
    })
}

fn next(
    target: &Target,
    matches: &ArgMatches,
    out: &mut Output,
    read: impl FnOnce(&mut [u8]) -> Result<bool, Error>,
) -> anyhow::Result<u8> {
    // A field that there is not must not cost an element.
    let slot = target.field(matches.get_one::<OsString>("FIELD").map(OsString::as_os_str))?;
    target.warn_of_guess(&[Part::Value]);
    let mut value = vec![0; target.map.value_len()];
    if !read(&mut value)? {
        out.report(format_args!("{}: empty", target.label))?;
        return Ok(exit::ABSENT);
    }
    let view = View { which: Which::Sum, json: integers(matches) };
    view.line(target, slot, &value, &mut out.data);
    Ok(0)
}

/// Tells whether a bloom filter may hold a value, by the exit status alone.
pub fn has(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let (startup, out) = session.parts();
    let target = open(startup, matches, "has", &[MapType::BLOOM_FILTER])?;
    let _ = out;
    // The kernel reads the value from where others have theirs written to.
    let mut bytes = target.value(value(matches, "VALUE"))?;
    let held = target.map.lookup(&[], &mut bytes);
    match held.map_err(|errno| target.cannot_read("has", errno))? {
        true => Ok(0),
        false => Ok(exit::ABSENT),
    }
}

/// Opens the map; an error unless its type is one of those for which `operation` makes sense.
fn open(
    startup: &Startup,
    matches: &ArgMatches,
    operation: &str,
    kinds: &[MapType],
) -> anyhow::Result<Target> {
    let target = reference::open(startup, matches, !matches!(operation, "peek" | "has"))?;
    let kind = target.map.info().map_type;
    if kinds.contains(&kind) {
        return Ok(target);
    }
    let instead = match (operation, kind) {
        (_, kind) if target.map.key_len() == 0 => {
            crate::cli::map::target::advice::without_keys(kind)
        }
        ("push", _) => "use set",
        ("pop", _) => "use get and del",
        _ => "use get",
    };
    bail!("{}: {operation}: not possible with {}: {instead}", target.label, kind.with_article())
}
