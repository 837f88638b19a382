//! `bpf-map pins`: everything in a BPF file system, and what may be wrong with it.

use crate::bpffs::findings;
use crate::bpffs::survey::{self, File, FileContent};
use crate::bpffs::walk::{TOO_DEEP, check_bpffs};
use crate::cli::exit::FAILED;
use crate::cli::map::arguments;
use crate::cli::map::output::{warn, warn_if_incomplete};
use crate::cli::map::session::Session;
use crate::error::Error;
use crate::output::pins;
use crate::text::escape;
use bpf_inherit::{Errno, describe};
use clap::{ArgMatches, Command, ValueHint};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const OPERATION: &str = "read directory";

pub fn arguments(command: Command) -> Command {
    let help = "A directory of a bpf file system [default: the bpffs root]";
    let directory = arguments::positional("DIR", help).required(false);
    command.arg(directory.value_hint(ValueHint::DirPath)).args([
        arguments::flag("json", "Print JSON"),
        arguments::flag("check", "Print possible mistakes instead, one on each line")
            .conflicts_with("json"),
    ])
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    directory: Option<&'a Path>,
    json: bool,
    check: bool,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> Args<'a> {
        let directory = arguments::optional(matches, "DIR").map(Path::new);
        Args { directory, json: matches.get_flag("json"), check: matches.get_flag("check") }
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let root = args.directory.unwrap_or(&session.bpffs);
    check_bpffs(root, &session.bpffs)?;
    let fail = |errno: Errno| Error::new(root.as_os_str().as_bytes(), OPERATION, errno);
    let files = survey::all(root).map_err(fail)?;
    let missing: Vec<String> = files.iter().filter_map(why_incomplete).collect();
    let status = warn_if_incomplete(&missing);
    if !args.check {
        session.out.data.extend(match args.json {
            true => pins::json(&files),
            false => pins::table(&files).into_bytes(),
        });
        return Ok(status);
    }
    let programs = match findings::programs() {
        Err(Errno::EPERM) => {
            warn("pins: which maps programs use is unknown: CAP_SYS_ADMIN is needed");
            None
        }
        programs => Some(programs.map_err(|errno| Error::new("pins", "list programs", errno))?),
    };
    let found = findings::all(&files, programs.as_ref());
    for (file, finding) in &found {
        let path = escape(file.path.as_os_str().as_bytes());
        session.out.data.extend(format!("{path}: {finding}\n").into_bytes());
    }
    Ok(match (status, programs, found.is_empty()) {
        (0, Some(_), empty) => u8::from(!empty),
        _ => FAILED,
    })
}

/// Why files below a directory are missing, if they are.
fn why_incomplete(file: &File) -> Option<String> {
    let path = escape(file.path.as_os_str().as_bytes());
    match &file.content {
        FileContent::Unread(errno) => Some(format!("{path}: {OPERATION}: {}", describe(*errno))),
        FileContent::TooDeep => Some(format!("{path}: {}", TOO_DEEP)),
        _ => None,
    }
}
