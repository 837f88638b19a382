//! `bpf-map unpin`: removes a pin.

use crate::bpffs::pinning;
use crate::cli::map::arguments;
use crate::cli::map::session::Session;
use crate::text::escape;
use anyhow::bail;
use clap::{ArgMatches, Command, ValueHint};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub fn arguments(command: Command) -> Command {
    command.args([
        arguments::positional("PATH", "The pin").value_hint(ValueHint::AnyPath),
        arguments::flag("force", "Remove pins of other objects, and pins that cannot be opened"),
    ])
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    path: &'a OsStr,
    force: bool,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> Args<'a> {
        Args { path: arguments::required(matches, "PATH"), force: matches.get_flag("force") }
    }
}

pub fn run(args: Args, _: &mut Session) -> anyhow::Result<u8> {
    let Args { path, force } = args;
    if path.is_empty() {
        bail!("unpin: the path is empty");
    }
    // In other commands a word without a slash is the name of an inherited map.
    if !path.as_bytes().contains(&b'/') {
        let name = escape(path.as_bytes());
        bail!("{name}: unpin: not a path (write ./{name} for a pin in this directory)");
    }
    pinning::unpin(Path::new(path), force)?;
    Ok(0)
}
