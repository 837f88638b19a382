//! `bpf-map pin`, `unpin`, `freeze` and `create`: how long a map lives, and whether it may change.

use crate::bpffs::pinning;
use crate::cli::map::arguments::{positional, value};
use crate::cli::map::session::Session;
use crate::cli::map::target::reference;
use crate::error::{Cause, Error};
use crate::map::state::State;
use crate::source::create;
use crate::text::escape;
use anyhow::{Context, anyhow, bail};
use bpf_inherit::AccessMode;
use bpf_inherit::{Errno, fd};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn path(help: &'static str) -> Arg {
    positional("PATH", help).value_hint(clap::ValueHint::AnyPath)
}

fn map() -> Arg {
    positional("MAP", "The map: a name, a descriptor, a pin, id:N or name:NAME")
}

pub fn pin_arguments(command: Command) -> Command {
    command.args([map(), path("The new pin; nothing may have this name")])
}

pub fn pin(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    // The kernel pins by way of any descriptor.
    let target = reference::open_named(&session.startup, value(matches, "MAP"), false, None, None)?;
    pinning::pin(&target.map, Path::new(value(matches, "PATH")))?;
    Ok(0)
}

pub fn unpin_arguments(command: Command) -> Command {
    command.args([
        path("The pin"),
        Arg::new("force")
            .long("force")
            .help("Also where it is not a map's, or cannot be opened")
            .action(ArgAction::SetTrue),
    ])
}

pub fn unpin(matches: &ArgMatches) -> anyhow::Result<u8> {
    let path = value(matches, "PATH");
    if path.is_empty() {
        bail!("unpin: the path is empty");
    }
    // In other commands a word without a slash is the name of an inherited map.
    if !path.as_bytes().contains(&b'/') {
        let name = escape(path.as_bytes());
        bail!("{name}: unpin: not a path (write ./{name} for a pin in this directory)");
    }
    pinning::unpin(Path::new(path), matches.get_flag("force"))?;
    Ok(0)
}

pub fn freeze_arguments(command: Command) -> Command {
    command.arg(map())
}

pub fn freeze(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let target = reference::open_named(&session.startup, value(matches, "MAP"), true, None, None)?;
    let fail = |cause: Cause| Error::new(&target.label, "freeze", cause);
    if State::of(&target.map).map_err(|errno| fail(errno.into()))?.frozen {
        return Ok(0);
    }
    target.map.freeze().map_err(|errno| {
        let read_only = fd::access_mode(target.map.as_fd()) == Ok(AccessMode::ReadOnly);
        fail(match errno {
            Errno::EPERM if read_only => Cause::Hint(errno, "the descriptor is read-only"),
            Errno::EPERM => Cause::Hint(errno, "CAP_BPF is needed"),
            Errno::EBUSY => Cause::Hint(errno, "it is mapped for writing, or being written"),
            // 524 is for these and for struct_ops maps, whose values have no BTF of the map's own.
            Errno::UnknownErrno if target.map.info().btf_value_type_id != 0 => {
                "the kernel refuses to freeze a map whose values contain a lock, a timer or another \
                 kernel field"
                    .into()
            }
            errno => errno.into(),
        })
    })?;
    Ok(0)
}

pub fn create_arguments(command: Command) -> Command {
    command.args([
        positional("SPEC", "NAME=TYPE,key=LAYOUT,value=LAYOUT,entries=N, as for bpf-exec --create"),
        Arg::new("pin")
            .long("pin")
            .value_name("PATH")
            .help("Where to pin it; nothing may have this name")
            .required(true)
            .value_hint(clap::ValueHint::AnyPath)
            .value_parser(value_parser!(OsString)),
    ])
}

pub fn create(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let (_startup, out) = session.parts();
    let text = value(matches, "SPEC");
    let spec = text.to_str().ok_or_else(|| "not UTF-8".to_owned()).and_then(create::NewMap::parse);
    let spec = spec.map_err(|e| anyhow!(e)).with_context(|| escape(text.as_bytes()))?;
    // A map that cannot be pinned is gone with its only descriptor.
    let path = value(matches, "pin");
    pinning::pin(&create::open(&spec)?, Path::new(path))?;
    if let Some((flag, access)) = spec.access_flag() {
        // The descriptor that they restrict is closed with this process.
        out.report(format_args!(
            "warning: {}: {flag} restricts the descriptor that creates the map: the pin stays {access}",
            escape(path.as_bytes())
        ))?;
    }
    Ok(0)
}
