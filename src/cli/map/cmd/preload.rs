//! `bpf-map preload`: pins two files that list all maps and all programs.

use crate::bpffs::pinning::{self, Permissions};
use crate::cli::map::output::warn;
use crate::cli::map::session::Session;
use crate::cli::map::{arguments, permissions};
use crate::program;
use crate::text::escape;
use clap::{ArgMatches, Command, ValueHint};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub fn arguments(command: Command) -> Command {
    let directory =
        arguments::positional("DIR", "The directory of the pins [default: the bpffs root]")
            .required(false)
            .value_hint(ValueHint::DirPath);
    command.arg(directory).args(permissions::arguments())
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    directory: Option<&'a Path>,
    permissions: Permissions,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        let directory = arguments::optional(matches, "DIR").map(Path::new);
        Ok(Args { directory, permissions: permissions::parse(matches)? })
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let directory = args.directory.unwrap_or(&session.bpffs);
    let (maps, programs) = (directory.join("maps"), directory.join("progs"));
    let iterators = program::list_objects()?;
    pinning::publish(iterators.maps, &maps, args.permissions)?;
    if let Err(error) = pinning::publish(iterators.programs, &programs, args.permissions) {
        // Both or none.
        pinning::unpin(&maps, None)?;
        return Err(error.into());
    }
    if let Some(warning) = permissions::warn_of_directories(&maps) {
        warn(format_args!("{}: {warning}", escape(directory.as_os_str().as_bytes())));
    }
    Ok(0)
}
