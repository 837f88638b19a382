//! The commands of `bpf-map`, and the table of them.

mod add;
mod agent;
mod batch;
mod completion;
mod delete;
mod dump;
mod get;
mod keys;
mod list;
mod load;
mod pin;
mod put;
mod queue;
mod send;
mod set;
mod show;
mod watch;

use super::PROGRAM;
use super::session::Session;
use crate::cli::exit;
use clap::{ArgMatches, Command};
use std::ffi::OsStr;

/// A subcommand: its name, what it does, its arguments, and how it is run.
struct Subcommand {
    name: &'static str,
    about: &'static str,
    arguments: fn(Command) -> Command,
    run: fn(&ArgMatches, &mut Session) -> anyhow::Result<u8>,
}

const fn sub(
    name: &'static str,
    about: &'static str,
    arguments: fn(Command) -> Command,
    run: fn(&ArgMatches, &mut Session) -> anyhow::Result<u8>,
) -> Subcommand {
    Subcommand { name, about, arguments, run }
}

/// In the order of the manual page.
#[rustfmt::skip]
const SUBCOMMANDS: [Subcommand; 26] = [
    sub("list", "List the inherited maps, or all", list::arguments,
        |m, s| list::run(m.get_flag("all"), m.get_flag("json"), s)),
    sub("show", "Print all that is known of a map", show::arguments, show::run),
    sub("get", "Print the values of keys", get::arguments, get::run),
    sub("set", "Write the value of a key", set::arguments, set::run),
    sub("add", "Add to a number, and print it", add::arguments, add::run),
    sub("del", "Delete the elements of keys", delete::arguments, delete::run),
    sub("clear", "Delete all elements", delete::clear_arguments, delete::clear),
    sub("count", "Count the elements", keys::count_arguments, keys::count),
    sub("keys", "Print all keys", keys::arguments, keys::run),
    sub("dump", "Print all elements", dump::arguments, dump::run),
    sub("load", "Write the elements of a file", load::arguments, load::run),
    sub("watch", "Print values as they change", watch::arguments, watch::run),
    sub("push", "Add to a queue, a stack or a bloom filter", queue::push_arguments, queue::push),
    sub("pop", "Take the next value out of a queue or a stack", queue::read_arguments, queue::pop),
    sub("peek", "Print the next value of a queue or a stack", queue::read_arguments, queue::peek),
    sub("has", "Tell whether a bloom filter may hold a value", queue::has_arguments, queue::has),
    sub("pin", "Pin a map", pin::pin_arguments, pin::pin),
    sub("unpin", "Remove the pin of a map", pin::unpin_arguments, |m, _| pin::unpin(m)),
    sub("freeze", "Let nobody write a map", pin::freeze_arguments, pin::freeze),
    sub("create", "Make a map, and pin it", pin::create_arguments, pin::create),
    sub("send", "Send maps to where tc or bpf-exec waits", send::arguments, send::run),
    sub("put", "Store maps, programs and links with an agent", put::arguments, put::run),
    sub("agent", "List what an agent holds, or remove from it", agent::arguments, agent::run),
    sub("batch", "Run subcommands, a line each", batch::arguments, batch::run),
    sub("completion", "Print a shell's completion script", completion::arguments, completion::run),
    sub(completion::CANDIDATES, "Print what may complete the last of some words",
        completion::candidates_arguments, completion::candidates),
];

/// Runs the subcommand that was asked for; returns its exit status.
pub fn run(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    match matches.subcommand() {
        Some((name, matches)) => match SUBCOMMANDS.iter().find(|s| s.name == name) {
            Some(subcommand) => (subcommand.run)(matches, session),
            None => anyhow::bail!("{name}: not a command"),
        },
        None => list::run(false, false, session),
    }
}

/// The option parser for the command that `first` names alone, if it does; else the whole.
pub fn command_for(first: Option<&OsStr>) -> Command {
    let named = first.and_then(|first| SUBCOMMANDS.iter().find(|s| first == s.name));
    named.map_or_else(command, |one| with(std::slice::from_ref(one)))
}

/// The option parser, whole.
pub fn command() -> Command {
    with(&SUBCOMMANDS)
}

/// The option parser for some subcommands. The arguments of each are built only when it is used.
fn with(subcommands: &[Subcommand]) -> Command {
    let subcommands = subcommands.iter().map(|s| {
        let hidden = s.name == completion::CANDIDATES;
        Command::new(s.name).about(s.about).hide(hidden).defer(s.arguments)
    });
    Command::new(PROGRAM)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Read and write the elements of BPF maps")
        .after_help(
            "MAP is a name from the environment, a descriptor's number, a path with a '/', id:N,\n\
             name:KERNELNAME, fd:N or env:NAME. Without a command: list. See bpf-map(1).",
        )
        .disable_help_subcommand(true)
        .subcommands(subcommands)
}

/// Warns of each part of a result that is missing; the exit status, which is a failure if any is.
fn incomplete(missing: &[String]) -> u8 {
    missing.iter().for_each(|line| exit::warn(PROGRAM, line));
    if missing.is_empty() { 0 } else { exit::FAILED }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_option_parser_is_sound() {
        let mut command = super::command();
        command.build(); // runs what is deferred
        command.debug_assert();
    }
}
