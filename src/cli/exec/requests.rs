//! The sources on the command line of `bpf-exec`, and the variables of objects.

use super::source_option::SourceOption;
use crate::cli::name::{check_name, split_name};
use crate::cli::program_type;
use crate::source::request::{Request, Settings, Source};
use crate::source::{agent, create, object, tc};
use crate::text::escape_argument;
use anyhow::{Context, anyhow, bail};
use bpf_inherit::ObjectKind;
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The option that sets a variable of an object.
const VARIABLE: &str = "var";

/// The options of all sources.
pub fn arguments() -> impl Iterator<Item = Arg> {
    SourceOption::ALL.into_iter().map(SourceOption::argument)
}

/// All sources, in the order of the command line.
pub fn parse_requests(matches: &ArgMatches) -> anyhow::Result<Vec<Request>> {
    let mut found = Vec::new();
    for option in SourceOption::ALL {
        let values = matches.get_many::<OsString>(option.name()).into_iter().flatten();
        let places = matches.indices_of(option.name()).into_iter().flatten();
        found.extend(places.zip(values).map(|(place, value)| (place, option, value)));
    }
    found.sort_unstable_by_key(|(place, ..)| *place);
    let request = |(place, option, value): (usize, SourceOption, &OsString)| {
        Ok((place, parse_request(option, value)?))
    };
    let mut requests: Vec<_> = found.into_iter().map(request).collect::<anyhow::Result<_>>()?;
    add_variables(matches, &mut requests)?;
    add_program_types(matches, &mut requests)?;
    Ok(requests.into_iter().map(|(_, request)| request).collect())
}

fn parse_request(option: SourceOption, value: &OsStr) -> anyhow::Result<Request> {
    let wrong = || format!("--{} {}", option.name(), escape_argument(value.as_bytes()));
    let (name, rest) = split_name(value);
    name.map_or(Ok(()), check_name).with_context(wrong)?;
    let source = parse_source(option, value, name.is_some(), rest).with_context(wrong)?;
    Ok(Request { name: name.map(<[u8]>::to_vec), source })
}

/// Reads the value of an option: `rest` is what follows `NAME=`, which it has if `is_named`.
fn parse_source(
    option: SourceOption,
    value: &OsStr,
    is_named: bool,
    rest: &[u8],
) -> anyhow::Result<Source> {
    let path = || PathBuf::from(OsStr::from_bytes(rest));
    let pin_or_id = |kind| match rest.strip_prefix(b"id:") {
        Some(id) => Ok(Source::Id(kind, decimal(id, id_of(kind))?)),
        None => Ok(Source::Pin(kind, path())),
    };
    match option {
        SourceOption::Pin => Ok(Source::Pin(ObjectKind::Map, path())),
        SourceOption::Prog => match object::ObjectProgramSpec::parse(rest) {
            Some(spec) => Ok(Source::Program(spec.map_err(anyhow::Error::msg)?)),
            None => pin_or_id(ObjectKind::Program),
        },
        SourceOption::Link => pin_or_id(ObjectKind::Link),
        SourceOption::Id => Ok(Source::Id(ObjectKind::Map, decimal(rest, id_of(ObjectKind::Map))?)),
        SourceOption::Name => Ok(Source::KernelName(rest.to_vec())),
        SourceOption::Import => Ok(Source::Import(match rest.strip_prefix(b"fd:") {
            Some(number) => tc::Address::Inherited(fd_number(number)?),
            None => tc::Address::Path(path()),
        })),
        SourceOption::Agent => {
            let spec = agent::Spec::parse(rest)?;
            // Reported before the agent is asked, which may happen to hold one object.
            if is_named && spec.names.len() != 1 {
                bail!("NAME= needs one name after #");
            }
            Ok(Source::Agent(spec))
        }
        SourceOption::Pid => match decimal(rest, "a process id")? {
            0 => bail!("not a process id"),
            pid => Ok(Source::Process(pid)),
        },
        SourceOption::Create => {
            // The name is a part of the specification.
            let text = value.to_str().context("not UTF-8")?;
            let spec = create::NewMap::parse(text).map_err(anyhow::Error::msg)?;
            check_name(spec.name().as_bytes())?;
            Ok(Source::Create(spec))
        }
        SourceOption::Object => {
            Ok(Source::Object(object::ObjectSpec::parse(rest).map_err(anyhow::Error::msg)?))
        }
    }
}

/// The option that sets a variable of the object before it.
pub fn variable_argument() -> Arg {
    Arg::new(VARIABLE)
        .long(VARIABLE)
        .value_name("NAME=VALUE")
        .help("Set a global variable of the preceding --object; repeatable")
        .action(ArgAction::Append)
        .requires(SourceOption::Object.name())
        .value_parser(value_parser!(OsString))
        .allow_hyphen_values(true)
}

/// Gives each variable to the last object before it.
fn add_variables(matches: &ArgMatches, requests: &mut [(usize, Request)]) -> anyhow::Result<()> {
    let values = matches.get_many::<OsString>(VARIABLE).into_iter().flatten();
    let places = matches.indices_of(VARIABLE).into_iter().flatten();
    for (place, value) in places.zip(values) {
        let wrong = || format!("--{VARIABLE} {}", escape_argument(value.as_bytes()));
        let text = value.to_str().context("not UTF-8").with_context(wrong)?;
        let (name, value) =
            text.split_once('=').context("NAME=VALUE is needed").with_context(wrong)?;
        let before = requests.iter_mut().filter(|(at, _)| *at < place).rev();
        let object =
            before.map(|(_, request)| &mut request.source).find_map(|source| match source {
                Source::Object(spec) => Some(spec),
                _ => None,
            });
        let object = object.context("no --object before it").with_context(wrong)?;
        object.variables.push((name.into(), value.into()));
    }
    Ok(())
}

