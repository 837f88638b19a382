//! `bpf-map freeze`: refuses all changes to a map through bpf(2).

use crate::cli::map::arguments::{self, MapArguments};
use crate::cli::map::session::Session;
use crate::error::{Cause, Error};
use crate::map::state::MapState;
use bpf_inherit::{AccessMode, Errno, MapError, fd};
use clap::{ArgMatches, Command};
use std::ffi::OsStr;
use std::os::fd::AsFd;

pub fn arguments(command: Command) -> Command {
    command.arg(arguments::map_reference())
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: &'a OsStr,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> Args<'a> {
        Args { map: arguments::required(matches, "MAP") }
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let target = session.open(&MapArguments::of(args.map), AccessMode::ReadWrite)?;
    let fail = |cause: Cause| Error::new(&target.label, "freeze", cause);
    if MapState::read(&target.map).map_err(|errno| fail(errno.into()))?.frozen {
        return Ok(0);
    }
    target.map.freeze().map_err(|error| {
        let read_only = fd::access_mode(target.map.as_fd()) == Ok(AccessMode::ReadOnly);
        fail(match error {
            MapError::Denied if read_only => {
                Cause::Hint(error.into(), "the descriptor is read-only")
            }
            MapError::Denied => Cause::denied("CAP_BPF is needed"),
            MapError::Other(errno @ Errno::EBUSY) => {
                Cause::Hint(errno, "it is mapped for writing, or being written")
            }
            // The kernel also refuses struct_ops maps, which have no btf_value_type_id.
            MapError::Unsupported(_) if target.map.info().btf_value_type_id != 0 => {
                "the kernel refuses to freeze a map whose values contain a lock, a timer or \
                 another kernel field"
                    .into()
            }
            _ => error.into(),
        })
    })?;
    Ok(0)
}
