//! The sources among the arguments of `bpf-exec`, as requests.

use crate::cli::name::{check_name, split_name};
use crate::source::request::{Request, Settings, Source};
use crate::source::{agent, create, tc};
use crate::text::escape;
use anyhow::{Context, anyhow, bail};
use bpf_inherit::ObjectKind;
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

const SOURCES: [&str; 9] =
    ["pin", "prog", "link", "id", "name", "import", "agent", "pid", "create"];

/// The options, one for each source.
pub fn arguments() -> [Arg; SOURCES.len()] {
    let source = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .help(help)
            .action(ArgAction::Append)
            .value_parser(value_parser!(OsString))
            .allow_hyphen_values(true)
            .help_heading("Sources, repeatable, in the order given")
    };
    [
        source("pin", "[NAME=]PATH", "A pinned map, or a directory of pins, recursively"),
        source("prog", "[NAME=]PROG", "A pinned program, a directory of pins, or id:ID"),
        source("link", "[NAME=]LINK", "A pinned link, a directory of pins, or id:ID"),
        source("id", "[NAME=]ID", "A map by the kernel's id"),
        source("name", "[NAME=]KNAME", "A map by the kernel's name"),
        source("import", "[NAME=]PATH|fd:N", "Wait for maps that tc exports, at a socket"),
        source("agent", "[NAME=]PATH[#NAME,…]", "What a bpf-agent holds under these names, or all"),
        source("pid", "[NAME=]PID", "The maps that a process holds open"),
        source(
            "create",
            "NAME=TYPE,…",
            "A new map: TYPE,key=LAYOUT,value=LAYOUT,entries=N,flags=A|B",
        ),
    ]
}

/// All sources, in the order of the command line.
pub fn requests(matches: &ArgMatches) -> anyhow::Result<Vec<Request>> {
    let mut found = Vec::new();
    for kind in SOURCES {
        let values = matches.get_many::<OsString>(kind).into_iter().flatten();
        let places = matches.indices_of(kind).into_iter().flatten();
        found.extend(places.zip(values).map(|(place, value)| (place, kind, value)));
    }
    found.sort_unstable_by_key(|(place, ..)| *place);
    found.into_iter().map(|(_, kind, value)| request(kind, value)).collect()
}

fn request(kind: &str, value: &OsStr) -> anyhow::Result<Request> {
    let wrong = || format!("--{kind} {}", escape(value.as_bytes()));
    if kind == "create" {
        let text = value.to_str().ok_or_else(|| anyhow!("not UTF-8")).with_context(wrong)?;
        let spec = create::Spec::parse(text).map_err(anyhow::Error::msg).with_context(wrong)?;
        check_name(spec.name().as_bytes()).with_context(wrong)?;
        let name = Some(spec.name().into());
        return Ok(Request { name, source: Source::Create(spec) });
    }
    let (name, rest) = split_name(value);
    if let Some(name) = name {
        check_name(name).with_context(wrong)?;
    }
    let path = || PathBuf::from(OsString::from_vec(rest.to_vec()));
    let source = match kind {
        "pin" => Source::Pin(ObjectKind::Map, path()),
        "prog" | "link" => {
            let kind = if kind == "prog" { ObjectKind::Program } else { ObjectKind::Link };
            match rest.strip_prefix(b"id:") {
                Some(id) => Source::Id(kind, decimal(id, id_of(kind)).with_context(wrong)?),
                None => Source::Pin(kind, path()),
            }
        }
        "import" => Source::Import(match rest.strip_prefix(b"fd:") {
            Some(number) => tc::Address::Inherited(fd_number(number).with_context(wrong)?),
            None => tc::Address::Path(path()),
        }),
        "agent" => {
            let spec = agent::Spec::parse(rest).with_context(wrong)?;
            // Known before anybody is asked; what an agent holds may be one object by chance.
            if name.is_some() && spec.names.len() != 1 {
                return Err(anyhow!("NAME= needs one name after #")).with_context(wrong);
            }
            Source::Agent(spec)
        }
        "name" => Source::KernelName(rest.to_vec()),
        "id" => {
            Source::Id(ObjectKind::Map, decimal(rest, id_of(ObjectKind::Map)).with_context(wrong)?)
        }
        _ => {
            let pid: i32 = decimal(rest, "a process id").with_context(wrong)?;
            if pid == 0 {
                return Err(anyhow!("not a process id")).with_context(wrong);
            }
            Source::Process(pid)
        }
    };
    Ok(Request { name: name.map(<[u8]>::to_vec), source })
}

