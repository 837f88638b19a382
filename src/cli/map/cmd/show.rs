//! `bpf-map show`: all that is known of one map.

use super::list::BPFFS;
use crate::bpffs::pins;
use crate::cli::map::session::Session;
use crate::cli::map::target::reference;
use crate::error::Error;
use crate::map::flags;
use crate::map::state::State;
use crate::map::usage;
use crate::output::Whole;
use crate::output::show::{self, Shown};
use bpf_inherit::fd;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::os::fd::AsFd;
use std::path::Path;

pub fn arguments(command: Command) -> Command {
    reference::arguments(command)
        .arg(Arg::new("json").long("json").help("Print JSON").action(ArgAction::SetTrue))
}

pub fn run(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let (startup, out) = session.parts();
    // The access that can be had is part of what is shown.
    let target = match reference::open(startup, matches, true) {
        Ok(target) => target,
        Err(_) => reference::open(startup, matches, false)?,
    };
    let map = &target.map;
    let fail = |operation| {
        let label = &target.label;
        move |errno| Error::new(label, operation, errno)
    };
    let id = map.info().id;
    let (mut pinned, missing) = pins::by_id(Path::new(BPFFS));
    let pins = pinned.remove(&id).map(|(_, pins)| pins);
    let shown = Shown {
        info: map.info(),
        state: State::of(map).map_err(fail("read fdinfo"))?,
        access: fd::access_mode(map.as_fd()).map_err(fail("read access mode"))?,
        layout: &target.layout,
        layout_source: target.origin.source(),
        whole: Whole { flags: flags::names(map.info().flags), pins: pins.unwrap_or_default() },
        cpus: match target.is_per_cpu() {
            true => Some(target.cpus()?.numbers().len()),
            false => None,
        },
        used: usage::used(map).map_err(fail("count"))?,
    };
    match matches.get_flag("json") {
        true => out.data.extend(show::json(&shown)),
        false => out.data.extend(show::text(&shown).as_bytes()),
    }
    Ok(super::incomplete(&missing))
}
