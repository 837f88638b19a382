//! `bpf-map graft`: loads a program of an object file into a program array, as `tc exec bpf graft`
//! does.

use super::set::descriptor::{load_options, store_program};
use crate::cli::map::arguments::{self, MapArguments, ProgramLoad};
use crate::cli::map::session::Session;
use crate::cli::map::target::Condition;
use crate::cli::map::target::program;
use crate::object::tail_call_slot;
use crate::source::object::ObjectProgramSpec;
use crate::text::{escape, quote};
use anyhow::{Context, anyhow, bail};
use bpf_inherit::{AccessMode, MapType};
use clap::{ArgMatches, Command};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

pub fn arguments(command: Command) -> Command {
    let program = arguments::positional(
        "KEY",
        "The slot [default: KEY of a section ID/KEY], and the object file",
    )
    .value_name("[KEY] FILE[#NAME]")
    .num_args(1..=2);
    command.args([arguments::map_reference(), program]).args(arguments::program_load())
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: &'a OsStr,
    key: Option<&'a OsStr>,
    program: &'a OsStr,
    load: ProgramLoad,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> Args<'a> {
        let words = arguments::all(matches, "KEY");
        let (program, key) = match words[..] {
            [key, program] => (program, Some(key)),
            [program] => (program, None),
            _ => unreachable!("the option parser takes one or two"),
        };
        Args {
            map: arguments::required(matches, "MAP"),
            key,
            program,
            load: ProgramLoad::new(matches),
        }
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let target = session.open(&MapArguments::of(args.map), AccessMode::ReadWrite)?;
    let map_type = target.map.info().map_type;
    if map_type != MapType::PROG_ARRAY {
        bail!("{}: graft: {}, not a program array", target.label, map_type.with_article());
    }
    let key = args.key.map(|key| target.key(key)).transpose()?;
    let wrong = || escape(args.program.as_bytes());
    let spec = ObjectProgramSpec::parse_file(args.program.as_bytes());
    let spec = spec.map_err(|cause| anyhow!(cause)).with_context(wrong)?;
    let options = load_options(session, &target, args.load)?;
    let (opened, section) = program::load(&session.startup, &session.bpffs, spec, options)?;
    let key = match key {
        Some(key) => key,
        None => {
            let (_, slot) = tail_call_slot(&section).with_context(|| {
                let section = quote(section.as_bytes());
                format!("{}: the section {section} does not name a slot: a KEY is needed", wrong())
            })?;
            target.key(&OsString::from(slot.to_string()))?
        }
    };
    store_program(session, &target, (args.map, &key), opened, Condition::Any)?;
    Ok(0)
}
