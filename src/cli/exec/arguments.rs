//! The arguments of `bpf-exec`, and the plan that they make.

use crate::handoff::environ::Class;
use crate::source::pin::ROOT;
use crate::source::{Request, Settings, Source, create};
use crate::text::escape;
use anyhow::{Context, anyhow, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

/// What the command line asks for.
#[derive(Debug)]
pub struct Plan {
    /// In the order of the command line.
    pub requests: Vec<Request>,
    pub settings: Settings,
    pub lock: bool,
    pub clean: bool,
    pub fd_base: i32,
    pub show: Show,
    /// At least the command's name.
    pub command: Vec<OsString>,
}

/// What to print of the maps before, or in place of, running the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    Nothing,
    /// A table on stderr.
    Table,
    /// A table or JSON on stdout, and nothing is run.
    DryRun {
        json: bool,
    },
}

const SOURCES: [&str; 6] = ["pin", "id", "name", "import", "pid", "create"];

/// The option parser.
pub fn command() -> Command {
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
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .help(help)
            .value_parser(value_parser!(OsString))
            .allow_hyphen_values(true) // so that a negative number is told to be one
    };
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
    };
    Command::new("bpf-exec")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Run a command that inherits live BPF map descriptors")
        .after_help(
            "Without a source, and with nothing inherited: every map pinned below the bpffs root.\n\
             NAME= before a source names the map in the environment. See bpf-exec(1).",
        )
        .args([
            source("pin", "[NAME=]PATH", "A pinned map, or a directory of pins, recursively"),
            source("id", "[NAME=]ID", "A map by the kernel's id"),
            source("name", "[NAME=]KNAME", "A map by the kernel's name"),
            source("import", "[NAME=]PATH", "Bind a socket, and wait for maps that tc exports"),
            source("pid", "[NAME=]PID", "The maps that a process holds open"),
            source(
                "create",
                "NAME=TYPE,…",
                "A new map: TYPE,key=LAYOUT,value=LAYOUT,entries=N,flags=A|B",
            ),
        ])
        .args([
            flag("read-only", "Hand over read-only descriptors, or fail").short('r'),
            flag("lock", "Leave the command no bpf(2) but element operations (seccomp)"),
            flag("clean", "Drop and close the maps that were inherited"),
            option("bpffs", "DIR", "The bpffs root [default: $TC_BPF_MNT, else /sys/fs/bpf]"),
            option("timeout", "SECONDS", "How long --import waits [default: for ever]"),
            option("socket-mode", "MODE", "Permissions of --import's socket [default: 0600]"),
            option("fd-base", "N", "Lowest descriptor number to use [default: 64]"),
            flag("dry-run", "Print what would be handed over, and run nothing"),
            flag("json", "With --dry-run: as JSON").requires("dry-run"),
            flag("verbose", "Print what is handed over to stderr first").short('v'),
        ])
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .help("The command and its arguments [default: $SHELL, else /bin/sh]")
                .num_args(1..)
                .trailing_var_arg(true)
                .value_parser(value_parser!(OsString)),
        )
}

