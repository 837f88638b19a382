//! `bpf-map get`: the values of keys.

use crate::cli::exit;
use crate::cli::map::arguments::{self, MapArguments, ReadCpus};
use crate::cli::map::output::Output;
use crate::cli::map::session::Session;
use crate::cli::map::target::Target;
use crate::cli::map::target::origin::LayoutPart;
use crate::output::element::Integers;
use crate::text::escape_argument;
use bpf_inherit::AccessMode;
use bpf_layout::Layout;
use clap::{Arg, ArgMatches, Command, value_parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

pub fn arguments(command: Command) -> Command {
    arguments::map(command)
        .args([
            arguments::positional(
                "KEY",
                "The keys; the last may be a field of the value, as .NAME",
            )
            .num_args(1..),
            Arg::new("default")
                .long("default")
                .value_name("TEXT")
                .help("Print this for a missing key")
                .allow_hyphen_values(true)
                .value_parser(value_parser!(OsString)),
            arguments::per_cpu("Print the value of every CPU, not their sum"),
            arguments::cpu("Print the value of this CPU"),
            arguments::inner(),
        ])
        .args(arguments::json_flags())
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: MapArguments<'a>,
    keys: Vec<&'a OsStr>,
    field: Option<&'a OsStr>,
    default: Option<&'a OsStr>,
    cpus: ReadCpus,
    inner: Option<Layout>,
    json: Option<Integers>,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        Ok(Args {
            default: arguments::optional(matches, "default"),
            cpus: ReadCpus::new(matches),
            inner: arguments::inner_layout(matches)?,
            json: arguments::integers(matches),
            ..Args::without_options(MapArguments::new(matches)?, arguments::all(matches, "KEY"))
        })
    }

    /// The arguments of a line without options: `MAP KEY... [.FIELD]`.
    pub fn short(words: &[&'a OsStr]) -> Option<Args<'a>> {
        match words {
            [map, keys @ ..] if !keys.is_empty() => {
                Some(Args::without_options(MapArguments::of(map), keys.to_vec()))
            }
            _ => None,
        }
    }

    fn without_options(map: MapArguments<'a>, mut keys: Vec<&'a OsStr>) -> Args<'a> {
        let field = match keys.len() {
            1 => None,
            _ => keys.pop_if(|last| arguments::is_field(last)),
        };
        Args { map, keys, field, default: None, cpus: ReadCpus::Sum, inner: None, json: None }
    }
}

pub fn run(mut args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let target = session.open(&args.map, AccessMode::ReadOnly)?;
    if let [key] = &mut args.keys[..] {
        (*key, args.field) = target.key_and_field(key, args.field);
    }
    let out = &mut session.out;
    if target.holds_maps() {
        return get_through(&target, &args, out);
    }
    target.check_readable("get")?;
    let cpus = target.select_cpus(args.cpus)?;
    let slot = target.field(args.field)?;
    let keys = args.keys.iter().map(|text| Ok((*text, target.key(text)?)));
    let keys: Vec<(&OsStr, Vec<u8>)> = keys.collect::<anyhow::Result<_>>()?;
    target.warn_of_guess(&[LayoutPart::Value]);
    let mut status = 0;
    for (text, key) in &keys {
        match target.lookup("get", key)? {
            Some(found) => target.print_value(&cpus, args.json, slot, &found, &mut out.data),
            None => status |= report_missing(&target, text, args.default, out)?,
        }
        out.spill()?;
    }
    Ok(status)
}

/// Reports a missing key, or prints the default; returns the exit status.
fn report_missing(
    target: &Target,
    key: &OsStr,
    default: Option<&OsStr>,
    out: &mut Output,
) -> anyhow::Result<u8> {
    let Some(default) = default else {
        out.report(format_args!("{}: no key {}", target.label, escape_argument(key.as_bytes())))?;
        out.absent();
        return Ok(exit::ABSENT);
    };
    out.data.extend(default.as_bytes());
    out.data.push(b'\n');
    Ok(0)
}

/// For each key of a map of maps, prints the id of the inner map, or a value in the inner map.
fn get_through(outer: &Target, args: &Args, out: &mut Output) -> anyhow::Result<u8> {
    let keys: Vec<_> = args.keys.iter().map(|key| outer.nested(key)).collect::<Result<_, _>>()?;
    let mut status = 0;
    for nested in &keys {
        let opened;
        let (target, text, key) = match nested.inner {
            None => (outer, nested.outer, nested.key.clone()),
            Some(text) => {
                let inner = args.inner.as_ref();
                let Some(target) = outer.open_inner(nested, inner, AccessMode::ReadOnly)? else {
                    status |= report_missing(outer, nested.outer, args.default, out)?;
                    continue;
                };
                opened = target;
                (&opened, text, opened.key(text)?)
            }
        };
        let cpus = target.select_cpus(args.cpus)?;
        let slot = target.field(args.field)?;
        if nested.inner.is_some() {
            target.warn_of_guess(&[LayoutPart::Value]);
        }
        match target.lookup("get", &key)? {
            Some(found) => target.print_value(&cpus, args.json, slot, &found, &mut out.data),
            None => status |= report_missing(target, text, args.default, out)?,
        }
        out.spill()?;
    }
    Ok(status)
}
