//! `bpf-map clear`: deletes all elements.

use crate::cli::map::arguments::{self, MapArguments};
use crate::cli::map::session::Session;
use crate::map::{advice, empty};
use anyhow::bail;
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
    let target = session.open(&args.map, AccessMode::ReadWrite)?;
    let kind = target.map.info().map_type;
    if let Some(instead) = advice::find_clear_alternative(kind) {
        bail!("{}: clear: not possible with {}: {instead}", target.label, kind.with_article());
    }
    empty::clear(&target.map).map_err(|errno| target.explain_delete("clear", errno))?;
    Ok(0)
}
