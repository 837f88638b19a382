//! `bpf-map has`: whether a bloom filter may contain a value, as the exit status.

use crate::cli::exit;
use crate::cli::map::arguments::{self, MapArguments};
use crate::cli::map::session::Session;
use bpf_inherit::{AccessMode, MapType};
use clap::{ArgMatches, Command};
use std::ffi::OsStr;

pub fn arguments(command: Command) -> Command {
    arguments::map(command).arg(arguments::positional("VALUE", "The value"))
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: MapArguments<'a>,
    value: &'a OsStr,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        let value = arguments::required(matches, "VALUE");
        Ok(Args { map: MapArguments::new(matches)?, value })
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let target = session.open(&args.map, AccessMode::ReadOnly)?;
    target.require_type("has", &[MapType::BLOOM_FILTER], "use get")?;
    // A lookup in a bloom filter reads the value from the buffer that other types write it to.
    let mut bytes = target.value(args.value)?;
    let found = target.map.lookup(&[], &mut bytes);
    match found.map_err(|error| target.cannot_read("has", error))? {
        true => Ok(0),
        false => Ok(exit::ABSENT),
    }
}
