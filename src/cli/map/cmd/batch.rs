//! `bpf-map batch`: subcommands from a file or a pipe, a line each, in one process.
//!
//! Each line is answered by one line, so that a process can write one line and wait for its answer.
//! Commands that print tables or whole maps print the same as when they are run alone.

use crate::cli::exit::{self, ReaderGone};
use crate::cli::map::arguments;
use crate::cli::map::lines::Lines;
use crate::cli::map::session::Session;
use anyhow::{anyhow, bail};
use clap::{ArgMatches, Command};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Bytes of a line: enough for a value of 1 MiB in any notation.
const LINE: usize = 64 << 20;

pub fn arguments(command: Command) -> Command {
    command.args([
        arguments::input_file(),
        arguments::flag("keep-going", "Continue after a line that fails"),
    ])
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    file: Option<&'a OsStr>,
    keep_going: bool,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> Args<'a> {
        let keep_going = matches.get_flag("keep-going");
        Args { file: arguments::optional(matches, "FILE"), keep_going }
    }
}

/// Calls `run_words` with the words of each line.
pub fn run(
    args: Args,
    session: &mut Session,
    mut run_words: impl FnMut(&[&OsStr], &mut Session) -> anyhow::Result<u8>,
) -> anyhow::Result<u8> {
    if session.out.line.is_some() {
        bail!("batch: not possible within a batch");
    }
    let mut lines = Lines::open(args.file, LINE)?;
    session.keep_maps();
    let mut worst = 0;
    loop {
        // The process that writes the lines may wait for this answer before it writes another.
        if !lines.is_ready() {
            session.out.flush()?;
        }
        let Some((number, line)) = lines.next()? else { break };
        if is_blank(line) {
            continue;
        }
        session.out.line = Some(number);
        session.out.begin_row();
        let result = run_line(line, session, &mut run_words);
        session.out.end_row();
        let status = match result {
            Ok(status) => status,
            Err(error) if error.is::<ReaderGone>() => return Err(error),
            Err(error) => {
                session.out.report(format_args!("{error:#}"))?;
                exit::FAILED
            }
        };
        session.out.spill()?;
        worst = worst.max(status);
        if status == exit::FAILED && !args.keep_going {
            break;
        }
    }
    session.out.line = None;
    Ok(worst)
}

/// Whether a line has nothing to be run: it is empty, or a comment.
fn is_blank(line: &[u8]) -> bool {
    matches!(line.trim_ascii_start().first(), None | Some(b'#'))
}

/// Splits a line into words as a shell does, and calls `run` with them.
fn run_line(
    line: &[u8],
    session: &mut Session,
    mut run: impl FnMut(&[&OsStr], &mut Session) -> anyhow::Result<u8>,
) -> anyhow::Result<u8> {
    if !line.iter().any(|byte| b"'\"\\#\0".contains(byte)) {
        let words = line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        let words = words.filter(|word| !word.is_empty()).map(OsStr::from_bytes);
        return run(&words.collect::<Vec<_>>(), session);
    }
    if line.contains(&0) {
        bail!("a NUL byte");
    }
    let words: Option<Vec<Vec<u8>>> = {
        let mut split = shlex::bytes::Shlex::new(line);
        let words = split.by_ref().collect();
        (!split.had_error).then_some(words)
    };
    let words = words.ok_or_else(|| anyhow!("a quote or a backslash without its end"))?;
    let words: Vec<OsString> = words.into_iter().map(OsString::from_vec).collect();
    run(&words.iter().map(OsString::as_os_str).collect::<Vec<_>>(), session)
}
