//! The agent's sockets as files: who finds them, what they replace, and when they go.

use crate::common::agent::*;
use crate::common::fds::new_map;
use crate::common::*;
use crate::support::peers::*;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::fs::{symlink_metadata, write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

fn mode_of(path: &Path) -> u32 {
    symlink_metadata(path).expect("a file").permissions().mode() & 0o7777
}

/// Checks that an agent answers at the path.
#[track_caller]
fn serves(path: &Path) {
    assert_eq!(Client::connect(path).put("map", new_map("map").as_fd()).reason, "");
}

#[test]
fn second_agent_of_a_path_fails() {
    let lab = Lab::new();
    let empty = lab.files();
    let mut first = Agent::start(&mut lab.agent(["--socket", "agent"]));
    let before = lab.files();
    let mut second = lab.agent(["--state", "/sys/fs/bpf/second", "--socket", "agent"]);
    fails(&mut second, 2, "bpf-agent: agent: bind socket: a live socket is bound there");
    std::fs::remove_dir("/sys/fs/bpf/second").unwrap();
    assert_eq!(lab.files(), before);
    serves(&lab.path("agent"));
    first.line("put \"map\"");
    assert_eq!(first.stop().status, 0);
    assert_eq!(lab.files(), empty);
}

#[test]
fn stale_socket_is_replaced_and_other_files_are_not() {
    let lab = Lab::new();
    let empty = lab.files();
    let arguments = ["--socket", "agent"];
    Agent::start(&mut lab.agent(arguments)).kill();
    assert!(symlink_metadata(lab.path("agent")).unwrap().file_type().is_socket());
    let agent = Agent::start(&mut lab.agent(arguments));
    serves(&lab.path("agent"));
    agent.stop();
    assert_eq!(lab.files(), empty);

    write(lab.path("file"), "text").unwrap();
    symlink(lab.path("elsewhere"), lab.path("link")).unwrap();
    std::fs::create_dir(lab.path("dir")).unwrap();
    let before = lab.files();
    for path in ["file", "link", "dir"] {
        let line = format!("bpf-agent: {path}: bind socket: exists, and is not a socket");
        fails(&mut lab.agent(["--socket", path]), 2, &line);
        assert_eq!(lab.files(), before);
    }
}

#[test]
fn own_socket_file_is_removed_at_the_end() {
    let lab = Lab::new();
    let empty = lab.files();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let agent = Agent::start(&mut lab.agent(["--socket", "agent"]));
        agent.signal(signal);
        assert_eq!(agent.wait().status, 0);
        assert_eq!(lab.files(), empty, "{signal}");
    }
    let agent = Agent::start(&mut lab.agent(["--socket", "agent"]));
    std::fs::remove_file(lab.path("agent")).unwrap();
    write(lab.path("agent"), "another's").unwrap();
    assert_eq!(agent.stop().status, 0);
    assert_eq!(std::fs::read(lab.path("agent")).unwrap(), b"another's");
}

#[test]
fn socket_mode_does_not_depend_on_the_umask() {
    let lab = Lab::new();
    for umask in ["0", "0777"] {
        for (mode, want) in
            [(None, 0o600), (Some("0666"), 0o666), (Some("660"), 0o660), (Some("0"), 0)]
        {
            let mut command = lab.agent(["--socket", "agent"]);
            if let Some(mode) = mode {
                command.args(["--socket-mode", mode]);
            }
            let agent = Agent::start(&mut after(&format!("umask {umask}"), &command));
            assert_eq!(mode_of(&lab.path("agent")), want, "{umask} {mode:?}");
            agent.stop();
        }
    }
}

