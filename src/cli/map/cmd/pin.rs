//! `bpf-map pin`: pins a map, a program or a link at a new path.

use crate::bpffs::pinning;
use crate::cli::map::arguments::{self, ProgramLoad};
use crate::cli::map::session::Session;
use crate::cli::map::target::program::{self, LoadOptions};
use crate::cli::map::target::{named, reference};
use bpf_inherit::{AccessMode, ObjectKind};
use clap::{ArgMatches, Command, ValueHint};
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::Path;

pub fn arguments(command: Command) -> Command {
    let path = arguments::positional("PATH", "The path of the new pin, which must not exist")
        .value_hint(ValueHint::AnyPath);
    command.args([arguments::object_reference(), path]).args(arguments::program_load())
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    object: &'a OsStr,
    path: &'a Path,
    load: ProgramLoad,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> Args<'a> {
        let path = Path::new(arguments::required(matches, "PATH"));
        let load = ProgramLoad::new(matches);
        Args { object: arguments::required(matches, "MAP"), path, load }
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    session.verbose |= args.load.verbose;
    let Session { startup, bpffs, .. } = session;
    if reference::split_kind(args.object).0 == ObjectKind::Program {
        let options = LoadOptions { program_type: args.load.program_type, owner: None };
        let opened = program::open(startup, bpffs, args.object, options)?;
        pinning::pin(opened.program.object.as_fd(), args.path)?;
        opened.pins.keep();
        return Ok(0);
    }
    // The kernel pins a map through a file descriptor of any access mode.
    let object = named::open(startup, bpffs, args.object, AccessMode::ReadOnly)?.object;
    pinning::pin(&object, args.path)?;
    Ok(0)
}
