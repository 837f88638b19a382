//! `bpf-map count`: the number of elements, by the kernel's counter if it has one.

use crate::cli::map::arguments::{self, MapArguments};
use crate::cli::map::session::Session;
use crate::cli::map::target::Target;
use crate::cli::map::target::walk::Walk;
use crate::program::count::ask_kernel;
use bpf_inherit::AccessMode;
use clap::{ArgMatches, Command};

pub fn arguments(command: Command) -> Command {
    arguments::map(command)
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: MapArguments<'a>,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        Ok(Args { map: MapArguments::new(matches)? })
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let target = session.open(&args.map, AccessMode::ReadOnly)?;
    target.walked_key("count")?;
    target.check_slots_readable("count")?;
    let count = match ask_kernel(&target.map) {
        Some(count) => count,
        None => count_each(&target)?,
    };
    session.out.data.extend_from_slice(format!("{count}\n").as_bytes());
    Ok(0)
}

/// Goes through all elements.
fn count_each(target: &Target) -> anyhow::Result<u64> {
    let info = target.map.info();
    if info.map_type.is_filled() {
        return Ok(info.max_entries.into());
    }
    let mut count = 0;
    let mut walk = Walk::new(target, "count", None)?.keys_only();
    while let Some(chunk) = walk.next()? {
        count += chunk.len() as u64;
    }
    Ok(count)
}
