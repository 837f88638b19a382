//! `--timeout SECONDS`, the same in every program.

use super::negative;
use crate::text::escape_argument;
use anyhow::anyhow;
use clap::{Arg, ArgMatches, value_parser};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// The option, with its help.
pub fn argument(help: &'static str) -> Arg {
    Arg::new("timeout")
        .long("timeout")
        .value_name("SECONDS")
        .help(help)
        .value_parser(value_parser!(OsString))
        .allow_hyphen_values(true) // a negative number gets a message about its value
}

/// The value of the option; None if it is not given.
pub fn read(matches: &ArgMatches) -> anyhow::Result<Option<Duration>> {
    let Some(text) = matches.get_one::<OsString>("timeout") else { return Ok(None) };
    let text = negative::unmark(text);
    let seconds = text.to_str().and_then(|text| text.parse().ok());
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let wrong =
        || anyhow!("--timeout {}: not a number of seconds", escape_argument(text.as_bytes()));
    duration.map(Some).ok_or_else(wrong)
}
