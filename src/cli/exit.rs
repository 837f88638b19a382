//! Messages, one line each, and exit statuses.

use super::negative;
use crate::error::Error;
use crate::text::escape;
use bpf_inherit::{Errno, process::is_secure_execution};
use clap::error::{ContextValue, ErrorKind};
use clap::{ArgMatches, Command};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::path::Path;

/// bpf-exec: failure of bpf-exec itself, usage errors included.
pub const OWN: u8 = 125;
/// bpf-exec: the command was found, but cannot be executed.
pub const CANNOT_EXECUTE: u8 = 126;
/// bpf-exec: the command was not found.
pub const NOT_FOUND: u8 = 127;
/// bpf-map: a key or an entry is missing.
pub const ABSENT: u8 = 1;
/// bpf-map: any failure, usage errors included.
pub const FAILED: u8 = 2;

/// The longest message, in characters.
const MAX_MESSAGE: usize = 4000;

/// Prints `PROGRAM: MESSAGE` to stderr. Errors of writing are ignored.
pub fn report(program: &str, message: impl Display) {
    let mut line = format!("{program}: {message}");
    if let Some((end, _)) = line.char_indices().nth(MAX_MESSAGE) {
        line.truncate(end);
        line.push('…');
    }
    line.push('\n');
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Whether the program must not run, which is then reported: it would open objects, files and
/// sockets that the caller names with privileges that the caller does not have.
pub fn is_refused(program: &str) -> bool {
    let refused = is_secure_execution();
    if refused {
        report(program, "refused to run: set-user-ID, set-group-ID or file capabilities");
    }
    refused
}

/// Prints the error that ends a program. File descriptors cannot be identified without /proc/self,
/// so the message says why that is missing.
pub fn fail(program: &str, error: &anyhow::Error) {
    let hint = match Path::new("/proc/self").exists() {
        true => "",
        false if statfs("/proc").is_ok_and(|stat| stat.filesystem_type() == PROC_SUPER_MAGIC) => {
            " (/proc does not show this process: it is that of another PID namespace)"
        }
        false => " (/proc is not mounted)",
    };
    report(program, format_args!("{error:#}{hint}"));
}

/// Prints `PROGRAM: warning: MESSAGE` to stderr.
pub fn warn(program: &str, message: impl Display) {
    report(program, format_args!("warning: {message}"));
}

/// Prints the log of the verifier, if the verifier refused a program.
pub fn print_log(error: &anyhow::Error) {
    if let Some(log) = Error::verifier_log(error) {
        print_to_stderr(&format!("{log}\n"));
    }
}

/// Prints text that is not a message to stderr.
pub fn print_to_stderr(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Writes all data to stdout. A closed pipe is not an error.
pub fn print(data: &[u8]) -> anyhow::Result<()> {
    match write(data) {
        Err(error) if error.is::<ReaderGone>() => Ok(()),
        result => result,
    }
}

/// Writes all data to stdout; [`ReaderGone`] if no process reads it. Rust's stdout reports success
/// if the fd is closed.
pub fn write(mut data: &[u8]) -> anyhow::Result<()> {
    while !data.is_empty() {
        match nix::unistd::write(std::io::stdout(), data) {
            Ok(written) => data = &data[written..],
            Err(Errno::EINTR) => {}
            Err(Errno::EPIPE) => return Err(ReaderGone.into()),
            Err(errno) => return Err(Error::new("standard output", "write", errno).into()),
        }
    }
    Ok(())
}

/// Makes a write to a closed pipe fail, which becomes [`ReaderGone`], instead of ending the program
/// by a signal, which `pipefail` reports as a failure. For programs that execute no other.
pub fn outlive_readers() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGPIPE);
    // If this fails, the signal ends the program, as usual.
    let _ = signals.thread_block();
}

/// No process reads stdout any more: the program ends, without an error.
#[derive(Debug, thiserror::Error)]
#[error("standard output: the reader has gone")]
pub struct ReaderGone;

/// Parses the arguments. Prints help and version to stdout, and a usage error as one line to
/// stderr, which refers to the help of `subcommand` if there is one. The error is the exit status.
pub fn parse(
    command: Command,
    program: &'static str,
    subcommand: Option<&str>,
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
            let words: Vec<&str> = [program].into_iter().chain(subcommand).collect();
            report(program, format_args!("{} (see {} --help)", one_line(&error), words.join(" ")));
            failure
        }
    })
}

/// The first paragraph of the option parser's message, without `error: `, and with quoted arguments
/// escaped.
pub fn one_line(error: &clap::Error) -> String {
    let mut message = error.to_string().replace(negative::MARK, "");
    for (_, value) in error.context() {
        let quoted = match value {
            ContextValue::String(text) => std::slice::from_ref(text),
            ContextValue::Strings(texts) => texts,
            _ => &[],
        };
        for text in quoted.iter().map(|text| text.replace(negative::MARK, "")) {
            if !text.is_empty() {
                message = message.replace(&text, &escape(text.as_bytes()));
            }
        }
    }
    let paragraph = message.split("\n\n").next().unwrap_or_default();
    let lines = paragraph.trim_start_matches("error: ").lines().map(str::trim);
    lines.collect::<Vec<_>>().join(" ")
}
