//! How an agent starts: what is wrong on its command line, and what it gives up before it serves.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::peers::*;
use nix::errno::Errno;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

#[test]
fn usage_error_is_one_line_and_status_2() {
    let lab = Lab::new();
    let before = lab.files();
    let bad = |option: &str, value: &str, what: &str| {
        (vec![option.to_owned(), value.to_owned()], format!("{option} {value}: {what}"))
    };
    let help = |what: &str| format!("{what} (see bpf-agent --help)");
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let nothing = "nothing to serve: --socket is needed, or a socket from systemd";
    let seconds = "not a number of seconds above 0, at most a year";
    for (options, want) in [
        (vec![], nothing.to_owned()),
        (words("--state /sys/fs/bpf/agent"), nothing.to_owned()),
        (words("-q --allow *:uid=1:all"), nothing.to_owned()),
        (words("--sock a"), help("unexpected argument '--sock' found")),
        (words("--socket a b"), help("unexpected argument 'b' found")),
        (
            words("--socket"),
            help("a value is required for '--socket <PATH>' but none was supplied"),
        ),
        (
            words("--socket a --socket b"),
            help("the argument '--socket <PATH>' cannot be used multiple times"),
        ),
        (words("--socket="), "\"\": bind socket: not a file name".into()),
        (words("--socket a/"), "a/: bind socket: not a file name".into()),
        (words("--socket none/a"), "none/a: bind socket: no such file or directory".into()),
        (words("--import a"), help("unexpected argument '--import' found")),
        (words("--socket a --state b"), "b: open state: not on a bpf file system".into()),
        bad("--socket-mode", "888", "not an octal mode up to 0777"),
        bad("--socket-mode", "1000", "not an octal mode up to 0777"),
        bad("--max-clients", "0", "not a number from 1 to 1048576"),
        bad("--max-clients", "-1", "not a number from 1 to 1048576"),
        bad("--max-clients", "1048577", "not a number from 1 to 1048576"),
        bad("--max-objects", "+1", "not a number from 1 to 16777216"),
        bad("--max-objects", "99999999999999999999", "not a number from 1 to 16777216"),
        bad("--max-in-flight", "0x10", "not a number from 1 to 1048576"),
        bad("--max-request", "63", "not a number from 64 to 131072"),
        bad("--max-request", "131073", "not a number from 64 to 131072"),
        bad("--client-timeout", "0", seconds),
        bad("--client-timeout", "-1", seconds),
        bad("--client-timeout", "nan", seconds),
        bad("--client-timeout", "inf", seconds),
        bad("--client-timeout", "1e9", seconds),
        bad("--client-timeout", "1s", seconds),
    ] {
        fails(&mut lab.agent(&options), 2, &format!("bpf-agent: {want}"));
        assert_eq!(lab.files(), before, "{options:?}");
    }
}

#[test]
fn check_reports_each_error_and_opens_nothing() {
    let lab = Lab::new();
    let write = |text: &str| std::fs::write(lab.path("rules"), text).unwrap();
    write("# empty\n");
    let before = lab.files();
    let words = ["--check", "--rules", "rules", "--socket", "agent", "--state", "/sys/fs/bpf/new"];
    let check = |more: &[&str]| lab.agent([&words[..], more].concat());
    // Nothing is served, and an agent may run.
    assert_eq!(stdout_of(&mut lab.agent(["--check"])), "");
    assert_eq!(stdout_of(&mut check(&["--allow", "*:uid=1:all"])), "");
    let (first, last) = ("rules: line 2: \"steal\"", "rules: line 4: \"\"");
    let known = "not one of list, read, write, put, remove, all";
    write("a:uid=1:read\nb:uid=1:steal\n\nc:uid=1:\n");
    let both = format!("bpf-agent: {first}: {known}\nbpf-agent: {last}: {known}");
    fails(&mut check(&[]), 2, &both);
    // The agent does not start with them either, and reports the same.
    fails(&mut lab.agent(&words[1..]), 2, &both);
    let more = ["--max-clients", "0", "--allow", "x", "--client-timeout", "0"];
    let errors = [
        "--allow x: not of the form GLOB:uid=N:PERMISSIONS or GLOB:gid=N:PERMISSIONS",
        "--max-clients 0: not a number from 1 to 1048576",
        "--client-timeout 0: not a number of seconds above 0, at most a year",
    ];
    let errors = errors.map(|error| format!("bpf-agent: {error}")).join("\n");
    fails(&mut check(&more), 2, &format!("{errors}\n{both}"));
    write("");
    let long = "x".repeat(108);
    for (path, why) in [
        ("", "\"\": bind socket: not a file name"),
        ("dir/", "dir/: bind socket: not a file name"),
        (&long, &format!("{long}: bind socket: 108 bytes: a socket path has at most 107")),
    ] {
        fails(&mut lab.agent(["--check", "--socket", path]), 2, &format!("bpf-agent: {why}"));
    }
    std::fs::remove_file(lab.path("rules")).unwrap();
    fails(&mut check(&[]), 2, "bpf-agent: rules: read rules: no such file or directory");
    std::fs::write(lab.path("rules"), "").unwrap();
    assert_eq!(lab.files(), before);
}

