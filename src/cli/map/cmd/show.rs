//! `bpf-map show`: the properties of one map, program or link.

mod object;

use crate::bpffs::pins;
use crate::cli::map::arguments::{self, MapArguments};
use crate::cli::map::output::warn_if_incomplete;
use crate::cli::map::session::Session;
use crate::cli::map::target::reference;
use crate::error::{Cause, Error};
use crate::map::flags;
use crate::map::state::MapState;
use crate::map::usage;
use crate::output::Whole;
use crate::output::show::{self, ShownMap};
use crate::program::count::ask_kernel;
use bpf_inherit::{AccessMode, ObjectKind, fd};
use clap::{ArgMatches, Command};
use std::os::fd::AsFd;

pub fn arguments(command: Command) -> Command {
    let object = arguments::object_reference();
    let map = arguments::map(command).mut_arg("MAP", |_| object);
    map.arg(arguments::flag("json", "Print JSON"))
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: MapArguments<'a>,
    json: bool,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        Ok(Args { map: MapArguments::new(matches)?, json: matches.get_flag("json") })
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let (kind, _) = reference::split_kind(args.map.reference);
    if kind != ObjectKind::Map {
        return object::show(&args.map, args.json, session);
    }
    // The best access mode that the caller can get is part of the output.
    let target = match session.open(&args.map, AccessMode::ReadWrite) {
        Ok(target) => target,
        Err(_) => session.open(&args.map, AccessMode::ReadOnly)?,
    };
    let out = &mut session.out;
    let map = &target.map;
    let fail = |operation, cause: Cause| Error::new(&target.label, operation, cause);
    let id = map.info().id;
    let (mut pinned, missing) = pins::by_id(&session.bpffs)?;
    let pins = pinned.remove(&id).map(|(_, pins)| pins);
    let shown = ShownMap {
        info: map.info(),
        state: MapState::read(map).map_err(|errno| fail("read fdinfo", errno.into()))?,
        access: fd::access_mode(map.as_fd())
            .map_err(|errno| fail("read access mode", errno.into()))?,
        layout: &target.layout,
        layout_source: target.origin.source(),
        whole: Whole { flags: flags::list_names(map.info().flags), pins: pins.unwrap_or_default() },
        cpus: match target.is_per_cpu() {
            true => Some(target.cpus()?.numbers().len()),
            false => None,
        },
        used: match ask_kernel(map) {
            Some(count) => Some(count),
            None => usage::count_used(map).map_err(|error| fail("count", error.into()))?,
        },
    };
    match args.json {
        true => out.data.extend(show::json(&shown)),
        false => out.data.extend(show::text(&shown).as_bytes()),
    }
    Ok(warn_if_incomplete(&missing))
}
