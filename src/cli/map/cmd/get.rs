//! `bpf-map get`: the values of keys.

use crate::cli::exit::{self, Output};
use crate::cli::map::arguments::positional;
use crate::cli::map::session::Session;
use crate::cli::map::target::Target;
use crate::cli::map::target::cpus::{self, Which};
use crate::cli::map::target::origin::Part;
use crate::cli::map::target::reference;
use crate::output::element::Integers;
use crate::output::json;
use crate::text::escape;
use anyhow::Context;
use bpf_layout::{Slot, print};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

pub fn arguments(command: Command) -> Command {
    reference::arguments(command)
        .args([
            positional("KEY", "The keys; the last may be a field of the value, as .NAME")
                .num_args(1..),
            Arg::new("default")
                .long("default")
                .value_name("TEXT")
                .help("Print this for a key that is absent")
                .allow_hyphen_values(true)
                .value_parser(value_parser!(OsString)),
            cpus::every("Print the value of every CPU, not their sum"),
            cpus::one("Print the value of this CPU"),
            crate::cli::map::target::inner::layout(),
        ])
        .args(json_flags())
}

/// `--json` and `--json-strings`.
pub fn json_flags() -> [Arg; 2] {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
    };
    [
        flag("json", "Print JSON"),
        flag("json-strings", "Print JSON, with integers of more than 53 bits as strings"),
    ]
}

/// Whether JSON was asked for, and how it is to have wide integers.
pub fn integers(matches: &ArgMatches) -> Option<Integers> {
    match (matches.get_flag("json-strings"), matches.get_flag("json")) {
        (true, _) => Some(Integers::Strings),
        (false, true) => Some(Integers::Numbers),
        (false, false) => None,
    }
}

pub fn run(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let (startup, out) = session.parts();
    let target = reference::open(startup, matches, false)?;
    let mut keys: Vec<&OsString> = matches.get_many("KEY").into_iter().flatten().collect();
    let field = match keys.len() {
        1 => None,
        _ => keys.pop_if(|last| last.as_bytes().starts_with(b".")),
    };
    let field = field.map(OsString::as_os_str);
    let json = integers(matches);
    let default: Option<&OsString> = matches.get_one("default");
    if target.holds_maps() {
        return through(&target, &keys, field, matches, out);
    }
    target.check_readable("get")?;
    let view = View { which: target.which(matches)?, json };
    let slot = target.field(field)?;
    let keys = keys.into_iter().map(|text| Ok((text, target.key(text)?)));
    let keys: Vec<(&OsString, Vec<u8>)> = keys.collect::<anyhow::Result<_>>()?;
    target.warn_of_guess(&[Part::Value]);
    let mut status = 0;
    for (text, key) in &keys {
        match target.lookup("get", key)? {
            Some(found) => view.line(&target, slot, &found, &mut out.data),
            None => status |= absent(&target, text, default, out)?,
        }
        out.spill()?;
    }
    Ok(status)
}

/// Prints what stands for a key that is absent; returns the exit status.
fn absent(
    target: &Target,
    key: &OsStr,
    default: Option<&OsString>,
    out: &mut Output,
) -> anyhow::Result<u8> {
    let Some(default) = default else {
        out.report(format_args!("{}: no key {}", target.label, escape(key.as_bytes())))?;
        out.absent();
        return Ok(exit::ABSENT);
    };
    out.data.extend(default.as_bytes());
    out.data.push(b'\n');
    Ok(0)
}

/// Of a map of maps: each key's inner id, or what the inner map has.
fn through(
    outer: &Target,
    keys: &[&OsString],
    field: Option<&OsStr>,
    matches: &ArgMatches,
    out: &mut Output,
) -> anyhow::Result<u8> {
    let json = integers(matches);
    let default = matches.get_one("default");
    let keys: Vec<_> = keys.iter().map(|key| outer.nested(key)).collect::<anyhow::Result<_>>()?;
    let inner_layout = crate::cli::map::target::inner::given(matches)?;
    let mut status = 0;
    for nested in &keys {
        status |= match nested.inner {
            None => match outer.lookup("get", &nested.key)? {
                Some(found) => {
                    let view = View { which: outer.which(matches)?, json };
                    view.line(outer, outer.field(field)?, &found, &mut out.data);
                    0
                }
                None => absent(outer, nested.outer, default, out)?,
            },
            Some(text) => match outer.open_inner(nested, inner_layout.as_ref(), true)? {
                Some(target) => {
                    let view = View { which: target.which(matches)?, json };
                    let slot = target.field(field)?;
                    let key = target.key(text)?;
                    target.warn_of_guess(&[Part::Value]);
                    match target.lookup("get", &key)? {
                        Some(found) => {
                            view.line(&target, slot, &found, &mut out.data);
                            0
                        }
                        None => absent(&target, text, default, out)?,
                    }
                }
                None => absent(outer, nested.outer, default, out)?,
            },
        };
        out.spill()?;
    }
    Ok(status)
}

impl Target {
    /// The place in a value that an argument such as `.a.b` names; the whole where there is none.
    pub fn field(&self, path: Option<&OsStr>) -> anyhow::Result<Slot<'_>> {
        match path.map(OsStr::to_string_lossy) {
            Some(path) => self.layout.value.field(&path).with_context(|| self.label.clone()),
            None => Ok((&self.layout.value).into()),
        }
    }
}

/// How a value is shown.
pub struct View {
    pub which: Which,
    /// None for words.
    pub json: Option<Integers>,
}

impl View {
    /// Appends a line of `found`, which are an element's bytes; with `--per-cpu` a line a CPU,
    /// unless it is JSON.
    pub fn line(&self, target: &Target, slot: Slot, found: &[u8], out: &mut Vec<u8>) {
        match &self.which {
            Which::Sum if !target.is_per_cpu() => self.value(slot, found, out),
            Which::Sum => {
                let values = print::PerCpu::new(found, target.map.stride());
                if self.json.is_none() {
                    self.value(slot, &values, out);
                } else {
                    out.extend(b"{\"value\":");
                    self.value(slot, &values, out);
                    json::push_sum(slot, out);
                    out.push(b'}');
                }
            }
            Which::One { place, .. } => {
                self.value(slot, &found[target.map.slot(*place)], out);
            }
            Which::Each(cpus) if self.json.is_some() => {
                out.extend(b"{\"values\":");
                for place in 0..cpus.numbers().len() {
                    out.push(if place == 0 { b'[' } else { b',' });
                    self.value(slot, &found[target.map.slot(place)], out);
                }
                out.extend(b"]}");
            }
            Which::Each(cpus) => {
                for (place, number) in cpus.numbers().iter().enumerate() {
                    if place > 0 {
                        out.push(b'\n');
                    }
                    out.extend(format!("{number}\t").bytes());
                    self.value(slot, &found[target.map.slot(place)], out);
                }
            }
        }
        out.push(b'\n');
    }

    fn value<V: print::Values + ?Sized>(&self, slot: Slot, values: &V, out: &mut Vec<u8>) {
        match self.json {
            Some(integers) => integers.json(slot, values, out),
            None => print::plain(slot, values, out),
        }
    }
}
