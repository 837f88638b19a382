//! Shared by all tests: a mount namespace and a BPF file system for each test, the built binaries,
//! Debian's bpftool, and a count of leaked files.
//!
//! Nothing here imitates the kernel. Needs root; `scripts/test` checks that first.

// Each test binary uses a part of it.
#![allow(dead_code)]

pub mod agent;
pub mod child;
pub mod elf;
pub mod fds;
pub mod features;
pub mod fuse;
pub mod open_fds;
pub mod receiver;
pub mod sender;
pub mod traced;
pub mod waiting;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::collections::BTreeSet;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Where every lab has its bpf file system.
pub const BPFFS: &str = "/sys/fs/bpf";

/// What to put before a command that a user without privileges is to run.
pub const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// A test's own surroundings. The mount namespace belongs to the test's thread,
/// and ends with it, and so does every pin.
pub struct Lab {
    /// A directory for sockets and files, world-accessible.
    pub dir: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// The exit status; 128 and the signal's number where a signal ended it.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Lab {
    pub fn new() -> Lab {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace (are you root?)");
        let (none, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
        mount(none, "/", none, private, none).expect("private mounts");
        mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), none).expect("a bpf file system");
        let dir = tempfile::tempdir().expect("a temporary directory");
        make_accessible(dir.path());
        Lab { dir }
    }

    /// The path of a file in the lab's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `bpf-exec` with arguments, and with nothing of the contract in its environment.
    pub fn exec<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        self.command(&binary("bpf-exec"), arguments)
    }

    /// `bpf-map` with arguments.
    pub fn map<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        self.command(&binary("bpf-map"), arguments)
    }

    /// `bpf-agent` with arguments.
    pub fn agent<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        self.command(&binary("bpf-agent"), arguments)
    }

    /// Any program, with ours to be found on its PATH.
    pub fn program<S: AsRef<OsStr>>(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        self.command(Path::new(program), arguments)
    }

    fn command<S: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = started_alone(program);
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["BPF_", "TC_BPF", "SUDO_", "LISTEN_", "NOTIFY_SOCKET"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
            {
                command.env_remove(name);
            }
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let ours = binary("bpf-exec").parent().expect("a directory").to_owned();
        let all = std::iter::once(ours).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(all).expect("a search path"));
        command
    }

    /// Makes an array of u32 to u64 with `entries` slots, pinned at `name` below the root, by bpftool.
    pub fn array(&self, name: &str, entries: u32) -> PathBuf {
        let pin = Path::new(BPFFS).join(name);
        let kernel_name: String =
            pin.file_name().expect("a name").to_string_lossy().chars().take(15).collect();
        let entries = entries.to_string();
        bpftool(&[
            "map",
            "create",
            pin.to_str().expect("UTF-8"),
            "type",
            "array",
            "key",
            "4",
            "value",
            "8",
            "entries",
            &entries,
            "name",
            &kernel_name,
        ]);
        pin
    }

    /// Makes a hash of u32 to u64 with the one key 1, whose value is 42, pinned at
    /// `name` below the root, by bpftool.
    pub fn hash(&self, name: &str) -> PathBuf {
        let pin = Path::new(BPFFS).join(name);
        let path = pin.to_str().expect("UTF-8");
        let words = "type hash key 4 value 8 entries 4 name";
        let mut create = vec!["map", "create", path];
        create.extend(words.split(' '));
        create.push(pin.file_name().and_then(OsStr::to_str).expect("UTF-8"));
        bpftool(&create);
        let words = "key 1 0 0 0 value 42 0 0 0 0 0 0 0";
        let mut update = vec!["map", "update", "pinned", path];
        update.extend(words.split(' '));
        bpftool(&update);
        pin
    }

    /// The path of a built binary that every user can reach, wherever the build is.
    pub fn reachable(&self, name: &str) -> String {
        let example = binary(name).parent() != binary("bpf-exec").parent();
        // The kernel removes it with the mount namespace.
        let (here, none) = (Path::new("/mnt"), None::<&str>);
        if !here.join("bpf-exec").exists() {
            let built = binary("bpf-exec");
            mount(built.parent(), here, none, MsFlags::MS_BIND, none).expect("a bind mount");
        }
        if example { format!("/mnt/examples/{name}") } else { format!("/mnt/{name}") }
    }

    /// Every file below the bpf file system and the lab's directory, to be compared later.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut visit = vec![PathBuf::from(BPFFS), self.dir.path().to_owned()];
        while let Some(directory) = visit.pop() {
            for entry in directory.read_dir().expect("a directory").flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    visit.push(entry.path());
                }
                found.insert(entry.path());
            }
        }
        found
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Matters where one thread runs several tests.
        let _ = nix::mount::umount2(BPFFS, nix::mount::MntFlags::MNT_DETACH);
    }
}

/// Lets other users reach a directory that tempfile made for us alone.
pub fn make_accessible(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("chmod");
}

/// The path of a built binary.
pub fn binary(name: &str) -> PathBuf {
    match name {
        "bpf-exec" => env!("CARGO_BIN_EXE_bpf-exec").into(),
        "bpf-map" => env!("CARGO_BIN_EXE_bpf-map").into(),
        "bpf-agent" => env!("CARGO_BIN_EXE_bpf-agent").into(),
        // Examples have no variable of their own; they are built beside the binaries.
        example => {
            let path = Path::new(env!("CARGO_BIN_EXE_bpf-exec")).with_file_name("examples");
            let path = path.join(example);
            // `cargo test` builds them, `cargo test --test NAME` does not.
            assert!(path.exists(), "{example} is not built: cargo build --examples");
            path
        }
    }
}

