//! The arguments of `bpf-agent`, and the plan that they make.

use crate::account::parse_group;
use crate::agent::Limits;
use crate::agent::policy::Rule;
use crate::text::escape;
use crate::wire::agent::MAX_PACKET;
use anyhow::{Context, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// What the command line asks for.
#[derive(Debug)]
pub struct Plan {
    pub socket: Option<PathBuf>,
    pub socket_mode: u32,
    pub socket_group: Option<u32>,
    pub state: Option<PathBuf>,
    pub rules: Vec<Rule>,
    pub rules_file: Option<PathBuf>,
    pub limits: Limits,
    pub quiet: bool,
}

/// The option parser.
pub fn command() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .help(help)
            .value_parser(value_parser!(OsString))
            .allow_hyphen_values(true) // so that a negative number is told to be one
    };
    let limit = |name, value, help| option(name, value, help).help_heading("Limits");
    Command::new("bpf-agent")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Hold BPF descriptors, and hand them out")
        .after_help(
            "RULE is GLOB:uid=N:RIGHTS or GLOB:gid=N:RIGHTS; RIGHTS are some of list, read, write,\n\
             put, remove, or all. Root and the agent's own user may do all. See bpf-agent(1).",
        )
        .args([
            option("socket", "PATH", "Serve requests at this socket"),
            option("socket-mode", "MODE", "Permissions of the socket [default: 0600]"),
            option("socket-group", "GROUP", "Group of the socket, whose mode is 0660 by default"),
            option("state", "DIR", "Keep pins there, in a bpf file system, across restarts"),
            option("allow", "RULE", "Who may do what to which names; repeatable")
                .action(ArgAction::Append),
            option("rules", "FILE", "More rules, a line each; SIGHUP reads them again"),
            Arg::new("quiet")
                .long("quiet")
                .short('q')
                .help("Log no line for what is granted")
                .action(ArgAction::SetTrue),
        ])
        .args([
            limit("max-clients", "N", "Connections at a time [default: 1024]"),
            limit("max-objects", "N", "Names stored [default: 16384]"),
            limit("max-in-flight", "N", "Descriptors sent and not yet received [default: 4096]"),
            limit("max-request", "BYTES", "Length of a request [default: 131072, the most]"),
            limit("client-timeout", "SECONDS", "How long a client may be idle [default: 30]"),
        ])
}

/// Makes the plan, or says which argument is wrong.
pub fn plan(matches: &ArgMatches) -> anyhow::Result<Plan> {
    let path = |name: &str| matches.get_one::<OsString>(name).map(PathBuf::from);
    let all = |name: &str| matches.get_many::<OsString>(name).into_iter().flatten();
    let rules = all("allow").map(|text| {
        let rule = Rule::parse(text.as_bytes());
        rule.map_err(|why| anyhow!("--allow {}: {why}", escape(text.as_bytes())))
    });
    let socket_group = matches.get_one::<OsString>("socket-group").map(|text| {
        let text = text.as_bytes();
        parse_group(text).with_context(|| format!("--socket-group {}", escape(text)))
    });
    let socket_group = socket_group.transpose()?;
    let limits = Limits {
        clients: number(matches, "max-clients", 1, 1 << 20)?.unwrap_or(1024),
        objects: number(matches, "max-objects", 1, 1 << 24)?.unwrap_or(16384),
        in_flight: number(matches, "max-in-flight", 1, 1 << 20)?.unwrap_or(4096),
        request: number(matches, "max-request", 64, MAX_PACKET)?.unwrap_or(MAX_PACKET),
        idle_timeout: idle_timeout(matches)?,
    };
    Ok(Plan {
        socket: path("socket"),
        socket_mode: match matches.get_one::<OsString>("socket-mode") {
            Some(text) => crate::cli::exec::socket_mode(text)?,
            None if socket_group.is_some() => 0o660,
            None => 0o600,
        },
        socket_group,
        state: path("state"),
        rules: rules.collect::<anyhow::Result<_>>()?,
        rules_file: path("rules"),
        limits,
        quiet: matches.get_flag("quiet"),
    })
}

fn number(
    matches: &ArgMatches,
    name: &str,
    least: usize,
    most: usize,
) -> anyhow::Result<Option<usize>> {
    let Some(text) = matches.get_one::<OsString>(name) else { return Ok(None) };
    let digits = text.to_str().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
        _ => bail!("--{name} {}: not a number from {least} to {most}", escape(text.as_bytes())),
    }
}

fn idle_timeout(matches: &ArgMatches) -> anyhow::Result<Duration> {
    let Some(text) = matches.get_one::<OsString>("client-timeout") else {
        return Ok(Duration::from_secs(30));
    };
    let seconds = text.to_str().and_then(|text| text.parse().ok());
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match time {
        // A year is long enough, and is no overflow anywhere.
        Some(time) if !time.is_zero() && time <= Duration::from_secs(366 * 86400) => Ok(time),
        _ => bail!(
            "--client-timeout {}: not a number of seconds above 0, at most a year",
            escape(text.as_bytes())
        ),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_option_parser_is_sound() {
        super::command().debug_assert();
    }
}
