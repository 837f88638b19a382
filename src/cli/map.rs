//! `bpf-map`: its subcommands, a file each.

mod element;
mod get;
mod list;
mod reference;
mod set;

use super::exit::{self, report};
use clap::{Arg, ArgMatches, Command, value_parser};
use std::ffi::OsString;

const PROGRAM: &str = "bpf-map";

/// Runs the program; returns its exit status.
pub fn main(arguments: Vec<OsString>) -> u8 {
    let matches = match exit::parse(command(), PROGRAM, arguments, exit::FAILED) {
        Ok(matches) => matches,
        Err(status) => return status,
    };
    let result = match matches.subcommand() {
        Some(("get", matches)) => get::run(matches),
        Some(("set", matches)) => set::run(matches),
        Some((_, matches)) => list::run(matches.get_flag("json")),
        None => list::run(false),
    };
    result.unwrap_or_else(|error| {
        report(PROGRAM, format_args!("{error:#}"));
        exit::FAILED
    })
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
            Command::new("list").about("List the inherited maps").defer(list::arguments),
            Command::new("get").about("Print the value of a key").defer(get::arguments),
            Command::new("set").about("Write the value of a key").defer(set::arguments),
        ])
}

/// A required argument, in bytes.
fn positional(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .required(true)
        .help(help)
        .allow_hyphen_values(true)
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
