//! `bpf-map put`: stores maps, programs and links with an agent, each by itself.

mod inherited;
mod outgoing;

use crate::cli::map::arguments::{self, AgentArguments, ProgramLoad};
use crate::cli::map::output::warn;
use crate::cli::map::session::Session;
use crate::cli::map::target::program::{self, LoadOptions};
use crate::cli::map::target::{named, reference};
use crate::cli::name::split_name;
use crate::foreign::{ForeignName, Named};
use crate::map::typed::Layouts;
use crate::readonly;
use crate::source::object::new_pins::NewPins;
use crate::text::{escape, escape_argument};
use crate::wire::agent::check_new_name;
use anyhow::Context;
use bpf_inherit::Startup;
use bpf_inherit::object::Object;
use bpf_inherit::{AccessMode, ObjectKind};
use clap::{ArgMatches, Command};
use outgoing::{Destination, Outgoing, put_each};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub fn arguments(command: Command) -> Command {
    let objects = arguments::positional(
        "MAP",
        "The maps, or prog:PROGRAM, or link:LINK; NAME= before an object names it",
    );
    let [socket, timeout] = arguments::agent();
    command
        .args([
            objects
                .value_name("[NAME=]OBJECT")
                .num_args(1..)
                .required(false)
                .required_unless_present("inherited"),
            socket,
            arguments::flag("inherited", "Put every inherited map, program and link")
                .conflicts_with_all(["MAP", "read-only"]),
            arguments::flag("replace", "Replace existing objects"),
            arguments::flag("read-only", "Store read-only file descriptors, or fail").short('r'),
            arguments::flag("wait", "Wait until the agent accepts connections"),
            timeout,
        ])
        .args(arguments::program_load())
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    /// `[NAME=]OBJECT` each.
    objects: Vec<&'a OsStr>,
    inherited: bool,
    replace: bool,
    read_only: bool,
    wait: bool,
    agent: AgentArguments<'a>,
    load: ProgramLoad,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        Ok(Args {
            objects: arguments::all(matches, "MAP"),
            inherited: matches.get_flag("inherited"),
            replace: matches.get_flag("replace"),
            read_only: matches.get_flag("read-only"),
            wait: matches.get_flag("wait"),
            agent: AgentArguments::new(matches)?,
            load: ProgramLoad::new(matches),
        })
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let Session { startup, bpffs, out, .. } = session;
    let (replace, verbose) = (args.replace, args.load.verbose);
    let destination = Destination { agent: &args.agent, wait: args.wait, replace, verbose };
    if args.inherited {
        return inherited::put(startup, &destination, out);
    }
    let objects =
        args.objects.iter().map(|text| (escape_argument(text.as_bytes()), text)).collect();
    put_each(objects, |text| open_named(startup, bpffs, text, &args), &destination, out)
}

/// Opens the object that `[NAME=]OBJECT` names, and decides its name.
fn open_named(
    startup: &Startup,
    bpffs: &Path,
    text: &OsStr,
    args: &Args,
) -> anyhow::Result<Outgoing> {
    let (given, reference) = split_name(text);
    if let Some(name) = given {
        check_new_name(name).with_context(|| escape_argument(text.as_bytes()))?;
    }
    let label = escape_argument(reference);
    let Opened { named, layout, pins } = open(startup, bpffs, OsStr::from_bytes(reference), args)?;
    let Named { object, name, .. } = named;
    let given = given.map(<[u8]>::to_vec);
    let (name, warning) = ForeignName::choose(given, name, object.kind(), None, object.name());
    warning.iter().for_each(|w| warn(format_args!("{label}: {w}")));
    let name = name.with_context(|| format!("{label}: it has no name: put NAME= before it"))?;
    check_new_name(&name)
        .with_context(|| format!("{label}: {}: put another NAME= before it", escape(&name)))?;
    Ok(Outgoing { name, object, layout, pins })
}

/// An opened object, its layout, and the new pins of its maps.
struct Opened {
    named: Named<Object>,
    layout: Option<Vec<u8>>,
    pins: NewPins,
}

/// Opens the object that `text` names. Its layout is from the environment, else from BTF.
fn open(startup: &Startup, bpffs: &Path, text: &OsStr, args: &Args) -> anyhow::Result<Opened> {
    let (kind, _) = reference::split_kind(text);
    if args.read_only && kind != ObjectKind::Map {
        readonly::check_kind(kind, text.as_bytes())?;
    }
    let (mut layout, mut pins) = (None, NewPins::default());
    let named = match kind {
        ObjectKind::Map => {
            let mut named = named::open_map_to_send(startup, bpffs, text, args.read_only)?;
            let own = named.take_layout().map(|layout| layout.to_string().into_bytes());
            layout = own.or_else(|| Layouts::default().read_text(named.object.info()).0);
            let Named { object, name, .. } = named;
            Named { object: object.into(), name, layout: None }
        }
        ObjectKind::Program => {
            let options = LoadOptions { program_type: args.load.program_type, owner: None };
            let opened = program::open(startup, bpffs, text, options)?;
            pins = opened.pins;
            opened.program
        }
        ObjectKind::Link => named::open(startup, bpffs, text, AccessMode::ReadWrite)?,
    };
    Ok(Opened { named, layout, pins })
}