#[test]
fn help_and_version_are_data() {
    let lab = Lab::new();
    let help = stdout_of(&mut lab.agent(["--help"]));
    assert!(
        help.starts_with(
            "Hold BPF objects, and hand out their file descriptors\n\nUsage: bpf-agent"
        )
    );
    for option in ["--socket", "--state", "--allow", "--rules", "--max-in-flight"] {
        assert!(help.contains(option), "{option}");
    }
    let version = stdout_of(&mut lab.agent(["--version"]));
    assert_eq!(version, format!("bpf-agent {}\n", env!("CARGO_PKG_VERSION")));
}

/// A field of a process's status.
fn status(pid: u32, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
    value.unwrap_or_else(|| panic!("{field} in {text}")).to_owned()
}

#[test]
fn agent_drops_unneeded_privileges() {
    let lab = Lab::new();
    let state = format!("{BPFFS}/agent");
    const NONE: u64 = 0;
    const SYS_ADMIN: u64 = 1 << 21;
    for (options, want) in [(&["--state", &state][..], NONE), (&[], SYS_ADMIN)] {
        let (agent, _) = serve_all(&lab, options, &[]);
        let set = |name| u64::from_str_radix(&status(agent.pid(), name), 16).expect("bits");
        for (name, want) in
            [("CapEff", want), ("CapPrm", want), ("CapBnd", want), ("CapInh", 0), ("CapAmb", 0)]
        {
            assert_eq!(set(name), want, "{options:?} {name}");
        }
        assert_eq!(status(agent.pid(), "NoNewPrivs"), "1");
        assert_eq!(agent.stop().status, 0);
    }
}

#[test]
fn agent_raises_its_limit_on_open_files() {
    let lab = Lab::new();
    let start = child::Start { open_files: Some((64, 4096)), ..Default::default() };
    let mut agent = Agent::spawn_with(&start, &mut lab.agent(["--socket", "agent"]));
    agent.line("serves on");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", agent.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["4096", "4096"]);
}

/// Returns the result of pidfd_getfd(2) for fd 0 of a process, called by this user.
fn take_from(pid: u32, uid: u32) -> Result<(), Errno> {
    let thread = std::thread::spawn(move || {
        // SAFETY: no pointers; the calls themselves change the user of this thread alone.
        let results = unsafe {
            assert_eq!(libc::syscall(libc::SYS_setresgid, uid, uid, uid), 0);
            assert_eq!(libc::syscall(libc::SYS_setresuid, uid, uid, uid), 0);
            let process = libc::syscall(libc::SYS_pidfd_open, pid, 0);
            let process = OwnedFd::from_raw_fd(Errno::result(process)? as i32);
            use std::os::fd::AsRawFd;
            libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), 0, 0)
        };
        // SAFETY: the kernel has just made it for us.
        Errno::result(results).map(|fd| drop(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    });
    thread.join().expect("an answer")
}

#[test]
fn same_user_cannot_copy_fds_of_an_agent() {
    let lab = Lab::new();
    let user = ["setpriv", "--reuid=1001", "--regid=1001", "--clear-groups"];
    let program = lab.reachable("bpf-agent");
    let mut agent =
        Agent::spawn(&mut wrapped(&user, &lab.program(&program, ["--socket", "agent"])));
    agent.line("serves on");
    let client = Client::connect(&lab.path("agent"));
    done(client.put("hits", new_map("taken").as_fd()));
    // Out of another process of the same user they can be taken.
    let mut other = Command::new(user[0]);
    let mut other = other.args(&user[1..]).arg("cat").stdin(Stdio::piped()).spawn().unwrap();
    let comm = format!("/proc/{}/comm", other.id());
    eventually("cat", || std::fs::read_to_string(&comm).unwrap() == "cat\n");
    assert_eq!(take_from(other.id(), 1001), Ok(()));
    drop(other.stdin.take());
    other.wait().unwrap();
    assert_eq!(take_from(agent.pid(), 1001), Err(Errno::EPERM));
    // Root owns its files in /proc, as those of every process that is not dumpable.
    let fds = std::fs::metadata(format!("/proc/{}/fd", agent.pid())).unwrap();
    assert_eq!((fds.uid(), fds.mode() & 0o777), (0, 0o500));
    assert_eq!(client.list().len(), 1);
}

#[test]
fn inherited_fds_that_are_not_served_are_closed() {
    let lab = Lab::new();
    let map = crate::common::fds::new_map("left");
    let start = crate::common::child::Start {
        given: vec![std::os::fd::AsRawFd::as_raw_fd(&map)],
        ..Default::default()
    };
    let mut agent = Agent::spawn_with(&start, &mut lab.agent(["--socket", "agent"]));
    agent.line("serves on");
    let links = std::fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap();
    let links: Vec<_> = links.filter_map(|fd| fd.ok()?.path().read_link().ok()).collect();
    assert!(!links.iter().any(|link| link.to_string_lossy().contains("bpf-map")), "{links:?}");
}
