//! `bpf-map unpin`: removes a pin.

use crate::bpffs::pinning;
use crate::cli::map::arguments;
use crate::cli::map::session::Session;
use crate::cli::map::target::reference::{self, Reference};
use crate::text::escape;
use anyhow::bail;
use clap::{ArgMatches, Command, ValueHint};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

pub fn arguments(command: Command) -> Command {
    command.args([
        arguments::positional(
            "PATH",
            "The pin; prog:PATH or link:PATH for one that is not a map's",
        )
        .value_hint(ValueHint::AnyPath),
        arguments::flag(
            "force",
            "Remove pins of other object kinds, and pins that cannot be opened",
        ),
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
    let (kind, rest) = reference::split_kind(path);
    let Reference::Pin(pin) = reference::parse(rest) else {
        let (whole, rest) = (escape(path.as_bytes()), escape(rest.as_bytes()));
        let prefix = whole.strip_suffix(rest.as_str()).unwrap_or_default();
        bail!("{whole}: unpin: not a path (write {prefix}./{rest} for a pin in this directory)");
    };
    pinning::unpin(pin, (!force).then_some(kind))?;
    Ok(0)
}
