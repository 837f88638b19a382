//! `bpf-map del`: deletes the elements of keys.

use crate::cli::exit;
use crate::cli::map::arguments::{self, MapArguments};
use crate::cli::map::session::Session;
use crate::text::escape_argument;
use anyhow::bail;
use bpf_inherit::{AccessMode, MapError};
use clap::{ArgMatches, Command};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

pub fn arguments(command: Command) -> Command {
    arguments::map(command).arg(arguments::positional("KEY", "The keys").num_args(1..))
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: MapArguments<'a>,
    keys: Vec<&'a OsStr>,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        Ok(Args { map: MapArguments::new(matches)?, keys: arguments::all(matches, "KEY") })
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let target = session.open(&args.map, AccessMode::ReadWrite)?;
    let kind = target.map.info().map_type;
    if kind.is_filled() {
        bail!(
            "{}: del: the entries of this {} cannot be deleted: set one to 0, or clear them all",
            target.label,
            kind.name()
        );
    }
    if kind.is_queue() {
        bail!("{}: del: {} has no keys: see pop and clear", target.label, kind.with_article());
    }
    let keys = args.keys.iter().map(|text| target.key(text));
    let keys: Vec<Vec<u8>> = keys.collect::<anyhow::Result<_>>()?;
    let mut status = 0;
    for (text, key) in args.keys.iter().zip(&keys) {
        let missing = match target.map.delete(key) {
            Ok(found) => !found,
            // A key past the end of the slots, and an empty slot of a sockmap.
            Err(MapError::Invalid | MapError::PastEnd) if kind.is_walked_by_index() => true,
            Err(error) => return Err(target.explain_delete("del", error)),
        };
        if missing {
            let text = escape_argument(text.as_bytes());
            session.out.report(format_args!("{}: no key {text}", target.label))?;
            status = exit::ABSENT;
        }
    }
    Ok(status)
}
