//! `bpf-map del` and `bpf-map clear`: some elements, and all.

use crate::cli::exit::{self};
use crate::cli::map::arguments::positional;
use crate::cli::map::session::Session;
use crate::cli::map::target::{Target, reference};
use crate::error::{Cause, Error};
use crate::map::empty;
use crate::text::escape;
use anyhow::bail;
use bpf_inherit::AccessMode;
use bpf_inherit::{Errno, fd};
use clap::{ArgMatches, Command};
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

pub fn arguments(command: Command) -> Command {
    reference::arguments(command).arg(positional("KEY", "The keys").num_args(1..))
}

pub fn run(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let (startup, out) = session.parts();
    let target = reference::open(startup, matches, true)?;
    let kind = target.map.info().map_type;
    if kind.is_filled() {
        bail!(
            "{}: del: the elements of this {} cannot be deleted: set one to 0, or clear them all",
            target.label,
            kind.name()
        );
    }
    if kind.is_queue() {
        bail!("{}: del: {} has no keys: see pop and clear", target.label, kind.with_article());
    }
    let keys = matches.get_many("KEY").into_iter().flatten();
    let keys = keys.map(|text: &OsString| Ok((text, target.key(text)?)));
    let keys: Vec<(&OsString, Vec<u8>)> = keys.collect::<anyhow::Result<_>>()?;
    let mut status = 0;
    for (text, key) in &keys {
        let absent = match target.map.delete(key) {
            Ok(found) => !found,
            // A key past the end of the slots, and an empty slot of a sockmap.
            Err(Errno::EINVAL | Errno::E2BIG) if kind.is_walked_by_index() => true,
            Err(errno) => return Err(explain(&target, "del", errno)),
        };
        if absent {
            out.report(format_args!("{}: no key {}", target.label, escape(text.as_bytes())))?;
            status = exit::ABSENT;
        }
    }
    Ok(status)
}

pub fn clear_arguments(command: Command) -> Command {
    reference::arguments(command)
}

pub fn clear(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let (startup, _out) = session.parts();
    let target = reference::open(startup, matches, true)?;
    let kind = target.map.info().map_type;
    if let Some(instead) = crate::map::advice::clearing(kind) {
        bail!("{}: clear: not possible with {}: {instead}", target.label, kind.with_article());
    }
    empty::clear(&target.map).map_err(|errno| explain(&target, "clear", errno))?;
    Ok(0)
}

/// Why elements could not be deleted.
fn explain(target: &Target, operation: &'static str, errno: Errno) -> anyhow::Error {
    let kind = target.map.info().map_type.name();
    let access = fd::access_mode(target.map.as_fd());
    let cause = match errno {
        Errno::EPERM if access == Ok(AccessMode::ReadOnly) => {
            Cause::Hint(errno, "the descriptor is read-only")
        }
        Errno::EPERM if access == Ok(AccessMode::WriteOnly) => {
            Cause::Hint(errno, "the descriptor is write-only")
        }
        Errno::EPERM => Cause::Hint(errno, "the map is frozen"),
        Errno::EINVAL | Errno::EOPNOTSUPP | Errno::UnknownErrno => {
            format!("the elements of this {kind} cannot be deleted").into()
        }
        _ => return target.explain_walk(operation, errno),
    };
    Error::new(&target.label, operation, cause).into()
}
