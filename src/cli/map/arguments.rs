//! Arguments that several commands share.

use clap::{Arg, ArgMatches, value_parser};
use std::ffi::OsString;

/// A required argument, in bytes.
pub fn positional(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .required(true)
        .help(help)
        // Not all that begins with a hyphen: then no option could follow it.
        .allow_negative_numbers(true)
        .value_parser(value_parser!(OsString))
}

/// A required argument's value.
pub fn value<'a>(matches: &'a ArgMatches, name: &str) -> &'a OsString {
    matches.get_one(name).expect("the option parser requires it")
}
