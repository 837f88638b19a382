//! `bpf-map batch`: subcommands from a file or a pipe, a line each, in one process.
//!
//! Each line is answered by one line, so that a process can write one line and wait for its answer.
//! Commands that print tables or whole maps print the same as when they are run alone.

use crate::cli::exit::{self, ReaderGone};
use crate::cli::map::arguments;
use crate::cli::map::lines::Lines;
use crate::cli::map::output::PROGRAM;
use crate::cli::map::session::Session;
use anyhow::{anyhow, bail};
use clap::error::ErrorKind;
use clap::{ArgMatches, Command};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Bytes of a line: enough for a value of 1 MiB in any notation.
const LINE: usize = 64 << 20;

pub fn arguments(command: Command) -> Command {
    command.args([
        arguments::input_file(),
        arguments::flag("keep-going", "Do not stop at a line that fails"),
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

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    if session.out.line.is_some() {
        bail!("batch: not possible within a batch");
    }
    let mut lines = Lines::open(args.file, LINE)?;
    let mut batch = Batch { parser: super::command() };
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
        let result = batch.line(line, session);
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

struct Batch {
    parser: Command,
}

impl Batch {
    /// Runs one line; its exit status.
    fn line(&mut self, line: &[u8], session: &mut Session) -> anyhow::Result<u8> {
        if !line.iter().any(|byte| b"'\"\\#\0".contains(byte)) {
            let mut words = line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
            let words = words.by_ref().filter(|word| !word.is_empty()).map(OsStr::from_bytes);
            return self.words(&words.collect::<Vec<_>>(), session);
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
        self.words(&words.iter().map(OsString::as_os_str).collect::<Vec<_>>(), session)
    }

    fn words(&mut self, words: &[&OsStr], session: &mut Session) -> anyhow::Result<u8> {
        if let Some(invocation) = super::parse_short(words) {
            return invocation.run(session);
        }
        let all = std::iter::once(OsStr::new(PROGRAM)).chain(words.iter().copied());
        let matches = match self.parser.try_get_matches_from_mut(all) {
            Ok(matches) => matches,
            Err(error) => {
                let text = error.to_string();
                return match error.kind() {
                    ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                        session.out.many();
                        session.out.data.extend(text.as_bytes());
                        Ok(0)
                    }
                    _ => Err(anyhow!("{}", exit::one_line(&error))),
                };
            }
        };
        if matches.contains_id("bpffs") {
            bail!("--bpffs: not possible within a batch: give it to bpf-map itself");
        }
        let (invocation, row) = super::parse(&matches)?;
        if row.prints_many {
            session.out.many();
        }
        if row.renames {
            session.close_maps();
        }
        invocation.run(session)
    }
}