#[test]
fn members_of_the_socket_group_can_connect() {
    let lab = Lab::new();
    let connect = |user: &User| Client::try_connect_as(&lab.path("agent"), user);
    // Debian has the same group "daemon" everywhere.
    for (group, mode) in [("daemon", None), ("1", None), ("1", Some("0666"))] {
        let rules = ["--allow", "*:uid=1001:list", "--allow", "*:uid=1002:list"];
        let mut command = lab.agent([&["--socket", "agent"][..], &rules].concat());
        command.args(["--socket-group", group]);
        command.args(mode.map(|mode| format!("--socket-mode={mode}")));
        let agent = Agent::start(&mut command);
        let file = symlink_metadata(lab.path("agent")).unwrap();
        let want = if mode.is_some() { 0o666 } else { 0o660 };
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (0, 1, want));
        // The private socket has no group.
        assert_eq!(mode_of(&lab.path("agent.root")), 0o600);
        let member = User { groups: vec![1], ..User::new(1001) };
        assert_eq!(connect(&member).expect("connected").list(), []);
        let other = connect(&User::new(1002)).map(|client| client.list());
        let want = if mode.is_some() { Ok(Vec::new()) } else { Err(Errno::EACCES) };
        assert_eq!(other, want, "{group} {mode:?}");
        agent.stop();
    }
    let before = lab.files();
    for (group, why) in [
        ("no-such", "--socket-group no-such: no group \"no-such\" in /etc/group"),
        ("a b", "--socket-group a b: not the name or the number of a group"),
        ("4294967295", "--socket-group 4294967295: not a group id: out of range"),
    ] {
        let words = ["--socket", "agent", "--socket-group", group];
        fails(&mut lab.agent(words), 2, &format!("bpf-agent: {why}"));
    }
    let words = ["--socket", "agent", "--socket-group", "1"];
    let mut user = wrapped(&NOBODY, &lab.program(&lab.reachable("bpf-agent"), words));
    fails(&mut user, 2, "bpf-agent: agent: bind socket: operation not permitted");
    assert_eq!(lab.files(), before);
}

#[test]
fn failed_start_is_one_line_without_warnings() {
    let lab = Lab::new();
    let idle = "nothing to serve: --socket is needed, or a socket from systemd";
    let (missing, taken) = (lab.path("no/agent"), lab.path("taken"));
    std::fs::write(&taken, "").unwrap();
    let bind = |path: &Path, why: &str| format!("{}: bind socket: {why}", path.display());
    let missing_line = bind(&missing, "no such file or directory");
    let taken_line = bind(&taken, "exists, and is not a socket");
    let (missing, taken) = (missing.to_str().unwrap(), taken.to_str().unwrap());
    let before = lab.files();
    let program = lab.reachable("bpf-agent");
    for (words, line) in [
        (&[][..], idle),
        (&["-q", "--allow", "*:uid=1:all"], idle),
        (&["--socket", missing], &missing_line),
        (&["--socket", taken], &taken_line),
    ] {
        let line = format!("bpf-agent: {line}");
        fails(&mut lab.program(&program, words), 2, &line);
        fails(&mut wrapped(&NOBODY, &lab.program(&program, words)), 2, &line);
        assert_eq!(lab.files(), before, "{words:?}");
    }
    let agent = Agent::start(&mut wrapped(&NOBODY, &lab.program(&program, ["--socket", "agent"])));
    let want = [
        "warning: without --state, the objects are released when the agent ends",
        "warning: neither pins nor CAP_SYS_ADMIN: no fd can be opened with less access",
        "serves on 1 socket, holds 0 objects",
    ];
    assert_eq!(agent.log, want.map(|line| format!("bpf-agent: {line}")));
}

#[test]
fn paths_longer_than_an_address_are_refused() {
    let lab = Lab::new();
    let room = 107 - lab.path("").as_os_str().len();
    for (length, is_fine) in [(room, true), (room + 1, false)] {
        let path = lab.path(&"x".repeat(length));
        let mut command = lab.agent(["--state", "/sys/fs/bpf/agent", "--socket"]);
        command.arg(&path);
        if is_fine {
            let agent = Agent::start(&mut command);
            serves(&path);
            agent.stop();
        } else {
            let why = "bind socket: 108 bytes: a socket path has at most 107";
            fails(&mut command, 2, &format!("bpf-agent: {}: {why}", path.display()));
        }
        assert!(!path.exists());
    }
}
