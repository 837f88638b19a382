//! `bpf-map pop`: removes the next value of a queue or a stack, and prints it.

use super::peek;
use crate::cli::map::session::Session;
use bpf_inherit::{AccessMode, fd};
use clap::{ArgMatches, Command};
use std::os::fd::AsFd;

pub fn arguments(command: Command) -> Command {
    peek::arguments(command)
}

#[derive(Debug, PartialEq)]
pub struct Args<'a>(peek::Args<'a>);

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        peek::Args::new(matches).map(Args)
    }
}

pub fn run(Args(args): Args, session: &mut Session) -> anyhow::Result<u8> {
    let target = session.open(&args.map, AccessMode::ReadWrite)?;
    target.require_type("pop", &peek::TYPES, "use get and del")?;
    peek::print_next(&target, &args, &mut session.out, |value| {
        target.map.take(&[], value).map_err(|error| match fd::access_mode(target.map.as_fd()) {
            Ok(AccessMode::WriteOnly) => target.cannot_read("pop", error),
            _ => target.cannot_write("pop", error),
        })
    })
}
