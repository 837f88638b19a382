//! How a program ends: its messages, a line each, and its exit status.

use crate::error::Error;
use crate::sys::Errno;
use crate::text::escape;
use clap::error::{ContextValue, ErrorKind};
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

/// Prints text that is not a message to stderr.
pub fn tell(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Writes data to stdout, whole. That the reader has gone is no failure.
pub fn print(mut data: &[u8]) -> anyhow::Result<()> {
    // Not by way of Rust's stdout, which takes a closed descriptor for success.
    while !data.is_empty() {
        match nix::unistd::write(std::io::stdout(), data) {
            Ok(written) => data = &data[written..],
            Err(Errno::EINTR) => {}
            Err(Errno::EPIPE) => return Ok(()),
            Err(errno) => return Err(Error::new("standard output", "write", errno).into()),
        }
    }
    Ok(())
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
            report(program, format_args!("{} (see {program} --help)", one_line(&error)));
            failure
        }
    })
}

/// The first paragraph of the option parser's message, without its `error: `, and
/// with what it quotes of the arguments escaped.
fn one_line(error: &clap::Error) -> String {
    let mut message = error.to_string();
    for (_, value) in error.context() {
        let quoted = match value {
            ContextValue::String(text) => std::slice::from_ref(text),
            ContextValue::Strings(texts) => texts,
            _ => &[],
        };
        for text in quoted.iter().filter(|text| !text.is_empty()) {
            message = message.replace(text.as_str(), &escape(text.as_bytes()));
        }
    }
    let paragraph = message.split("\n\n").next().unwrap_or_default();
    let lines = paragraph.trim_start_matches("error: ").lines().map(str::trim);
    lines.collect::<Vec<_>>().join(" ")
}
