//! `bpf-map count`: the number of elements.

use crate::cli::map::arguments::{self, MapArguments};
use crate::cli::map::session::Session;
use crate::cli::map::target::walk::Walk;
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
    let info = target.map.info();
    let mut count = u64::from(info.max_entries);
    if !info.map_type.is_filled() {
        count = 0;
        let mut walk = Walk::new(&target, "count", None)?.keys_only();
        while let Some(chunk) = walk.next()? {
            count += chunk.len() as u64;
        }
    }
    session.out.data.extend_from_slice(format!("{count}\n").as_bytes());
    Ok(0)
}