/// The option that sets the type of the program before it.
pub fn program_type_argument() -> Arg {
    program_type::argument("Set the type of the preceding --prog FILE#NAME; repeatable")
        .action(ArgAction::Append)
        .requires(SourceOption::Prog.name())
}

/// Gives each type to the last program of an object file before it.
fn add_program_types(
    matches: &ArgMatches,
    requests: &mut [(usize, Request)],
) -> anyhow::Result<()> {
    let values = matches.get_many::<u32>(program_type::OPTION).into_iter().flatten();
    let places = matches.indices_of(program_type::OPTION).into_iter().flatten();
    for (place, value) in places.zip(values) {
        let before = requests.iter_mut().filter(|(at, _)| *at < place).rev();
        let program =
            before.map(|(_, request)| &mut request.source).find_map(|source| match source {
                Source::Program(spec) => Some(spec),
                _ => None,
            });
        let program = program.with_context(|| {
            format!("--{}: no --prog FILE#NAME before it", program_type::OPTION)
        })?;
        program.program_type = Some(*value);
    }
    Ok(())
}

fn id_of(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Map => "a map id",
        ObjectKind::Program => "a program id",
        ObjectKind::Link => "a link id",
    }
}

/// An error if --wait applies to an agent without names.
pub fn check_wait(requests: &[Request]) -> anyhow::Result<()> {
    for request in requests {
        if let Source::Agent(spec) = &request.source
            && spec.names.is_empty()
        {
            bail!("--agent {spec}: --wait needs names: --agent {spec}#NAME,…");
        }
    }
    Ok(())
}

/// An error if there is nothing to wait for.
pub fn check_timeout(requests: &[Request]) -> anyhow::Result<()> {
    let waits = |request: &Request| matches!(request.source, Source::Import(_) | Source::Agent(_));
    match requests.iter().any(waits) {
        true => Ok(()),
        false => bail!("--timeout: nothing to wait for: --import or --agent is needed"),
    }
}

/// Refuses permission bits for a socket that is inherited, not bound, and permission bits that let
/// other users send if no option names the users.
pub fn check_socket_mode(requests: &[Request], settings: &Settings) -> anyhow::Result<()> {
    let mode = settings.socket_mode;
    let others_may_send = mode & 0o022 != 0 && settings.from.is_empty();
    for request in requests {
        let Source::Import(address) = &request.source else { continue };
        match address {
            tc::Address::Inherited(_) => {
                bail!("--socket-mode: --import {address} does not bind a socket")
            }
            tc::Address::Path(_) if others_may_send => bail!(
                "--socket-mode {mode:04o}: lets other users send to --import {address}: name them with --from"
            ),
            tc::Address::Path(_) => {}
        }
    }
    Ok(())
}

/// Reads an fd that is not one of the standard streams.
pub fn fd_number(text: &[u8]) -> anyhow::Result<i32> {
    const WHAT: &str = "a file descriptor number from 3 upwards";
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
    use crate::cli::exec::arguments::{command, read_command_line};

    #[test]
    fn sources_keep_their_order() {
        let line =
            ["bpf-exec", "--id", "3", "--pin", "a=/x", "--id=4", "--pid", "1", "ls", "--pin"];
        let command_line =
            read_command_line(&command().try_get_matches_from(line).unwrap()).unwrap();
        let sources: Vec<String> =
            command_line.requests.iter().map(|r| format!("{:?}", r.source)).collect();
        assert_eq!(sources, ["Id(Map, 3)", "Pin(Map, \"/x\")", "Id(Map, 4)", "Process(1)"]);
        assert_eq!(command_line.command, ["ls", "--pin"]);
    }

    #[test]
    fn program_or_link_is_a_pin_unless_id_is_given() {
        for (option, value, want) in [
            (SourceOption::Prog, "/x", "Pin(Program, \"/x\")"),
            (SourceOption::Prog, "a=id:7", "Id(Program, 7)"),
            (SourceOption::Prog, "./id:7", "Pin(Program, \"./id:7\")"),
            (SourceOption::Link, "id:4294967295", "Id(Link, 4294967295)"),
            (SourceOption::Link, "7", "Pin(Link, \"7\")"),
        ] {
            let request = parse_request(option, OsStr::new(value)).unwrap();
            assert_eq!(format!("{:?}", request.source), want, "{option:?} {value}");
        }
        for (option, value, want) in [
            (SourceOption::Prog, "id:", "--prog id:: not a program id"),
            (SourceOption::Prog, "id:+1", "--prog id:+1: not a program id"),
            (SourceOption::Link, "id:4294967296", "--link id:4294967296: not a link id"),
            (SourceOption::Link, "7=id:7", "--link 7=id:7: the name is a number"),
        ] {
            let error = parse_request(option, OsStr::new(value)).unwrap_err();
            assert_eq!(format!("{error:#}"), want);
        }
    }
}