/// Makes the plan, or says which argument is wrong.
pub fn plan(matches: &ArgMatches) -> anyhow::Result<Plan> {
    let text = |name: &str| matches.get_one::<OsString>(name).map(OsString::as_os_str);
    let bpffs = text("bpffs").map(OsString::from).or_else(|| nonempty("TC_BPF_MNT"));
    let settings = Settings {
        read_only: matches.get_flag("read-only"),
        bpffs: PathBuf::from(bpffs.unwrap_or_else(|| ROOT.into())),
        timeout: text("timeout").map(timeout).transpose()?,
        socket_mode: text("socket-mode").map(mode).transpose()?.unwrap_or(0o600),
    };
    let command = matches.get_many("command").map(|words| words.cloned().collect());
    let shell = || vec![nonempty("SHELL").unwrap_or_else(|| "/bin/sh".into())];
    Ok(Plan {
        requests: requests(matches)?,
        settings,
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

/// All sources, in the order of the command line.
fn requests(matches: &ArgMatches) -> anyhow::Result<Vec<Request>> {
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
        return Ok(Request { name: None, source: Source::Create(spec) });
    }
    let (name, rest) = split_name(value);
    if let Some(name) = name {
        check_name(name).with_context(wrong)?;
    }
    let path = || PathBuf::from(OsString::from_vec(rest.to_vec()));
    let source = match kind {
        "pin" => Source::Pin(Class::Map, path()),
        "import" => Source::Import(path()),
        "name" => Source::KernelName(rest.to_vec()),
        "id" => Source::Id(Class::Map, decimal(rest, "a map id").with_context(wrong)?),
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

/// `NAME=` is split off only where no `/` stands before the `=`.
fn split_name(value: &OsStr) -> (Option<&[u8]>, &[u8]) {
    let bytes = value.as_bytes();
    match bytes.iter().position(|&b| b == b'=' || b == b'/') {
        Some(at) if bytes[at] == b'=' => (Some(&bytes[..at]), &bytes[at + 1..]),
        _ => (None, bytes),
    }
}

/// Refuses names that a map reference could not tell from something else.
fn check_name(name: &[u8]) -> anyhow::Result<()> {
    let reason = if name.is_empty() {
        "is empty"
    } else if name.iter().all(u8::is_ascii_digit) {
        "is a number"
    } else if name.iter().any(|b| matches!(b, b'/' | b':' | b'=') || b.is_ascii_control()) {
        "holds '/', ':', '=' or a control byte"
    } else {
        return Ok(());
    };
    bail!("the name {reason}")
}

fn decimal<T: std::str::FromStr>(text: &[u8], what: &str) -> anyhow::Result<T> {
    let digits = text.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(text).ok().filter(|_| digits).and_then(|t| t.parse().ok());
    number.ok_or_else(|| anyhow!("not {what}"))
}

fn timeout(text: &OsStr) -> anyhow::Result<Duration> {
    let seconds = text.to_str().and_then(|text| text.parse().ok());
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration
        .ok_or_else(|| anyhow!("--timeout {}: not a number of seconds", escape(text.as_bytes())))
}

pub fn mode(text: &OsStr) -> anyhow::Result<u32> {
    let digits = text.to_str().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
    let mode = digits.and_then(|digits| u32::from_str_radix(digits, 8).ok());
    let mode = mode.filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| {
        anyhow!("--socket-mode {}: not an octal mode up to 0777", escape(text.as_bytes()))
    })
}

/// Numbers below 3 are the standard streams'.
fn fd_base(text: &OsStr) -> anyhow::Result<i32> {
    let base = decimal(text.as_bytes(), "a descriptor number").ok().filter(|base| *base >= 3);
    base.ok_or_else(|| {
        anyhow!("--fd-base {}: not a descriptor number from 3 upwards", escape(text.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_parser_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn a_name_is_split_off_where_no_slash_comes_before() {
        for (text, want) in [
            ("hits=/run/m", (Some("hits"), "/run/m")),
            ("/run/a=b", (None, "/run/a=b")),
            ("./a=b", (None, "./a=b")),
            ("a=b=c", (Some("a"), "b=c")),
            ("=x", (Some(""), "x")),
            ("plain", (None, "plain")),
        ] {
            let (name, rest) = split_name(OsStr::new(text));
            assert_eq!((name, rest), (want.0.map(str::as_bytes), want.1.as_bytes()), "{text}");
        }
    }

    #[test]
    fn sources_keep_the_order_of_the_command_line() {
        let line =
            ["bpf-exec", "--id", "3", "--pin", "a=/x", "--id=4", "--pid", "1", "ls", "--pin"];
        let plan = plan(&command().try_get_matches_from(line).unwrap()).unwrap();
        let kinds: Vec<String> = plan.requests.iter().map(|r| format!("{:?}", r.source)).collect();
        assert_eq!(kinds, ["Id(Map, 3)", "Pin(Map, \"/x\")", "Id(Map, 4)", "Process(1)"]);
        assert_eq!(plan.command, ["ls", "--pin"]);
    }
}
