//! Entries that the kernel takes as file descriptors, and whether they last.

use crate::bpffs::holders;
use crate::cli::map::output::Output;
use crate::cli::map::session::Session;
use crate::cli::map::target::{Condition, Target, check_inherited, named, reference};
use crate::map::flags;
use crate::text::escape;
use anyhow::{Context, bail};
use bpf_inherit::object::Object;
use bpf_inherit::{AccessMode, MapType, ObjectKind, Startup};
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Stores an object that the kernel takes as a file descriptor: a program, a map, or an inherited
/// file descriptor. `map` is the reference of the map, `value` that of the object.
pub fn set_descriptor(
    session: &mut Session,
    target: &Target,
    (map, key): (&OsStr, &[u8]),
    value: &OsStr,
    condition: Condition,
) -> anyhow::Result<bool> {
    let Session { startup, bpffs, out, .. } = session;
    let kind = target.map.info().map_type;
    let store = |fd: BorrowedFd| {
        let mut bytes = (fd.as_raw_fd() as u32).to_ne_bytes().to_vec();
        bytes.resize(target.map.value_len(), 0);
        target.write("set", key, &bytes, condition)
    };
    if kind.holds_maps() {
        let inner = Target::open(startup, bpffs, value, AccessMode::ReadOnly, &Default::default())?;
        return store(inner.map.as_fd());
    }
    if kind == MapType::PROG_ARRAY {
        let program = open_program(startup, bpffs, value).with_context(|| target.label.clone())?;
        let done = store(program.as_fd())?;
        if done {
            warn_unless_held(target, map, out)?;
        }
        return Ok(done);
    }
    let bytes = target.value(value)?;
    let wrong = || format!("{}: value {}", target.label, escape(value.as_bytes()));
    check_inherited(&bytes).with_context(wrong)?;
    check_lasting(target, map)?;
    target.write("set", key, &bytes, condition)
}

/// Opens the program that `prog:` and a reference name.
fn open_program(startup: &Startup, bpffs: &Path, text: &OsStr) -> anyhow::Result<Object> {
    match reference::split_kind(text) {
        (ObjectKind::Program, rest) if !rest.is_empty() => {
            Ok(named::open(startup, bpffs, text, AccessMode::ReadWrite)?.object)
        }
        _ => bail!(
            "{}: expected prog:PATH, prog:NAME, prog:id:N or prog:fd:N",
            escape(text.as_bytes())
        ),
    }
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
