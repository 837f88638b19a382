//! `bpf-map completion`: scripts for shells, all of which run a hidden subcommand that lists the
//! candidates for a word. So they offer inherited and pinned maps, and agree with the option parser.

mod names;

use crate::cli::map::arguments::{self, GivenTypes};
use crate::cli::map::session::Session;
use crate::cli::map::target::Target;
use bpf_inherit::AccessMode;
use bpf_inherit::Startup;
use bpf_layout::print;
use clap::{Arg, ArgMatches, Command, ValueHint, value_parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The line that says: files, too. No map's name holds a colon.
const FILES: &str = ":files";

const SCRIPTS: [(&str, &str); 3] = [
    ("bash", include_str!("completion/bpf-map.bash")),
    ("zsh", include_str!("completion/bpf-map.zsh")),
    ("fish", include_str!("completion/bpf-map.fish")),
];

pub fn arguments(command: Command) -> Command {
    let shells = SCRIPTS.map(|(shell, _)| shell);
    let shell = Arg::new("SHELL").required(true).help("The shell").value_parser(shells);
    command.arg(shell)
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    shell: &'a str,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> Args<'a> {
        Args { shell: matches.get_one::<String>("SHELL").map_or("", String::as_str) }
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let script = SCRIPTS.iter().find(|(shell, _)| *shell == args.shell);
    session.out.data.extend(script.map_or("", |(_, script)| script).as_bytes());
    Ok(0)
}

pub fn candidate_arguments(command: Command) -> Command {
    let words = Arg::new("WORDS")
        .num_args(0..)
        .trailing_var_arg(true)
        .allow_hyphen_values(true)
        .value_parser(value_parser!(OsString));
    command.arg(words)
}

/// The words of a command line up to the one that is to be completed.
#[derive(Debug, PartialEq)]
pub struct CandidateArgs<'a> {
    words: Vec<&'a OsStr>,
}

impl<'a> CandidateArgs<'a> {
    pub fn new(matches: &'a ArgMatches) -> CandidateArgs<'a> {
        CandidateArgs { words: arguments::all(matches, "WORDS") }
    }
}

/// Prints a line for each candidate: the text to type, a tab, a description. `command` is the option
/// parser of bpf-map.
pub fn print_candidates(
    args: CandidateArgs,
    session: &mut Session,
    mut command: Command,
) -> anyhow::Result<u8> {
    let Session { startup, bpffs, out, .. } = session;
    let Some((current, before)) = args.words.split_last() else { return Ok(0) };
    command.build();
    for (candidate, what) in complete(startup, bpffs, &command, before, current) {
        // Candidates with control characters are omitted: a shell could split them, and a terminal
        // could interpret them.
        let plain = !candidate.chars().any(char::is_control);
        if plain && (candidate.as_bytes().starts_with(current.as_bytes()) || candidate == FILES) {
            let what = what.lines().next().unwrap_or_default();
            out.data.extend(format!("{candidate}\t{what}\n").as_bytes());
        }
    }
    Ok(0)
}

type Candidates = Vec<(String, String)>;

fn complete(
    startup: &Startup,
    bpffs: &Path,
    mut command: &Command,
    before: &[&OsStr],
    current: &OsStr,
) -> Candidates {
    let mut positionals: Vec<&OsStr> = Vec::new();
    let mut option: Option<&Arg> = None;
    let mut options_end = false;
    for &word in before {
        if option.take().is_some() {
            continue;
        }
        if !options_end && let Some(found) = find_option(command, word) {
            let with_value = word.as_bytes().contains(&b'=');
            option = found.filter(|arg| arg.get_action().takes_values() && !with_value);
            options_end = word == "--";
        } else if command.has_subcommands() {
            let Some(found) = word.to_str().and_then(|word| command.find_subcommand(word)) else {
                return Vec::new();
            };
            command = found;
        } else {
            positionals.push(word);
        }
    }
    if let Some(option) = option {
        return values(startup, bpffs, option);
    }
    if !options_end && current.as_bytes().starts_with(b"-") {
        return options(command);
    }
    if command.has_subcommands() {
        let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        return shown.map(|sub| (sub.get_name().into(), about(sub.get_about()))).collect();
    }
    if current.as_bytes().starts_with(b".") {
        return positionals.first().map(|map| fields(startup, bpffs, map)).unwrap_or_default();
    }
    let several = |arg: &&Arg| arg.get_num_args().is_some_and(|range| range.max_values() > 1);
    let mut places = command.get_positionals();
    let place = places.nth(positionals.len()).or(command.get_positionals().last().filter(several));
    place.map(|arg| values(startup, bpffs, arg)).unwrap_or_default()
}

/// The option that `word` is, if it looks like one: Some(None) for `--`.
fn find_option<'c>(command: &'c Command, word: &OsStr) -> Option<Option<&'c Arg>> {
    let word = word.to_str()?;
    if word == "--" {
        return Some(None);
    }
    let name = word.split('=').next().unwrap_or(word);
    let is = |arg: &&Arg| match name.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| name == format!("-{short}")),
    };
    // Anything else with a hyphen is a negative number.
    command.get_arguments().find(is).map(Some)
}

fn options(command: &Command) -> Candidates {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let long = |arg: &Arg| Some((format!("--{}", arg.get_long()?), about(arg.get_help())));
    shown.filter_map(long).collect()
}

fn about(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

/// The candidates for an argument, or for the value of an option.
fn values(startup: &Startup, bpffs: &Path, arg: &Arg) -> Candidates {
    if arg.get_id() == "MAP" {
        let mut names = names::maps(startup, bpffs);
        let value = arg.get_value_names().and_then(<[_]>::last);
        if value.is_some_and(|name| name.ends_with("OBJECT")) {
            names.extend(names::others(startup));
        }
        names.push((FILES.into(), String::new()));
        return names;
    }
    match arg.get_value_hint() {
        ValueHint::AnyPath | ValueHint::FilePath => vec![(FILES.into(), String::new())],
        _ => {
            let possible = arg.get_possible_values().into_iter();
            possible.map(|value| (value.get_name().into(), String::new())).collect()
        }
    }
}

/// The fields of a map's values.
fn fields(startup: &Startup, bpffs: &Path, map: &OsStr) -> Candidates {
    let types = GivenTypes::default();
    let Ok(target) = Target::open(startup, bpffs, map, AccessMode::ReadOnly, &types) else {
        return Vec::new();
    };
    let columns = print::columns(&target.layout.value).into_iter();
    let named = columns.filter(|column| !column.name.is_empty());
    named.map(|column| (format!(".{}", column.name), column.slot.ty().to_string())).collect()
}
