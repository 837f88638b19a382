//! `bpf-map trace`: follows the trace pipe of the kernel, to which BPF programs print.

use crate::cli::exit::ReaderGone;
use crate::cli::map::arguments;
use crate::cli::map::session::Session;
use crate::error::Error;
use crate::output::trace;
use anyhow::{Context, bail};
use bpf_inherit::Errno;
use clap::{Arg, ArgMatches, Command, value_parser};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{ErrorKind, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::thread::JoinHandle;

/// The bytes that are read at a time.
const BUFFER: usize = 1 << 16;

pub fn arguments(command: Command) -> Command {
    command.args([
        arguments::flag("jsonl", "Print a JSON object per line"),
        Arg::new("count")
            .long("count")
            .short('n')
            .value_name("N")
            .help("End after N lines")
            .value_parser(value_parser!(u64).range(1..)),
    ])
}

#[derive(Debug, PartialEq)]
pub struct Args {
    jsonl: bool,
    count: Option<u64>,
}

impl Args {
    pub fn new(matches: &ArgMatches) -> Args {
        Args { jsonl: matches.get_flag("jsonl"), count: matches.get_one("count").copied() }
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let path = find_pipe()?;
    let label = path.as_os_str().as_bytes();
    let pipe = File::open(&path).map_err(|error| Error::new(label, "open", error))?;
    let (input, reader) = spawn_reader(pipe)?;
    let mut lines = TraceLines { input, unread: Vec::new() };
    let mut left = args.count;
    while left != Some(0) {
        let Some(line) = lines.next(session)? else {
            // A panic of the thread has been reported already.
            if let Ok(Err(error)) = reader.join() {
                return Err(Error::new(label, "read", error).into());
            }
            break;
        };
        match args.jsonl {
            true => trace::print_json(&line, &mut session.out.data),
            false => trace::print_line(&line, &mut session.out.data),
        }
        left = left.map(|left| left - 1);
    }
    Ok(0)
}

/// The trace pipe in the first mounted tracefs, which may be below a debugfs.
fn find_pipe() -> anyhow::Result<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts: read")?;
    let of_type = |wanted: &str| {
        let mut mounts = mounts.lines().map(|line| line.split(' '));
        mounts.find_map(|mut words| {
            let (path, fs_type) = (words.nth(1)?, words.next()?);
            (fs_type == wanted).then(|| PathBuf::from(path))
        })
    };
    let below_debugfs = || of_type("debugfs").map(|path| path.join("tracing"));
    let pipe = of_type("tracefs").or_else(below_debugfs).map(|path| path.join("trace_pipe"));
    match pipe {
        Some(pipe) => Ok(pipe),
        None => {
            bail!("trace: no tracefs is mounted (mount -t tracefs tracefs /sys/kernel/tracing)")
        }
    }
}

/// Reads the trace pipe on another thread: a read waits for the next line, whereas poll(2) waits until
/// half of the kernel's buffer is full. The thread ends with the process.
fn spawn_reader(mut pipe: File) -> anyhow::Result<(PipeReader, JoinHandle<std::io::Result<()>>)> {
    let (output, mut input) = std::io::pipe().context("pipe")?;
    let copy = move || {
        let mut buffer = vec![0; BUFFER];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => input.write_all(&buffer[..read])?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    };
    let reader = std::thread::Builder::new().spawn(copy).context("start a thread")?;
    Ok((output, reader))
}

/// The lines of the trace pipe.
struct TraceLines {
    input: PipeReader,
    unread: Vec<u8>,
}

impl TraceLines {
    /// The next line; None at the end. [`ReaderGone`] when no process reads stdout any more.
    fn next(&mut self, session: &mut Session) -> anyhow::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let rest = self.unread.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.unread, rest);
                line.pop();
                return Ok(Some(line));
            }
            session.out.flush()?;
            self.wait()?;
            // Not on the stack: the frame of this command is part of the frame of every command, whose
            // start would touch all its pages.
            let mut buffer = vec![0; BUFFER];
            match self.input.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(read) => self.unread.extend(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::new("trace", "read", error).into()),
            }
        }
    }

    fn wait(&self) -> anyhow::Result<()> {
        let stdout = std::io::stdout();
        // poll(2) reports errors and hang-ups without a request.
        let mut fds = [
            PollFd::new(self.input.as_fd(), PollFlags::POLLIN),
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) if fds[1].any() == Some(true) => Err(ReaderGone.into()),
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(Error::new("trace", "wait", errno).into()),
        }
    }
}
