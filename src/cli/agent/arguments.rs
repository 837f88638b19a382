//! The arguments of `bpf-agent`, and the plan that is made from them.

use crate::account::parse_group;
use crate::agent::Limits;
use crate::agent::connections::RESERVE;
use crate::agent::policy::Rule;
use crate::agent::store::MAX_READ_ONLY;
use crate::cli::exec::socket_mode;
use crate::text::escape;
use crate::wire::agent::MAX_PACKET;
use anyhow::{Context, anyhow, bail};
use bpf_inherit::scm::MAX_FDS;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// The checked command line.
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

/// Fds that are not connections or objects: those of one packet and of discarded connections, two
/// for each child process, sockets and files; and those that the store keeps for readers.
const OTHER_FDS: usize = 512 + MAX_READ_ONLY;

impl Plan {
    /// Reduces the limits to what a limit on open files allows. Returns a warning for each that is
    /// reduced. Objects may have a quarter of the fds at least, since clients are in use for a time
    /// only.
    pub fn reduce_limits(&mut self, open_files: usize) -> Vec<String> {
        let free = open_files - OTHER_FDS.min(open_files / 2);
        let clients = (free - free / 4).saturating_sub(RESERVE).max(1);
        let objects = free.saturating_sub(self.limits.clients.min(clients) + RESERVE).max(1);
        // The kernel compares those of each sender with the limit on open files (unix(7)).
        let in_flight = open_files.saturating_sub(MAX_FDS).max(open_files / 2);
        let mut warnings = Vec::new();
        for (limit, most, option) in [
            (&mut self.limits.clients, clients, "--max-clients"),
            (&mut self.limits.objects, objects, "--max-objects"),
            (&mut self.limits.in_flight, in_flight, "--max-in-flight"),
        ] {
            if *limit > most {
                let reason = format!("{open_files} files may be open");
                warnings.push(format!("warning: {option} {limit} is reduced to {most}: {reason}"));
                *limit = most;
            }
        }
        warnings
    }
}

/// The option parser.
pub fn command() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .help(help)
            .value_parser(value_parser!(OsString))
            .allow_hyphen_values(true) // so that a negative number is reported as one
    };
    let limit = |name, value, help| option(name, value, help).help_heading("Limits");
    Command::new("bpf-agent")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Hold BPF objects, and hand out their file descriptors")
        .after_help(
            "RULE is GLOB:uid=N:PERMISSIONS or GLOB:gid=N:PERMISSIONS; PERMISSIONS are some of list,\n\
             read, write, put and remove, or all. Root and the agent's own user may do everything.\n\
             See bpf-agent(1).",
        )
        .args([
            option("socket", "PATH", "Serve requests at this socket"),
            option("socket-mode", "MODE", "Permissions of the socket [default: 0600]"),
            option("socket-group", "GROUP", "Group of the socket, whose mode is 0660 by default"),
            option("state", "DIR", "Keep pins in DIR, on a bpf file system, across restarts"),
            option("allow", "RULE", "Permit users or groups something; repeatable")
                .action(ArgAction::Append),
            option("rules", "FILE", "More rules, one per line; SIGHUP reads them again"),
            Arg::new("check")
                .long("check")
                .help("Check the options and the rules, and exit")
                .action(ArgAction::SetTrue),
            Arg::new("quiet")
                .long("quiet")
                .short('q')
                .help("Do not log granted requests that change nothing")
                .action(ArgAction::SetTrue),
        ])
        .args([
            limit("max-clients", "N", "Connections at a time [default: 1024]"),
            limit("max-objects", "N", "Names stored [default: 16384]"),
            limit("max-in-flight", "N", "Fds sent and not yet received [default: 4096]"),
            limit("max-request", "BYTES", "Length of a request [default: 131072, the maximum]"),
            limit("client-timeout", "SECONDS", "How long a client may be idle [default: 30]"),
        ])
}

/// The errors of a command line, of which each is reported.
#[derive(Default)]
struct Errors(Vec<anyhow::Error>);

impl Errors {
    /// The value; after an error, its default.
    fn take<T: Default>(&mut self, result: anyhow::Result<T>) -> T {
        result.unwrap_or_else(|error| {
            self.0.push(error);
            T::default()
        })
    }
}

/// Makes the plan, or returns an error for each wrong argument.
pub fn plan(matches: &ArgMatches) -> Result<Plan, Vec<anyhow::Error>> {
    let one = |name: &str| matches.get_one::<OsString>(name);
    let path = |name: &str| one(name).map(PathBuf::from);
    let all = |name: &str| matches.get_many::<OsString>(name).into_iter().flatten();
    let mut errors = Errors::default();
    let rules = all("allow").filter_map(|text| {
        let rule = Rule::parse(text.as_bytes()).map(Some);
        errors.take(rule.map_err(|why| anyhow!("--allow {}: {why}", escape(text.as_bytes()))))
    });
    let rules = rules.collect();
    let mode = errors.take(one("socket-mode").map(|text| socket_mode(text)).transpose());
    let group = one("socket-group").map(|text| {
        let text = text.as_bytes();
        parse_group(text).with_context(|| format!("--socket-group {}", escape(text)))
    });
    let socket_group = errors.take(group.transpose());
    let mut number = |name: &str, least, most, default| {
        errors.take(number(matches, name, least, most)).unwrap_or(default)
    };
    let limits = Limits {
        clients: number("max-clients", 1, 1 << 20, 1024),
        objects: number("max-objects", 1, 1 << 24, 16384),
        in_flight: number("max-in-flight", 1, 1 << 20, 4096),
        request: number("max-request", 64, MAX_PACKET, MAX_PACKET),
        idle_timeout: errors.take(idle_timeout(matches)),
    };
    let plan = Plan {
        socket: path("socket"),
        socket_mode: mode.unwrap_or(if socket_group.is_some() { 0o660 } else { 0o600 }),
        socket_group,
        state: path("state"),
        rules,
        rules_file: path("rules"),
        limits,
        quiet: matches.get_flag("quiet"),
    };
    if errors.0.is_empty() { Ok(plan) } else { Err(errors.0) }
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
        // A year is long enough, and cannot overflow.
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
