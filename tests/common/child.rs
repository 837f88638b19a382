//! How a command is started, in every detail, and its state in /proc while it runs.

use super::Run;
use super::open_fds::OpenFds;
use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// What a command finds when it starts. Apart from this, and from the standard
/// streams, no descriptor reaches it.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Numbers on which /dev/null is open.
    pub open: Vec<RawFd>,
    /// Fds of the test that the child inherits at 3 and onwards.
    pub given: Vec<RawFd>,
    /// Numbers that are closed: for the standard streams.
    pub closed: Vec<RawFd>,
    /// The soft and the hard limit on open files.
    pub open_files: Option<(u64, u64)>,
    pub ignored: Vec<Signal>,
    pub blocked: Vec<Signal>,
    /// The whole environment, entry by entry, in place of the command's own.
    pub environment: Option<Vec<CString>>,
}

impl Start {
    /// Makes `command` start so. Its program must be a path.
    pub fn apply<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let start = self.clone();
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words = words.map(|word| CString::new(word.as_bytes()).expect("no NUL")).collect();
        let words = Strings::new(words);
        let environment = self.environment.clone().map(Strings::new);
        let mut given = self.given.clone();
        let prepare = move || -> std::io::Result<()> {
            close_on_exec()?;
            give(&mut given)?;
            start.open.iter().try_for_each(|&number| open_null(number))?;
            for &number in &start.closed {
                nix::unistd::close(number)?;
            }
            if let Some((soft, hard)) = start.open_files {
                setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?;
            }
            for &number in &start.ignored {
                // SAFETY: no handler of this process is installed.
                unsafe { signal(number, SigHandler::SigIgn) }?;
            }
            start.blocked.iter().copied().collect::<SigSet>().thread_set_mask()?;
            match &environment {
                Some(environment) => Err(words.execute(environment)),
                None => Ok(()),
            }
        };
        // SAFETY: nothing but system calls, with memory that was set aside before.
        unsafe { command.pre_exec(prepare) }
    }
}

/// Marks every descriptor but the standard streams: between fork and exec.
pub fn close_on_exec() -> std::io::Result<()> {
    // SAFETY: no pointers, and nothing is closed.
    let marked =
        unsafe { libc::close_range(3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) };
    Ok(Errno::result(marked).map(drop)?)
}

/// Puts descriptors at 3 and onwards; first out of each other's way.
fn give(fds: &mut [RawFd]) -> std::io::Result<()> {
    let end = 3 + fds.len() as RawFd;
    for fd in fds.iter_mut() {
        // SAFETY: no pointers; between fork and exec no descriptor has an owner.
        *fd = Errno::result(unsafe { libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, end) })?;
    }
    for (number, &fd) in (3..).zip(fds.iter()) {
        // SAFETY: as above.
        Errno::result(unsafe { libc::dup2(fd, number) })?;
    }
    Ok(())
}

fn open_null(number: RawFd) -> std::io::Result<()> {
    // SAFETY: a string that ends with a NUL.
    let null = Errno::result(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) })?;
    if null != number {
        // SAFETY: no pointers; between fork and exec no descriptor has an owner.
        Errno::result(unsafe { libc::dup2(null, number) })?;
        nix::unistd::close(null)?;
    }
    Ok(())
}

/// Strings, and the pointers to them that execve(2) takes, ended by a null pointer.
struct Strings {
    pointers: Vec<*const libc::c_char>,
    /// Keeps the strings of the pointers alive.
    _strings: Vec<CString>,
}

// SAFETY: the pointers refer to the strings beside them, which do not change.
unsafe impl Send for Strings {}
// SAFETY: as above.
unsafe impl Sync for Strings {}

impl Strings {
    fn new(strings: Vec<CString>) -> Strings {
        let end = std::iter::once(std::ptr::null());
        let pointers = strings.iter().map(|s| s.as_ptr()).chain(end).collect();
        Strings { pointers, _strings: strings }
    }

    /// Becomes the command that these words are; returns only on failure.
    fn execute(&self, environment: &Strings) -> std::io::Error {
        let (words, environment) = (&self.pointers, &environment.pointers);
        // SAFETY: lists of strings, each ended by a null pointer.
        unsafe { libc::execve(words[0], words.as_ptr(), environment.as_ptr()) };
        std::io::Error::last_os_error()
    }
}

/// A command that has been executed, and runs until the test ends it.
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts `command`, which is to become cat(1), and waits until that answers.
    #[track_caller]
    pub fn cat(start: &Start, command: &mut Command) -> Running {
        start.apply(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("started");
        // If the command has failed no process reads the pipe: its messages are reported below.
        let _ = child.stdin.as_mut().expect("a pipe").write_all(b"\n");
        let mut answer = [0];
        let answered = child.stdout.as_mut().expect("a pipe").read_exact(&mut answer);
        let running = Running { child };
        match answered {
            Ok(()) => running,
            Err(_) => panic!("{command:?}: {:?}", running.end()),
        }
    }

    /// Starts `command` with its streams as they are, and waits until it has become
    /// `program`, and sleeps: while it is loaded it opens files of its own.
    #[track_caller]
    pub fn until(start: &Start, command: &mut Command, program: &str) -> Running {
        start.apply(command);
        let mut child = command.spawn().expect("started");
        let status = format!("/proc/{}/status", child.id());
        super::eventually("execution", || {
            assert_eq!(child.try_wait().expect("a child"), None, "{command:?}");
            let status = std::fs::read(&status).unwrap_or_default();
            field_of(&status, "Name") == program && field_of(&status, "State").starts_with('S')
        });
        Running { child }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(format!("/proc/{}/{file}", self.pid())).expect("a process")
    }

    pub fn fds(&self) -> OpenFds {
        OpenFds::of(self.pid())
    }

    /// A field of the fdinfo of one of its descriptors.
    pub fn fdinfo(&self, number: RawFd, field: &str) -> String {
        field_of(&self.read(&format!("fdinfo/{number}")), field)
    }

    /// Its environment at its start, entry by entry, in bytes.
    pub fn environment(&self) -> Vec<Vec<u8>> {
        let all = self.read("environ");
        all.split_inclusive(|&b| b == 0).map(|entry| entry[..entry.len() - 1].to_vec()).collect()
    }

    /// The entries of its environment that are part of the contract, without the ids.
    pub fn contract(&self) -> Vec<String> {
        let entries = self.environment().into_iter();
        let entries = entries.map(|entry| String::from_utf8_lossy(&entry).into_owned());
        entries.filter(|entry| super::is_contract(entry)).collect()
    }

    /// A field of its status.
    pub fn status(&self, field: &str) -> String {
        field_of(&self.read("status"), field)
    }

    /// The soft and the hard limit on open files.
    pub fn open_files(&self) -> (u64, u64) {
        let limits = String::from_utf8(self.read("limits")).expect("UTF-8");
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        let mut words = line.expect("a limit").split_whitespace().map(str::parse);
        let mut next = || words.next().expect("a number").expect("a number");
        (next(), next())
    }

    /// Lets cat(1) end, and waits for it.
    pub fn end(mut self) -> Run {
        drop(self.child.stdin.take());
        Run::from(self.child.wait_with_output().expect("an end"))
    }

    /// Ends anything else.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("an end");
    }
}

fn field_of(text: &[u8], field: &str) -> String {
    let text = String::from_utf8_lossy(text);
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("{field} in {text}")).trim().to_owned()
}
