//! `bpf-map create`: creates a map and pins it.

use crate::bpffs::pinning;
use crate::cli::map::arguments;
use crate::cli::map::session::Session;
use crate::source::create;
use crate::text::{escape, escape_argument};
use anyhow::{Context, anyhow};
use clap::{Arg, ArgMatches, Command, ValueHint, value_parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub fn arguments(command: Command) -> Command {
    command.args([
        arguments::positional(
            "SPEC",
            "NAME=TYPE,key=LAYOUT,value=LAYOUT,entries=N, as for bpf-exec --create",
        ),
        Arg::new("pin")
            .long("pin")
            .value_name("PATH")
            .help("The path of the new pin, which must not exist")
            .required(true)
            .value_hint(ValueHint::AnyPath)
            .value_parser(value_parser!(OsString)),
    ])
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    spec: &'a OsStr,
    pin: &'a OsStr,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> Args<'a> {
        let pin = arguments::required(matches, "pin");
        Args { spec: arguments::required(matches, "SPEC"), pin }
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let text = args.spec;
    let spec = text.to_str().ok_or_else(|| "not UTF-8".to_owned()).and_then(create::NewMap::parse);
    let spec = spec.map_err(|e| anyhow!(e)).with_context(|| escape_argument(text.as_bytes()))?;
    // If it cannot be pinned, the map is gone with its only file descriptor.
    pinning::pin(&create::open(&spec)?, Path::new(args.pin))?;
    if let Some((flag, access)) = spec.access_flag() {
        // The file descriptor that the flag restricts is closed when this process ends.
        session.out.report(format_args!(
            "warning: {}: {flag} restricts the descriptor that creates the map: the pin stays {access}",
            escape(args.pin.as_bytes())
        ))?;
    }
    Ok(0)
}
