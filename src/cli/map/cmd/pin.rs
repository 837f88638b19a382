//! `bpf-map pin`: pins a map at a new path.

use crate::bpffs::pinning;
use crate::cli::map::arguments::{self, MapArguments};
use crate::cli::map::session::Session;
use bpf_inherit::AccessMode;
use clap::{ArgMatches, Command, ValueHint};
use std::ffi::OsStr;
use std::path::Path;

pub fn arguments(command: Command) -> Command {
    let path = arguments::positional("PATH", "The path of the new pin, which must not exist")
        .value_hint(ValueHint::AnyPath);
    command.args([arguments::map_reference(), path])
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: &'a OsStr,
    path: &'a Path,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> Args<'a> {
        let path = Path::new(arguments::required(matches, "PATH"));
        Args { map: arguments::required(matches, "MAP"), path }
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    // The kernel pins a map through a file descriptor of any access mode.
    let target = session.open(&MapArguments::of(args.map), AccessMode::ReadOnly)?;
    pinning::pin(&target.map, args.path)?;
    Ok(0)
}
