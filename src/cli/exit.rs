//! Messages, one line each, and exit statuses.

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

/// Prints text that is not a message to stderr.
pub fn print_to_stderr(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Writes all data to stdout. A closed pipe is not an error.
pub fn print(data: &[u8]) -> anyhow::Result<()> {
    match write(data) {
        Err(Errno::EPIPE) => Ok(()),
        result => result.map_err(cannot_write),
    }
}

/// Without Rust's stdout, which reports success if the fd is closed.
fn write(mut data: &[u8]) -> Result<(), Errno> {
    while !data.is_empty() {
        match nix::unistd::write(std::io::stdout(), data) {
            Ok(written) => data = &data[written..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
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

fn cannot_write(errno: Errno) -> anyhow::Error {
    Error::new("standard output", "write", errno).into()
}

/// No process reads stdout any more: the program ends, without an error.
#[derive(Debug, thiserror::Error)]
#[error("standard output: the reader has gone")]
pub struct ReaderGone;

/// The output of a subcommand of bpf-map: data, collected and written in large pieces, and
/// messages.
#[derive(Debug, Default)]
pub struct Output {
    /// Data that has not been written.
    pub data: Vec<u8>,
    /// The input line that messages refer to.
    pub line: Option<usize>,
    /// The start of the current row in the data: it becomes one line.
    row: Option<usize>,
    /// Whether all data is kept, for a file that is replaced at the end.
    is_held: bool,
}

impl Output {
    /// Keeps all data, which the caller writes to a file.
    pub fn held() -> Output {
        Output { is_held: true, ..Output::default() }
    }

    /// Writes the data if there is much of it; to be called after every entry or so.
    pub fn spill(&mut self) -> anyhow::Result<()> {
        if self.is_held || self.data.len() < 64 << 10 { Ok(()) } else { self.flush() }
    }

    /// Writes all data except that of an incomplete row; [`ReaderGone`] if no process reads it.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        let end = self.row.unwrap_or(self.data.len());
        let result = write(&self.data[..end]);
        self.data.drain(..end);
        self.row = self.row.and(Some(0));
        match result {
            Err(Errno::EPIPE) => Err(ReaderGone.into()),
            result => result.map_err(cannot_write),
        }
    }

    /// Begins a row: its data becomes one line.
    pub fn begin_row(&mut self) {
        self.row = Some(self.data.len());
    }

    /// Cancels the row: its lines remain lines.
    pub fn many(&mut self) {
        self.row = None;
    }

    /// Ends the current row, if any: its lines are joined by tabs, and even an empty row is a line.
    pub fn end_row(&mut self) {
        if let Some(start) = self.row.take() {
            if self.data.len() == start || self.data.last() != Some(&b'\n') {
                self.data.push(b'\n');
            }
            let last = self.data.len() - 1;
            self.data[start..last].iter_mut().filter(|b| **b == b'\n').for_each(|b| *b = b'\t');
        }
    }

    /// Adds an empty field for a missing entry, if there is a row.
    pub fn absent(&mut self) {
        if self.row.is_some() {
            self.data.push(b'\n');
        }
    }

    /// Prints a message of `bpf-map` to stderr, after writing the data.
    pub fn report(&mut self, message: impl Display) -> anyhow::Result<()> {
        self.flush()?;
        match self.line {
            Some(line) => report("bpf-map", format_args!("line {line}: {message}")),
            None => report("bpf-map", message),
        }
        Ok(())
    }
}

/// Parses the arguments. Prints help and version to stdout, and a usage error as one line to
/// stderr. The error is the exit status.
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

/// The first paragraph of the option parser's message, without `error: `, and with quoted arguments
/// escaped.
pub fn one_line(error: &clap::Error) -> String {
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