/// The path of a file under tests/fixtures.
pub fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// `command` as the arguments of another, such as `setpriv`, `prlimit` or `sh -c`.
pub fn wrapped<S: AsRef<OsStr>>(wrapper: &[S], command: &Command) -> Command {
    let mut outer = started_alone(&wrapper[0]);
    outer.args(&wrapper[1..]).arg(command.get_program()).args(command.get_args());
    outer.current_dir(command.get_current_dir().expect("a directory")).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// `command`, executed by a shell after it has done `preparation`.
pub fn after(preparation: &str, command: &Command) -> Command {
    wrapped(&["sh", "-c", &format!("{preparation}; exec \"$@\""), "sh"], command)
}

/// A command that inherits no fds but the standard streams: another test in this process may
/// have one open, for a moment, that is not close-on-exec.
fn started_alone(program: impl AsRef<OsStr>) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    // SAFETY: a system call without pointers.
    unsafe { command.pre_exec(child::close_on_exec) };
    command
}

/// Has a command end by the signals that end a program: below nohup(1), or in the background of
/// a script, the tests ignore some of them, and so would the command.
pub fn with_default_signals(command: &mut Command) -> &mut Command {
    use std::os::unix::process::CommandExt;
    // SAFETY: signal(2) may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        })
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    Run::from(output)
}

/// Runs a command that must succeed with nothing on stderr; returns its stdout.
pub fn stdout_of(command: &mut Command) -> String {
    let run = run(command);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{command:?}\n{}", run.stdout);
    run.stdout
}

/// Runs a command that must fail with this status, this one line on stderr, and nothing on stdout.
#[track_caller]
pub fn fails(command: &mut Command, status: i32, stderr: &str) {
    let want = Run { status, stdout: String::new(), stderr: format!("{stderr}\n") };
    assert_eq!(run(command), want, "{command:?}");
}

impl From<Output> for Run {
    fn from(output: Output) -> Run {
        use std::os::unix::process::ExitStatusExt;
        let signal = output.status.signal().map(|signal| 128 + signal);
        Run {
            status: output.status.code().or(signal).expect("an end"),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Debian's bpftool, which must succeed; returns its stdout.
pub fn bpftool<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    let arguments: Vec<OsString> = arguments.iter().map(|a| a.as_ref().into()).collect();
    let run = run(Command::new("bpftool").args(&arguments));
    assert_eq!(run.status, 0, "bpftool {arguments:?}: {}{}", run.stdout, run.stderr);
    run.stdout
}

/// A name for the kernel that no other test uses.
pub fn unique(stem: &str) -> String {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{stem}_{:x}_{count}", std::process::id())
}

/// The id of a pinned map, as bpftool prints it.
pub fn map_id(pin: &Path) -> u32 {
    let json = bpftool(&[
        OsStr::new("-j"),
        "map".as_ref(),
        "show".as_ref(),
        "pinned".as_ref(),
        pin.as_ref(),
    ]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    json["id"].as_u64().expect("an id") as u32
}

/// A descriptor of the pinned object, by bpf(2) itself: BPF_OBJ_GET is 7.
pub fn open_pin(pin: &Path) -> OwnedFd {
    open_pin_with(pin, 0)
}

/// Likewise, with `BPF_F_RDONLY` (8), `BPF_F_WRONLY` (16) or neither.
pub fn open_pin_with(pin: &Path, file_flags: u32) -> OwnedFd {
    #[repr(C)]
    struct Attr {
        pathname: u64,
        bpf_fd: u32,
        file_flags: u32,
    }
    let path = CString::new(pin.as_os_str().as_bytes()).expect("no NUL");
    let attr = Attr { pathname: path.as_ptr() as u64, bpf_fd: 0, file_flags };
    // SAFETY: attr refers to a string that outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, 7, &raw const attr, size_of::<Attr>()) };
    assert!(fd >= 0, "{}: {}", pin.display(), std::io::Error::last_os_error());
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// Whether the kernel still has a map of this id.
pub fn map_exists(id: u32) -> bool {
    let id = id.to_string();
    Command::new("bpftool")
        .args(["map", "show", "id", &id])
        .output()
        .expect("bpftool")
        .status
        .success()
}

/// After this time, a test fails instead of hanging: long enough for an emulated or busy machine.
pub const HANG: Duration = Duration::from_secs(60);

/// Waits until `condition` holds: for actions of the kernel that it delays and does not
/// announce, such as freeing a map. Fails after a minute.
#[track_caller]
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within_a_minute(condition), "{what} did not come about");
}

pub fn holds_within_a_minute(mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + HANG;
    while !condition() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

/// The value of a variable in the output of env(1).
pub fn variable<'a>(environment: &'a str, name: &str) -> Option<&'a str> {
    environment.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

/// The lines of env(1) that are part of the contract, without the ids, which differ from run
/// to run: tests/exec/reuse.rs is about those.
pub fn contract(environment: &str) -> Vec<&str> {
    environment.lines().filter(|line| is_contract(line)).collect()
}

/// Whether a variable is part of the contract, and not an id.
pub fn is_contract(entry: &str) -> bool {
    let name = entry.split('=').next().unwrap_or_default();
    name.starts_with("BPF_") && !name.ends_with("_ID")
}
