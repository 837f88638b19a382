//! Entries that the kernel takes as file descriptors, and whether they last.

use crate::bpffs::holders;
use crate::cli::map::arguments::ProgramLoad;
use crate::cli::map::output::Output;
use crate::cli::map::session::Session;
use crate::cli::map::target::program::{self, LoadOptions, OpenedProgram};
use crate::cli::map::target::{Condition, Target, check_inherited, reference};
use crate::error::Error;
use crate::map::flags;
use crate::map::state::MapState;
use crate::text::{escape, escape_argument};
use anyhow::{Context, bail};
use bpf_inherit::{AccessMode, MapType, ObjectKind};
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

/// Stores an object that the kernel takes as a file descriptor: a program, a map, or an inherited
/// file descriptor. `map` is the reference of the map, `value` that of the object.
pub fn set_descriptor(
    session: &mut Session,
    target: &Target,
    (map, key): (&OsStr, &[u8]),
    value: &OsStr,
    (condition, load): (Condition, ProgramLoad),
) -> anyhow::Result<bool> {
    let kind = target.map.info().map_type;
    if kind.holds_maps() {
        let Session { startup, bpffs, .. } = session;
        let inner = Target::open(startup, bpffs, value, AccessMode::ReadOnly, &Default::default())?;
        return store(target, key, inner.map.as_fd(), condition);
    }
    if kind == MapType::PROG_ARRAY {
        if !matches!(reference::split_kind(value), (ObjectKind::Program, rest) if !rest.is_empty())
        {
            bail!(
                "{}: {}: expected prog:PATH, prog:NAME, prog:id:N, prog:fd:N or prog:FILE#NAME",
                target.label,
                escape(value.as_bytes())
            );
        }
        let options = load_options(session, target, load)?;
        let opened = program::open(&session.startup, &session.bpffs, value, options)
            .with_context(|| target.label.clone())?;
        return store_program(session, target, (map, key), opened, condition);
    }
    let bytes = target.value(value)?;
    let wrong = || format!("{}: value {}", target.label, escape_argument(value.as_bytes()));
    check_inherited(&bytes).with_context(wrong)?;
    check_lasting(target, map)?;
    target.write("set", key, &bytes, condition)
}

/// Stores a file descriptor.
fn store(
    target: &Target,
    key: &[u8],
    fd: BorrowedFd,
    condition: Condition,
) -> anyhow::Result<bool> {
    let mut bytes = (fd.as_raw_fd() as u32).to_ne_bytes().to_vec();
    bytes.resize(target.map.value_len(), 0);
    target.write("set", key, &bytes, condition)
}

/// The type of a program for a program array: the given one, and the type of the programs in the array.
pub fn load_options(
    session: &mut Session,
    target: &Target,
    load: ProgramLoad,
) -> anyhow::Result<LoadOptions> {
    session.verbose |= load.verbose;
    let state = MapState::read(&target.map)
        .map_err(|errno| Error::new(&target.label, "read state", errno))?;
    Ok(LoadOptions { program_type: load.program_type, owner: state.owner })
}

/// Stores a program in a program array, whose reference is `map`. The new pins of its maps remain if it
/// is stored.
pub fn store_program(
    session: &mut Session,
    target: &Target,
    (map, key): (&OsStr, &[u8]),
    opened: OpenedProgram,
    condition: Condition,
) -> anyhow::Result<bool> {
    let done = store(target, key, opened.program.object.as_fd(), condition)?;
    if done {
        opened.pins.keep();
        warn_unless_held(target, map, &mut session.out)?;
    }
    Ok(done)
}

/// Warns if nothing was found that holds the program array when this process ends: the kernel clears
/// its entries with the last user reference, and a program that uses the array is not one.
fn warn_unless_held(target: &Target, map: &OsStr, out: &mut Output) -> anyhow::Result<()> {
    // The pin through which it was just opened holds it.
    if reference::is_pin(map) || holders::found(target.map.info().id) {
        return Ok(());
    }
    out.report(format_args!(
        "warning: {}: no pin and no other process was found that holds the map: the kernel \
         clears its entries when bpf-map ends",
        target.label
    ))
}

/// An error if the kernel would remove the entry when this process ends: the kernel removes an
/// entry of a perf_event_array with the open file of the map by which it was set
/// (`perf_event_fd_array_release`), which no other process has unless it was inherited.
fn check_lasting(target: &Target, map: &OsStr) -> anyhow::Result<()> {
    let info = target.map.info();
    let kept = flags::parse_name("PRESERVE_ELEMS").is_some_and(|bit| info.flags & bit != 0);
    if info.map_type == MapType::PERF_EVENT_ARRAY && !kept && !reference::is_inherited(map) {
        bail!(
            "{}: set: the entry would vanish when bpf-map ends: \
             use an inherited descriptor of the map, or a map with PRESERVE_ELEMS",
            target.label
        );
    }
    Ok(())
}
