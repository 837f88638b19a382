//! The command line of `bpf-exec`.

use super::expect::Expectation;
use super::requests::{self, fd_number, parse_requests};
use crate::account::parse_user;
use crate::bpffs::choose_root;
use crate::cli::timeout;
use crate::source::request::{Request, Settings};
use crate::text::escape_argument;
use anyhow::{Context, anyhow};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The requests of the command line.
#[derive(Debug)]
pub struct CommandLine {
    /// In the order of the command line.
    pub requests: Vec<Request>,
    pub settings: Settings,
    /// Layouts that maps must have.
    pub expectations: Vec<Expectation>,
    pub lock: bool,
    pub clean: bool,
    pub fd_base: i32,
    pub show: Show,
    /// At least one word.
    pub command: Vec<OsString>,
}

/// The output before the command is executed, or in place of the execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    Nothing,
    /// A table on stderr.
    Table,
    /// A table or JSON on stdout; no command is executed.
    DryRun {
        json: bool,
    },
}

/// The option parser.
pub fn command() -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .help(help)
            .value_parser(value_parser!(OsString))
            .allow_hyphen_values(true) // a negative number gets a message about its value
    };
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
    };
    Command::new("bpf-exec")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Open BPF maps and run a command that inherits their file descriptors")
        .after_help(
            "If there is no source and nothing is inherited, all maps pinned below the BPF file system \
             root\nare handed over. NAME= before a source is the name of its object in the \
             environment. See bpf-exec(1).",
        )
        .args(requests::arguments())
        .args([requests::variable_argument(), requests::program_type_argument()])
        .args([
            flag("read-only", "Hand over read-only file descriptors, or fail").short('r'),
            option(
                "expect",
                "NAME=LAYOUT",
                "Fail if the map has another layout, as 'KEY -> VALUE'; repeatable",
            )
            .action(ArgAction::Append),
            flag("lock", "Restrict bpf(2) to operations on map entries (seccomp)"),
            flag("clean", "Close inherited objects instead of handing them over"),
            option("bpffs", "DIR", "BPF file system root [default: $TC_BPF_MNT, else /sys/fs/bpf]"),
            flag("wait", "Wait until the agent has all names").requires("agent"),
            timeout::argument("Time limit for --import and --agent [default: none]"),
            option("socket-mode", "MODE", "Mode of the socket of --import [default: 0600]")
                .requires("import"),
            option(
                "from",
                "USER",
                "Accept maps from this user; repeatable [default: root and own user]",
            )
            .action(ArgAction::Append)
            .requires("import"),
            option("fd-base", "N", "Lowest file descriptor to use [default: 64]"),
            flag("dry-run", "Print a table of the objects, and do not run the command"),
            flag("json", "With --dry-run: print JSON").requires("dry-run"),
            flag("verbose", "Print a table of the objects to stderr").short('v'),
        ])
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .help("Command and its arguments [default: $SHELL, else /bin/sh]")
                .num_args(1..)
                .trailing_var_arg(true)
                .value_parser(value_parser!(OsString)),
        )
}

/// Reads the options and their values; an error names the wrong one.
pub fn read_command_line(matches: &ArgMatches) -> anyhow::Result<CommandLine> {
    let text = |name: &str| matches.get_one::<OsString>(name).map(OsString::as_os_str);
    let settings = Settings {
        read_only: matches.get_flag("read-only"),
        bpffs: choose_root(text("bpffs")),
        timeout: timeout::read(matches)?,
        wait: matches.get_flag("wait"),
        socket_mode: text("socket-mode").map(mode).transpose()?.unwrap_or(0o600),
        from: matches.get_many("from").into_iter().flatten().map(user).collect::<Result<_, _>>()?,
    };
    let command = matches.get_many("command").map(|words| words.cloned().collect());
    let shell = || vec![nonempty("SHELL").unwrap_or_else(|| "/bin/sh".into())];
    let requests = parse_requests(matches)?;
    if text("socket-mode").is_some() {
        requests::check_socket_mode(&requests, &settings)?;
    }
    if settings.timeout.is_some() {
        requests::check_timeout(&requests)?;
    }
    if settings.wait {
        requests::check_wait(&requests)?;
    }
    Ok(CommandLine {
        requests,
        settings,
        expectations: matches
            .get_many("expect")
            .into_iter()
            .flatten()
            .map(|text: &OsString| Expectation::parse(text))
            .collect::<Result<_, _>>()?,
        lock: matches.get_flag("lock"),
        clean: matches.get_flag("clean"),
        fd_base: text("fd-base").map(fd_base).transpose()?.unwrap_or(64),
        show: match (matches.get_flag("dry-run"), matches.get_flag("verbose")) {
            (true, _) => Show::DryRun { json: matches.get_flag("json") },
            (false, true) => Show::Table,
            (false, false) => Show::Nothing,
        },
        command: command.unwrap_or_else(shell),
    })
}

fn nonempty(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|value| !value.is_empty())
}

pub fn mode(text: &OsStr) -> anyhow::Result<u32> {
    let digits = text.to_str().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let mode = digits.and_then(|digits| u32::from_str_radix(digits, 8).ok());
    let mode = mode.filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| {
        anyhow!("--socket-mode {}: not an octal mode up to 0777", escape_argument(text.as_bytes()))
    })
}

/// A user who may send.
fn user(text: &OsString) -> anyhow::Result<u32> {
    let text = text.as_bytes();
    parse_user(text).with_context(|| format!("--from {}", escape_argument(text)))
}

fn fd_base(text: &OsStr) -> anyhow::Result<i32> {
    fd_number(text.as_bytes())
        .with_context(|| format!("--fd-base {}", escape_argument(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_parser_is_consistent() {
        command().debug_assert();
    }
}
