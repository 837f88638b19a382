//! `bpf-map push`: adds values to a queue, a stack or a bloom filter.

use crate::cli::map::arguments::{self, MapArguments};
use crate::cli::map::session::Session;
use crate::cli::map::target::Target;
use crate::error::Error;
use anyhow::{anyhow, bail};
use bpf_inherit::{AccessMode, MapError, MapType};
use clap::{ArgMatches, Command};
use std::ffi::OsStr;

/// BPF_EXIST: a full queue drops its oldest element.
const DROP_OLDEST: u64 = 2;

pub fn arguments(command: Command) -> Command {
    arguments::map(command).args([
        arguments::positional("VALUE", "The values, in this order").num_args(1..),
        arguments::flag("force", "Drop the oldest value if the map is full"),
    ])
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: MapArguments<'a>,
    values: Vec<&'a OsStr>,
    force: bool,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        Ok(Args {
            map: MapArguments::new(matches)?,
            values: arguments::all(matches, "VALUE"),
            force: matches.get_flag("force"),
        })
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let target = session.open(&args.map, AccessMode::ReadWrite)?;
    let types = [MapType::QUEUE, MapType::STACK, MapType::BLOOM_FILTER];
    target.require_type("push", &types, "use set")?;
    if args.force && target.map.info().map_type == MapType::BLOOM_FILTER {
        bail!("{}: --force: a bloom_filter is never full", target.label);
    }
    let values = args.values.iter().map(|text| target.value(text));
    let values: Vec<Vec<u8>> = values.collect::<anyhow::Result<_>>()?;
    for (done, bytes) in values.iter().enumerate() {
        let pushed = target.map.update(&[], bytes, if args.force { DROP_OLDEST } else { 0 });
        pushed.map_err(|error| explain(&target, error, done, values.len()))?;
    }
    Ok(0)
}

fn explain(target: &Target, error: MapError, done: usize, all: usize) -> anyhow::Error {
    let entries = target.map.info().max_entries;
    let so_far = if all > 1 { format!("; {done} of {all} went in") } else { String::new() };
    match error {
        MapError::PastEnd => {
            let cause = format!("full ({entries} entries; --force drops the oldest){so_far}");
            Error::new(&target.label, "push", cause).into()
        }
        _ => anyhow!("{}{so_far}", target.cannot_write("push", error)),
    }
}