fn id_of(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Map => "a map id",
        ObjectKind::Program => "a program id",
        ObjectKind::Link => "a link id",
    }
}

/// An error unless it is known for what an agent is to be waited.
pub fn awaited(request: &Request) -> anyhow::Result<()> {
    match &request.source {
        Source::Agent(spec) if spec.names.is_empty() => {
            bail!("--agent {spec}: --wait needs names: --agent {spec}#NAME,…")
        }
        _ => Ok(()),
    }
}

/// An error if a socket that is inherited, not bound, would get permission bits, or if they would
/// let other users send and it is not said which.
pub fn check_socket_mode(requests: &[Request], settings: &Settings) -> anyhow::Result<()> {
    let mode = settings.socket_mode;
    let open = mode & 0o022 != 0 && settings.from.is_empty();
    for request in requests {
        match &request.source {
            Source::Import(address @ tc::Address::Inherited(_)) => {
                bail!("--socket-mode: --import {address} does not bind a socket")
            }
            Source::Import(address) if open => {
                bail!(
                    "--socket-mode {mode:04o}: lets other users send to --import {address}: name them with --from"
                )
            }
            _ => {}
        }
    }
    Ok(())
}

/// Numbers below 3 are the standard streams'.
pub fn fd_number(text: &[u8]) -> anyhow::Result<i32> {
    const WHAT: &str = "a descriptor number from 3 upwards";
    let number = decimal(text, WHAT)?;
    if number >= 3 { Ok(number) } else { Err(anyhow!("not {WHAT}")) }
}

pub fn decimal<T: std::str::FromStr>(text: &[u8], what: &str) -> anyhow::Result<T> {
    let digits = text.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(text).ok().filter(|_| digits).and_then(|t| t.parse().ok());
    number.ok_or_else(|| anyhow!("not {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exec::arguments::{command, plan};

    #[test]
    fn sources_keep_the_order_of_the_command_line() {
        let line =
            ["bpf-exec", "--id", "3", "--pin", "a=/x", "--id=4", "--pid", "1", "ls", "--pin"];
        let plan = plan(&command().try_get_matches_from(line).unwrap()).unwrap();
        let kinds: Vec<String> = plan.requests.iter().map(|r| format!("{:?}", r.source)).collect();
        assert_eq!(kinds, ["Id(Map, 3)", "Pin(Map, \"/x\")", "Id(Map, 4)", "Process(1)"]);
        assert_eq!(plan.command, ["ls", "--pin"]);
    }

    #[test]
    fn a_program_or_link_is_a_pin_unless_it_says_id() {
        for (option, value, want) in [
            ("prog", "/x", "Pin(Program, \"/x\")"),
            ("prog", "a=id:7", "Id(Program, 7)"),
            ("prog", "./id:7", "Pin(Program, \"./id:7\")"),
            ("link", "id:4294967295", "Id(Link, 4294967295)"),
            ("link", "7", "Pin(Link, \"7\")"),
        ] {
            let request = request(option, OsStr::new(value)).unwrap();
            assert_eq!(format!("{:?}", request.source), want, "{option} {value}");
        }
        for (option, value, want) in [
            ("prog", "id:", "--prog id:: not a program id"),
            ("prog", "id:+1", "--prog id:+1: not a program id"),
            ("link", "id:4294967296", "--link id:4294967296: not a link id"),
            ("link", "7=id:7", "--link 7=id:7: the name is a number"),
        ] {
            let error = request(option, OsStr::new(value)).unwrap_err();
            assert_eq!(format!("{error:#}"), want);
        }
    }
}
