//! `bpf-map agent`: what an agent holds, removing from it, and waiting for a name to change.

use crate::cli::exec::decimal;
use crate::cli::exit::{ABSENT, FAILED};
use crate::cli::map::arguments::{self, AgentArguments};
use crate::cli::map::output::Output;
use crate::cli::map::session::Session;
use crate::output::agent;
use crate::source::agent::{Client, Failure};
use crate::text::{escape_argument, quote};
use crate::wire::agent::check_name;
use anyhow::Context;
use clap::{Arg, ArgMatches, Command, value_parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

pub fn arguments(command: Command) -> Command {
    let [socket, timeout] = arguments::agent();
    command.args([
        socket,
        Arg::new("NAME")
            .value_name("NAME|GLOB")
            .num_args(0..)
            .help("Names to list; * and ? match as in rules [default: all]")
            .value_parser(value_parser!(OsString)),
        arguments::flag("json", "Print JSON"),
        arguments::flag("remove", "Remove the objects with these names; globs are not supported")
            .requires("NAME")
            .conflicts_with("json"),
        Arg::new("wait-change")
            .long("wait-change")
            .value_name("NAME=ID")
            .help("Wait until NAME does not refer to the object with this id, and print the new id")
            .value_parser(value_parser!(OsString))
            .conflicts_with_all(["NAME", "json", "remove"]),
        timeout,
    ])
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    names: Vec<&'a OsStr>,
    json: bool,
    remove: bool,
    wait_change: Option<(&'a [u8], u32)>,
    agent: AgentArguments<'a>,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        let names = arguments::all(matches, "NAME");
        for name in &names {
            check_name(name.as_bytes()).with_context(|| quote(name.as_bytes()))?;
        }
        Ok(Args {
            names,
            json: matches.get_flag("json"),
            remove: matches.get_flag("remove"),
            wait_change: arguments::optional(matches, "wait-change").map(change).transpose()?,
            agent: AgentArguments::new(matches)?,
        })
    }
}

/// The name and the id of `NAME=ID`.
fn change(text: &OsStr) -> anyhow::Result<(&[u8], u32)> {
    let wrong = || format!("--wait-change {}", escape_argument(text.as_bytes()));
    let mut parts = text.as_bytes().splitn(2, |byte| *byte == b'=');
    let (name, id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    check_name(name).with_context(wrong)?;
    Ok((name, decimal(id, "NAME=ID with the id of an object").with_context(wrong)?))
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let out = &mut session.out;
    if let Some((name, id)) = args.wait_change {
        return wait_change(args.agent.connect()?, name, id, out);
    }
    let names: Vec<Vec<u8>> = args.names.iter().map(|name| name.as_bytes().to_vec()).collect();
    let mut client = args.agent.connect()?;
    if args.remove {
        return for_each_name(&names, out, |name| client.remove(name));
    }
    let mut records = Vec::new();
    let status = if names.is_empty() {
        records = client.list(b"")?;
        records.sort_by(|a, b| a.name.cmp(&b.name));
        0
    } else {
        for_each_name(&names, out, |name| {
            match is_glob(name) {
                true => records.extend(client.find(name)?),
                false => records.push(client.info(name)?),
            }
            Ok(())
        })?
    };
    match args.json {
        true => out.data.extend(agent::json(&records)),
        false => out.data.extend(agent::table(&records).as_bytes()),
    }
    Ok(status)
}

/// Waits until `name` does not refer to the object with this id, and prints the new id. The status
/// is [`ABSENT`] if the name is missing.
fn wait_change(mut client: Client, name: &[u8], id: u32, out: &mut Output) -> anyhow::Result<u8> {
    match client.wait_change(name, id) {
        Ok(record) => out.data.extend(format!("{}\n", record.id).as_bytes()),
        Err(failure) if failure.is_absent() => {
            out.report(failure)?;
            return Ok(ABSENT);
        }
        Err(failure) => return Err(failure.into()),
    }
    Ok(0)
}

/// Whether a word matches more names than itself. A name may hold these bytes, too, so a word
/// that is to be removed is always a name: what another user has stored as `*` must not make
/// root remove everything.
fn is_glob(word: &[u8]) -> bool {
    word.iter().any(|byte| matches!(byte, b'*' | b'?'))
}

/// Does something with each name. Each name that fails is reported; the status is [`ABSENT`] if
/// names are missing, and [`FAILED`] after any other failure.
fn for_each_name(
    names: &[Vec<u8>],
    out: &mut Output,
    mut act: impl FnMut(&Vec<u8>) -> Result<(), Failure>,
) -> anyhow::Result<u8> {
    let mut status = 0;
    let mut names = names.iter();
    for name in names.by_ref() {
        let Err(failure) = act(name) else { continue };
        status = status.max(if failure.is_absent() { ABSENT } else { FAILED });
        let answered = failure.is_refusal();
        out.report(failure)?;
        if !answered {
            break;
        }
    }
    for name in names {
        out.report(format_args!("{}: not sent to the agent", quote(name)))?;
    }
    Ok(status)
}
