//! `bpf-map put`: stores maps, programs and links with an agent, each by itself.

mod inherited;

use crate::cli::exit::FAILED;
use crate::cli::map::arguments::{self, AgentArguments};
use crate::cli::map::output::{Output, warn};
use crate::cli::map::session::Session;
use crate::cli::map::target::named;
use crate::cli::map::target::reference;
use crate::cli::name::split_name;
use crate::foreign::{ForeignName, Named};
use crate::map::typed::Layouts;
use crate::readonly;
use crate::source::agent::Client;
use crate::text::{escape, quote};
use crate::wire::agent::check_name;
use anyhow::{Context, anyhow, bail};
use bpf_inherit::Startup;
use bpf_inherit::environ::MAX_LAYOUT;
use bpf_inherit::object::Object;
use bpf_inherit::{AccessMode, ObjectKind};
use clap::{ArgMatches, Command};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub fn arguments(command: Command) -> Command {
    let objects = arguments::positional(
        "MAP",
        "The maps, or prog:PROGRAM, or link:LINK; NAME= before an object names it",
    );
    let [socket, timeout] = arguments::agent();
    command.args([
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
        timeout,
    ])
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    /// `[NAME=]OBJECT` each.
    objects: Vec<&'a OsStr>,
    inherited: bool,
    replace: bool,
    read_only: bool,
    agent: AgentArguments<'a>,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        Ok(Args {
            objects: arguments::all(matches, "MAP"),
            inherited: matches.get_flag("inherited"),
            replace: matches.get_flag("replace"),
            read_only: matches.get_flag("read-only"),
            agent: AgentArguments::new(matches)?,
        })
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let Session { startup, bpffs, out, .. } = session;
    if args.inherited {
        return inherited::put(startup, &args, out);
    }
    let objects = args.objects.iter().map(|text| (escape(text.as_bytes()), text)).collect();
    put_each(objects, |text| open_named(startup, bpffs, text, args.read_only), &args, out)
}

/// An object that can be sent.
struct Outgoing {
    name: Vec<u8>,
    object: Object,
    /// If it is known.
    layout: Option<Vec<u8>>,
}

/// Opens and puts each of `objects`, which have labels for messages. Each object that is not
/// stored is reported, and the status is then [`FAILED`]; that no agent can be connected to is
/// one error.
fn put_each<T>(
    objects: Vec<(String, T)>,
    open: impl Fn(&T) -> anyhow::Result<Outgoing>,
    args: &Args,
    out: &mut Output,
) -> anyhow::Result<u8> {
    let total = objects.len();
    let mut objects = objects.into_iter();
    let mut labels = BTreeMap::new();
    let mut client = None;
    let mut status = 0;
    for (label, object) in objects.by_ref() {
        let opened = open(&object).and_then(|outgoing| {
            match labels.insert(outgoing.name.clone(), label.clone()) {
                Some(first) => {
                    bail!("{first} and {label} have the same name, {}", quote(&outgoing.name))
                }
                None => Ok(outgoing),
            }
        });
        let Outgoing { name, object, layout } = match opened {
            Ok(outgoing) => outgoing,
            Err(error) => {
                out.report(format_args!("{error:#}"))?;
                status = FAILED;
                continue;
            }
        };
        let layout = limit_layout(layout, &label, out)?;
        let client = match &mut client {
            Some(client) => client,
            // Opening an object needs no agent, so what is wrong with the first is reported first.
            None => client.insert(connect(args, total)?),
        };
        if let Err(failure) = client.put(&name, object.as_fd(), &layout, args.replace) {
            let answered = failure.is_refusal();
            out.report(failure)?;
            status = FAILED;
            if !answered {
                break;
            }
        }
    }
    for (label, _) in objects {
        out.report(format_args!("{label}: not sent to the agent"))?;
    }
    Ok(status)
}

/// A connection to the agent; the error says what it means for several objects.
fn connect(args: &Args, total: usize) -> anyhow::Result<Client<'static>> {
    args.agent.connect().map_err(|error| match total {
        1 => error,
        _ => anyhow!("{error:#}: none of the {total} objects was stored"),
    })
}

/// The layout that is sent, empty if it is unknown or, with a warning, too long.
fn limit_layout(layout: Option<Vec<u8>>, label: &str, out: &mut Output) -> anyhow::Result<Vec<u8>> {
    let layout = layout.unwrap_or_default();
    if layout.len() <= MAX_LAYOUT {
        return Ok(layout);
    }
    let length = layout.len();
    out.report(format_args!("warning: {label}: a layout of {length} bytes is left out"))?;
    Ok(Vec::new())
}

/// Opens the object that `[NAME=]OBJECT` names, and decides its name.
fn open_named(
    startup: &Startup,
    bpffs: &Path,
    text: &OsStr,
    read_only: bool,
) -> anyhow::Result<Outgoing> {
    let (given, reference) = split_name(text);
    if let Some(name) = given {
        check_name(name).with_context(|| escape(text.as_bytes()))?;
    }
    let label = escape(reference);
    let (named, layout) = open(startup, bpffs, OsStr::from_bytes(reference), read_only)?;
    let Named { object, name, .. } = named;
    let given = given.map(<[u8]>::to_vec);
    let (name, warning) = ForeignName::choose(given, name, object.kind(), None, object.name());
    warning.iter().for_each(|w| warn(format_args!("{label}: {w}")));
    let name = name.with_context(|| format!("{label}: it has no name: put NAME= before it"))?;
    check_name(&name)
        .with_context(|| format!("{label}: {}: put another NAME= before it", escape(&name)))?;
    Ok(Outgoing { name, object, layout })
}

/// Opens the object that `text` names; its layout is the one in the environment, or that of BTF.
fn open(
    startup: &Startup,
    bpffs: &Path,
    text: &OsStr,
    read_only: bool,
) -> anyhow::Result<(Named<Object>, Option<Vec<u8>>)> {
    let (kind, _) = reference::split_kind(text);
    if kind != ObjectKind::Map {
        if read_only {
            readonly::check_kind(kind, text.as_bytes())?;
        }
        return Ok((named::open(startup, bpffs, text, AccessMode::ReadWrite)?, None));
    }
    let mut named = named::open_map_to_send(startup, bpffs, text, read_only)?;
    let own = named.take_layout().map(|layout| layout.to_string().into_bytes());
    let layout = own.or_else(|| Layouts::default().read_text(named.object.info()).0);
    let Named { object, name, .. } = named;
    Ok((Named { object: object.into(), name, layout: None }, layout))
}
