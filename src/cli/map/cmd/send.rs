//! `bpf-map send`: maps to where tc and `bpf-exec --import` wait for them.

use crate::cli::map::arguments;
use crate::cli::map::output::warn;
use crate::cli::map::session::Session;
use crate::cli::map::target::named::open_map_to_send;
use crate::cli::name::{check_name, split_name};
use crate::handoff::place::OpenFiles;
use crate::socket::send;
use crate::text::{count, escape, escape_argument};
use crate::wire::tc::{MAX_OBJECT, TC_FDS, TransferHeader};
use anyhow::{Context, anyhow, bail};
use bpf_inherit::Map;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The default name of a transfer.
const OBJECT: &[u8] = b"bpf-map";

pub fn arguments(command: Command) -> Command {
    // One list, so that options may stand anywhere in it.
    let words = arguments::positional(
        "MAP",
        "The maps, followed by the socket at which tc or bpf-exec waits",
    )
    .value_hint(ValueHint::AnyPath)
    .action(ArgAction::Append)
    .num_args(1..);
    command.override_usage("bpf-map send [OPTIONS] [NAME=]MAP... SOCKET").args([
        words,
        Arg::new("first-id")
            .long("first-id")
            .value_name("N")
            .help("The number of the first map; the others follow [default: 0]")
            .allow_hyphen_values(true) // so that a negative number is reported as one
            .value_parser(value_parser!(OsString)),
        arguments::flag("read-only", "Send read-only descriptors, or fail").short('r'),
        arguments::flag("force", "As root, send also to another user's socket"),
    ])
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    /// The maps, and last the socket.
    words: Vec<&'a OsStr>,
    first_id: Option<&'a OsStr>,
    read_only: bool,
    force: bool,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> Args<'a> {
        Args {
            words: arguments::all(matches, "MAP"),
            first_id: arguments::optional(matches, "first-id"),
            read_only: matches.get_flag("read-only"),
            force: matches.get_flag("force"),
        }
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let Args { words: mut given, read_only, .. } = args;
    let Some(socket) = given.pop().filter(|_| !given.is_empty()) else {
        bail!("send: a map and a socket are needed");
    };
    let wrong = || format!("{}: send", escape(socket.as_bytes()));
    let total = u16::try_from(given.len()).map_err(|_| {
        anyhow!("{}, but a transfer has at most {}", count(given.len(), "map"), u16::MAX)
    });
    let total = total.with_context(wrong)?;
    let first = parse_first_id(args.first_id, total)?;
    let (object, references) = split_names(&given)?;
    // The number of maps may exceed the soft limit on open files.
    let _raised = OpenFiles::raise();
    let maps = references.iter().map(|text| {
        Ok(open_map_to_send(&session.startup, &session.bpffs, text, read_only)?.object)
    });
    let maps = maps.collect::<anyhow::Result<Vec<Map>>>()?;
    if maps.len() > TC_FDS {
        let socket = escape(socket.as_bytes());
        let all = count(maps.len(), "map");
        warn(format_args!("{socket}: {all}, but tc receives only the first {TC_FDS}"));
    }
    // The maps come from no object file. A process sends one transfer after the other, so its id
    // distinguishes concurrent transfers.
    let (st_dev, st_ino) = (0, std::process::id().into());
    let header = TransferHeader { total, object, st_dev, st_ino };
    let any_owner = read_only || args.force;
    send::send(Path::new(socket), header, first, &maps, any_owner)?;
    Ok(0)
}

fn parse_first_id(text: Option<&OsStr>, total: u16) -> anyhow::Result<u32> {
    let Some(text) = text else { return Ok(0) };
    let wrong = || format!("--first-id {}", escape_argument(text.as_bytes()));
    let digits = text.to_str().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let first: Option<u32> = digits.and_then(|digits| digits.parse().ok());
    let first = first.ok_or_else(|| anyhow!("not a number up to {}", u32::MAX));
    let first = first.with_context(wrong)?;
    if first.checked_add(u32::from(total) - 1).is_none() {
        let all = count(total.into(), "map");
        return Err(anyhow!("{all} would have numbers above {}", u32::MAX)).with_context(wrong);
    }
    Ok(first)
}

/// The transfer's name, and the references without names.
fn split_names<'a>(given: &[&'a OsStr]) -> anyhow::Result<(Vec<u8>, Vec<&'a OsStr>)> {
    let mut object: Option<&[u8]> = None;
    let mut references = Vec::with_capacity(given.len());
    for text in given {
        let (name, reference) = split_name(text);
        references.push(OsStr::from_bytes(reference));
        let Some(name) = name else { continue };
        check_object(name, object).with_context(|| escape_argument(text.as_bytes()))?;
        object = Some(name);
    }
    Ok((object.unwrap_or(OBJECT).to_vec(), references))
}

/// An error unless the transfer may be called `name`, as it was `before`.
fn check_object(name: &[u8], before: Option<&[u8]>) -> anyhow::Result<()> {
    check_name(name)?;
    if name.len() > MAX_OBJECT {
        bail!("{} bytes, but the name of a transfer has at most {MAX_OBJECT}", name.len());
    }
    match before.filter(|before| *before != name) {
        Some(before) => {
            bail!("all maps of a transfer share one name, and this is called {}", escape(before))
        }
        None => Ok(()),
    }
}
