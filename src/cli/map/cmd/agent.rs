//! `bpf-map agent`: what an agent holds, and removing from it.

use crate::cli::exit::{ABSENT, FAILED, Output};
use crate::cli::map::session::Session;
use crate::cli::timeout;
use crate::output::agent;
use crate::source::agent::{Bounds, Client, DEFAULT_SOCKET, Failure, Socket};
use crate::text::quote;
use crate::wait::Limit;
use crate::wire::agent::check_name;
use anyhow::Context;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// The agent's socket.
pub fn socket() -> Arg {
    Arg::new("socket")
        .long("socket")
        .value_name("PATH")
        .help(format!("The agent's socket [default: $BPF_AGENT, else {DEFAULT_SOCKET}]"))
        .value_hint(ValueHint::AnyPath)
        .value_parser(value_parser!(OsString))
}

/// The time limit for all that is asked of an agent.
pub fn time_limit() -> Arg {
    timeout::argument("How long the agent may take in all [default: for ever]")
}

/// A connection to the agent that the arguments name.
pub fn connect(matches: &ArgMatches) -> anyhow::Result<Client<'static>> {
    let limit = Limit::new(timeout::read(matches)?);
    let given = matches.get_one::<OsString>("socket");
    let socket = Socket::choose(given.map(OsString::as_os_str));
    Ok(Client::connect(socket, Bounds { limit, signals: None })?)
}

pub fn arguments(command: Command) -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
    };
    command.args([
        socket(),
        Arg::new("NAME")
            .value_name("NAME|GLOB")
            .num_args(0..)
            .help("The names to list; * and ? match as in rules [default: all]")
            .value_parser(value_parser!(OsString)),
        flag("json", "Print JSON"),
        flag("remove", "Remove the names; no globs").requires("NAME").conflicts_with("json"),
        time_limit(),
    ])
}

pub fn run(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let (_startup, out) = session.parts();
    let names = matches.get_many::<OsString>("NAME").into_iter().flatten();
    let names: Vec<Vec<u8>> = names.map(|name| name.as_bytes().to_vec()).collect();
    for name in &names {
        check_name(name).with_context(|| quote(name))?;
    }
    let mut client = connect(matches)?;
    if matches.get_flag("remove") {
        return each(&names, out, |name| client.remove(name));
    }
    let mut records = Vec::new();
    let status = if names.is_empty() {
        records = client.list(b"")?;
        records.sort_by(|a, b| a.name.cmp(&b.name));
        0
    } else {
        each(&names, out, |name| {
            match is_glob(name) {
                true => records.extend(client.find(name)?),
                false => records.push(client.info(name)?),
            }
            Ok(())
        })?
    };
    match matches.get_flag("json") {
        true => out.data.extend(agent::json(&records)),
        false => out.data.extend(agent::table(&records).as_bytes()),
    }
    Ok(status)
}

/// Whether a word matches more names than itself. A name may hold these bytes, too, so a word
/// that is to be removed is always a name: what another user has stored as `*` must not make
/// root remove everything.
fn is_glob(word: &[u8]) -> bool {
    word.iter().any(|byte| matches!(byte, b'*' | b'?'))
}

/// Does something with each name. Each name that fails is reported; the status is [`ABSENT`] if
/// names are missing, and [`FAILED`] after any other failure.
fn each(
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
