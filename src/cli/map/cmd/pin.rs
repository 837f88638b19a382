//! `bpf-map pin`: pins a map, a program or a link at a new path.

use crate::bpffs::pinning;
use crate::cli::map::arguments;
use crate::cli::map::session::Session;
use crate::cli::map::target::named;
use bpf_inherit::AccessMode;
use clap::{ArgMatches, Command, ValueHint};
use std::ffi::OsStr;
use std::path::Path;

pub fn arguments(command: Command) -> Command {
    let path = arguments::positional("PATH", "The path of the new pin, which must not exist")
        .value_hint(ValueHint::AnyPath);
    command.args([arguments::object_reference(), path])
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    object: &'a OsStr,
    path: &'a Path,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> Args<'a> {
        let path = Path::new(arguments::required(matches, "PATH"));
        Args { object: arguments::required(matches, "MAP"), path }
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    // The kernel pins a map through a file descriptor of any access mode.
    let Session { startup, bpffs, .. } = session;
    let object = named::open(startup, bpffs, args.object, AccessMode::ReadOnly)?.object;
    pinning::pin(&object, args.path)?;
    Ok(0)
}
