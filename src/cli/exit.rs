//! How a program ends: its messages, a line each, and its exit status.

use crate::text::escape;
use clap::error::ErrorKind;
use clap::{ArgMatches, Command};
use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;

/// bpf-exec: a failure of its own, usage included.
pub const OWN: u8 = 125;
/// bpf-exec: the command was found, and could not be executed.
pub const CANNOT_EXECUTE: u8 = 126;
/// bpf-exec: the command was not found.
pub const NOT_FOUND: u8 = 127;
/// bpf-map: a key or an element is absent.
pub const ABSENT: u8 = 1;
/// bpf-map: any failure, usage included.
pub const FAILED: u8 = 2;

/// Prints `PROGRAM: MESSAGE` to stderr. Nothing can be done where that fails.
pub fn report(program: &str, message: impl Display) {
    let _ = std::io::stderr().write_all(format!("{program}: {message}\n").as_bytes());
}

/// Prints `PROGRAM: warning: MESSAGE` to stderr.
pub fn warn(program: &str, message: impl Display) {
    report(program, format_args!("warning: {message}"));
}

/// Writes data to stdout, whole.
pub fn print(data: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(data).and_then(|()| stdout.flush());
    written.map_err(|e| crate::error::Error::new("standard output", "write", e).into())
}

/// Parses the arguments. Help and the version go to stdout; anything wrong
/// becomes one line on stderr. The error is the exit status.
pub fn parse(
    command: Command,
    program: &'static str,
    arguments: Vec<OsString>,
    failure: u8,
) -> Result<ArgMatches, u8> {
    command.try_get_matches_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            match print(error.to_string().as_bytes()) {
                Ok(()) => 0,
                Err(error) => {
                    report(program, format_args!("{error:#}"));
                    failure
                }
            }
        }
        _ => {
            report(
                program,
                format_args!("{} (see {program} --help)", one_line(&error.to_string())),
            );
            failure
        }
    })
}

/// The first paragraph of the option parser's message, without its `error: `.
fn one_line(message: &str) -> String {
    let paragraph = message.split("\n\n").next().unwrap_or_default();
    let words = paragraph.trim_start_matches("error: ").split('\n').map(str::trim);
    escape(words.collect::<Vec<_>>().join(" ").as_bytes())
}
