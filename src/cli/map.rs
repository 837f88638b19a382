//! `bpf-map`: its subcommands, a file each.

mod add;
mod advice;
mod batch;
mod change;
mod completion;
mod cpus;
mod delete;
mod dump;
mod element;
mod get;
mod inner;
mod keys;
mod lines;
mod list;
mod load;
mod pin;
mod program;
mod queue;
mod reference;
mod set;
mod show;
mod walk;
mod watch;

use super::exit::{self, Output, ReaderGone};
use clap::{Arg, ArgMatches, Command, value_parser};
use std::ffi::OsString;

const PROGRAM: &str = "bpf-map";

/// Runs the program; returns its exit status.
pub fn main(arguments: Vec<OsString>) -> u8 {
    exit::outlive_readers();
    let matches = match exit::parse(command(), PROGRAM, arguments, exit::FAILED) {
        Ok(matches) => matches,
        Err(status) => return status,
    };
    let mut out = Output::default();
    let result = run(&matches, &mut out);
    // What was gathered before a failure is printed too.
    let flushed = out.flush();
    match result.and_then(|status| flushed.map(|()| status)) {
        Ok(status) => status,
        Err(error) if error.is::<ReaderGone>() => 0,
        Err(error) => {
            exit::fail(PROGRAM, &error);
            exit::FAILED
        }
    }
}

/// Runs the subcommand that was asked for; returns its exit status.
fn run(matches: &ArgMatches, out: &mut Output) -> anyhow::Result<u8> {
    match matches.subcommand() {
        Some(("get", matches)) => get::run(matches, out),
        Some(("set", matches)) => set::run(matches, out),
        Some(("add", matches)) => add::run(matches, out),
        Some(("push", matches)) => queue::push(matches, out),
        Some(("pop", matches)) => queue::pop(matches, out),
        Some(("peek", matches)) => queue::peek(matches, out),
        Some(("has", matches)) => queue::has(matches, out),
        Some(("load", matches)) => load::run(matches, out),
        Some(("batch", matches)) => batch::run(matches, out),
        Some(("del", matches)) => delete::run(matches, out),
        Some(("clear", matches)) => delete::clear(matches, out),
        Some(("count", matches)) => keys::count(matches, out),
        Some(("keys", matches)) => keys::run(matches, out),
        Some(("dump", matches)) => dump::run(matches, out),
        Some(("show", matches)) => show::run(matches, out),
        Some(("watch", matches)) => watch::run(matches, out),
        Some(("pin", matches)) => pin::pin(matches),
        Some(("unpin", matches)) => pin::unpin(matches),
        Some(("freeze", matches)) => pin::freeze(matches),
        Some(("create", matches)) => pin::create(matches),
        Some(("completion", matches)) => completion::run(matches, out),
        Some((completion::CANDIDATES, matches)) => completion::candidates(matches, out),
        Some((_, matches)) => list::run(matches.get_flag("all"), matches.get_flag("json"), out),
        None => list::run(false, false, out),
    }
}

/// The option parser. Each subcommand's own is built only when it is used.
fn command() -> Command {
    Command::new(PROGRAM)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Read and write the elements of BPF maps")
        .after_help(
            "MAP is a name from the environment, a descriptor's number, a path with a '/', id:N or\n\
             name:KERNELNAME. Without a command: list. See bpf-map(1).",
        )
        .disable_help_subcommand(true)
        .subcommands([
            Command::new("list").about("List the inherited maps, or all").defer(list::arguments),
            Command::new("show").about("Print all that is known of a map").defer(show::arguments),
            Command::new("get").about("Print the value of a key").defer(get::arguments),
            Command::new("set").about("Write the value of a key").defer(set::arguments),
            Command::new("add").about("Add to a number, and print it").defer(add::arguments),
            Command::new("push")
                .about("Add to a queue, a stack or a bloom filter")
                .defer(queue::push_arguments),
            Command::new("pop")
                .about("Take the next value out of a queue or a stack")
                .defer(queue::read_arguments),
            Command::new("peek")
                .about("Print the next value of a queue or a stack")
                .defer(queue::read_arguments),
            Command::new("has")
                .about("Tell whether a bloom filter may hold a value")
                .defer(queue::has_arguments),
            Command::new("del").about("Delete the elements of keys").defer(delete::arguments),
            Command::new("clear").about("Delete all elements").defer(delete::clear_arguments),
            Command::new("count").about("Count the elements").defer(keys::count_arguments),
            Command::new("keys").about("Print all keys").defer(keys::arguments),
            Command::new("dump").about("Print all elements").defer(dump::arguments),
            Command::new("watch").about("Print values as they change").defer(watch::arguments),
            Command::new("pin").about("Pin a map").defer(pin::pin_arguments),
            Command::new("unpin").about("Remove the pin of a map").defer(pin::unpin_arguments),
            Command::new("freeze").about("Let nobody write a map").defer(pin::freeze_arguments),
            Command::new("create").about("Make a map, and pin it").defer(pin::create_arguments),
            Command::new("completion")
                .about("Print a shell's completion script")
                .defer(completion::arguments),
            Command::new(completion::CANDIDATES)
                .about("Print what may complete the last of some words")
                .hide(true)
                .defer(completion::candidates_arguments),
            Command::new("load").about("Write the elements of a file").defer(load::arguments),
            Command::new("batch").about("Run subcommands, a line each").defer(batch::arguments),
        ])
}

/// A required argument, in bytes.
fn positional(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .required(true)
        .help(help)
        // Not all that begins with a hyphen: then no option could follow it.
        .allow_negative_numbers(true)
        .value_parser(value_parser!(OsString))
}

/// A required argument's value.
fn value<'a>(matches: &'a ArgMatches, name: &str) -> &'a OsString {
    matches.get_one(name).expect("the option parser requires it")
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
