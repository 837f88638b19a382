//! `bpf-map peek`: prints the next value of a queue or a stack.

use crate::cli::exit;
use crate::cli::map::arguments::{self, MapArguments};
use crate::cli::map::output::Output;
use crate::cli::map::session::Session;
use crate::cli::map::target::Target;
use crate::cli::map::target::cpus::CpuSelection;
use crate::cli::map::target::origin::LayoutPart;
use crate::error::Error;
use crate::output::element::Integers;
use bpf_inherit::{AccessMode, MapType};
use clap::{Arg, ArgMatches, Command};
use std::ffi::{OsStr, OsString};

pub const TYPES: [MapType; 2] = [MapType::QUEUE, MapType::STACK];

pub fn arguments(command: Command) -> Command {
    arguments::map(command)
        .arg(Arg::new("FIELD").help("A field of the value, as .NAME").value_parser(parse_field))
        .args(arguments::json_flags())
}

fn parse_field(text: &str) -> Result<OsString, String> {
    match text.starts_with('.') {
        true => Ok(text.into()),
        false => Err("a field begins with a dot".into()),
    }
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    pub map: MapArguments<'a>,
    field: Option<&'a OsStr>,
    json: Option<Integers>,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        Ok(Args {
            map: MapArguments::new(matches)?,
            field: arguments::optional(matches, "FIELD"),
            json: arguments::integers(matches),
        })
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let target = session.open(&args.map, AccessMode::ReadOnly)?;
    target.require_type("peek", &TYPES, "use get")?;
    print_next(&target, &args, &mut session.out, |value| {
        target.map.lookup(&[], value).map_err(|error| target.cannot_read("peek", error))
    })
}

/// Prints the value that `read` reads, if there is one.
pub fn print_next(
    target: &Target,
    args: &Args,
    out: &mut Output,
    read: impl FnOnce(&mut [u8]) -> Result<bool, Error>,
) -> anyhow::Result<u8> {
    // A field that does not exist must not cost an element.
    let slot = target.field(args.field)?;
    target.warn_of_guess(&[LayoutPart::Value]);
    let mut value = vec![0; target.map.value_len()];
    if !read(&mut value)? {
        out.report(format_args!("{}: empty", target.label))?;
        return Ok(exit::ABSENT);
    }
    target.print_value(&CpuSelection::Sum, args.json, slot, &value, &mut out.data);
    Ok(0)
}
