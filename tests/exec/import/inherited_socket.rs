//! `bpf-exec --import fd:N`: an inherited datagram socket, as socket activation gives it, and
//! storing what arrives there with an agent.

use crate::common::agent::*;
use crate::common::child::{Running, Start};
use crate::common::fds::*;
use crate::common::receiver::activated;
use crate::common::sender::Datagram;
use crate::common::waiting::{Waiting, sleeps_in};
use crate::common::*;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::Command;

/// Starts `command` with the socket as fd 3.
fn with_fd_3<'a>(command: &'a mut Command, socket: &impl AsRawFd) -> &'a mut Command {
    Start { given: vec![socket.as_raw_fd()], ..Start::default() }.apply(command)
}

/// `bpf-exec --import fd:3`, for a transfer that is queued already, or fails.
fn import(lab: &Lab, words: &[&str]) -> Command {
    let mut command = lab.exec(["--timeout=10", "--import", "fd:3"]);
    command.args(words);
    command
}

fn send(lab: &Lab, name: &str, map: &OwnedFd) {
    Datagram::of(vec![[ARRAY, 4, 8, 1, 0, 7, 0, 0, 0]]).send(&lab.path(name), &[map.as_fd()]);
}

#[test]
fn inherited_socket_is_used_and_closed_and_its_file_unchanged() {
    let lab = Lab::new();
    let socket = activated(&lab.path("in"));
    let before = lab.files();
    let (about, map) = (std::fs::metadata(lab.path("in")).unwrap(), new_map("sent"));
    // Its number may be one that the maps get.
    for base in ["64", "3"] {
        send(&lab, "in", &map);
        let start = Start { given: vec![socket.as_raw_fd()], ..Start::default() };
        let running = Running::cat(&start, &mut import(&lab, &["--fd-base", base, "--", "cat"]));
        let number = base.parse().unwrap();
        running.fds().assert_numbers(&[0, 1, 2, number], base);
        assert_eq!(running.fdinfo(number, "map_id"), id_of(&map).to_string());
        let map7 = format!("BPF_MAP7={base}");
        let placed = ["BPF_NUM_MAPS=1", &map7, "BPF_MAP7_NAME=sent"];
        assert_eq!(running.contract(), placed);
        assert_eq!(running.end(), Run { status: 0, stdout: String::new(), stderr: String::new() });
    }
    let now = std::fs::metadata(lab.path("in")).unwrap();
    assert_eq!((now.ino(), now.mode(), now.ctime()), (about.ino(), about.mode(), about.ctime()));
    assert_eq!(lab.files(), before);
    // The flags are shared with the process that bound the socket.
    let blocks = nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_GETFL).unwrap();
    assert_eq!(blocks & libc::O_NONBLOCK, 0);
}

#[test]
fn activation_variables_are_removed_with_the_socket() {
    let lab = Lab::new();
    let socket = activated(&lab.path("in"));
    let map = new_map("sent");
    let variables = [("LISTEN_PID", "1"), ("LISTEN_FDNAMES", "in:out"), ("LISTEN_PIDFDID", "7")];
    for (count, want) in [
        ("1", "LISTEN=kept\n"),
        // LISTEN_FDS does not count file descriptor 3.
        ("0", "LISTEN=kept\nLISTEN_FDNAMES=in:out\nLISTEN_FDS=0\nLISTEN_PID=1\nLISTEN_PIDFDID=7\n"),
    ] {
        send(&lab, "in", &map);
        let mut command = import(&lab, &["--", "sh", "-c", "env | grep ^LISTEN | sort"]);
        command.envs(variables).env("LISTEN_FDS", count).env("LISTEN", "kept");
        assert_eq!(stdout_of(with_fd_3(&mut command, &socket)), want);
    }
}

#[test]
fn unusable_file_descriptors_are_refused_in_one_line() {
    let lab = Lab::new();
    let map = lab.array("pinned", 1);
    let unbound = UnixDatagram::unbound().unwrap();
    let stream = UnixStream::pair().unwrap().0;
    let listener = UnixListener::bind(lab.path("listener")).unwrap();
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    let map = open_pin(&map);
    let cases: [(&dyn AsRawFd, &str); 6] = [
        (&unbound, "not bound"),
        (&stream, "not a datagram socket"),
        (&listener, "not a datagram socket"),
        (&udp, "not a unix socket"),
        (&file, "not a socket"),
        (&map, "not a socket"),
    ];
    for (given, cause) in cases {
        let mut command = import(&lab, &["true"]);
        let start = Start { given: vec![given.as_raw_fd()], ..Start::default() };
        fails(start.apply(&mut command), 125, &format!("bpf-exec: fd:3: import: {cause}"));
    }
    for (words, message) in [
        (&["--import", "fd:3"][..], "fd:3: import: not open, or used by another --import"),
        (
            &["--import", "fd:2147483647"],
            "fd:2147483647: import: not open, or used by another --import",
        ),
        (&["--import", "fd:2"], "--import fd:2: not a file descriptor number from 3 upwards"),
        (&["--import", "fd:"], "--import fd:: not a file descriptor number from 3 upwards"),
        (&["--import", "fd:-1"], "--import fd:-1: not a file descriptor number from 3 upwards"),
        (&["--import", "fd:+3"], "--import fd:+3: not a file descriptor number from 3 upwards"),
        (&["--import", "a=fd:x"], "--import a=fd:x: not a file descriptor number from 3 upwards"),
        (
            &["--import", "fd:2147483648"],
            "--import fd:2147483648: not a file descriptor number from 3 upwards",
        ),
        (
            &["--socket-mode=0666", "--from=0", "--import", "in", "--import", "fd:3"],
            "--socket-mode: --import fd:3 does not bind a socket",
        ),
    ] {
        let mut command = lab.exec(words);
        command.args(["--", "true"]);
        fails(Start::default().apply(&mut command), 125, &format!("bpf-exec: {message}"));
    }
    let socket = activated(&lab.path("in"));
    let mut command = import(&lab, &["--import", "fd:3", "true"]);
    let twice = "bpf-exec: fd:3: import: not open, or used by another --import";
    fails(with_fd_3(&mut command, &socket), 125, twice);
}

#[test]
fn malformed_datagram_ends_the_import_without_a_command() {
    let lab = Lab::new();
    let socket = activated(&lab.path("in"));
    for bytes in [&b"x"[..], &[0; 96]] {
        crate::common::sender::send(&lab.path("in"), bytes, &[]);
        let mut command = import(&lab, &["echo", "started"]);
        let run = run(with_fd_3(&mut command, &socket));
        assert_eq!((run.status, run.stdout.as_str()), (125, ""), "{run:?}");
        assert!(run.stderr.starts_with("bpf-exec: fd:3: import: "), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    }
}

#[test]
fn socket_shut_down_for_reading_ends_the_import() {
    let lab = Lab::new();
    for how in [Shutdown::Read, Shutdown::Both] {
        let socket = activated(&lab.path("in"));
        let map = new_map("queued");
        send(&lab, "in", &map);
        socket.shutdown(how).unwrap();
        // Queued datagrams arrive nevertheless.
        assert_eq!(stdout_of(with_fd_3(&mut import(&lab, &["echo", "ran"]), &socket)), "ran\n");
        let mut command = lab.exec(["--import", "fd:3", "true"]);
        let shut_down = "bpf-exec: fd:3: import: the socket was shut down for reading";
        fails(with_fd_3(&mut command, &socket), 125, shut_down);
        std::fs::remove_file(lab.path("in")).unwrap();
    }
}

#[test]
fn socket_shut_down_during_the_wait_ends_the_import() {
    let lab = Lab::new();
    let socket = activated(&lab.path("in"));
    let mut command = lab.exec(["--import", "fd:3", "true"]);
    let mut waiting = Waiting::start(with_fd_3(&mut command, &socket), &[]);
    let pid = waiting.child().id();
    eventually("the wait", || sleeps_in(pid, &[libc::SYS_poll, libc::SYS_ppoll]));
    socket.shutdown(Shutdown::Read).unwrap();
    waiting.fails("shut down", "fd:3: import: the socket was shut down for reading");
}

#[test]
fn import_and_put_inherited_store_a_transfer_with_an_agent() {
    let lab = Lab::new();
    let (_agent, _) = serve(&lab);
    let socket = activated(&lab.path("in"));
    let store = ["--", "bpf-map", "put", "--inherited", "--replace", "--socket=agent"];
    let got = |name: &str| {
        let from = format!("agent#{name}");
        stdout_of(&mut lab.exec(["--agent", &from, "--", "bpf-map", "get", name, "0"]))
    };
    // From a sender that writes tc's format byte by byte.
    let map = new_map("from_tc");
    send(&lab, "in", &map);
    assert_eq!(stdout_of(with_fd_3(&mut import(&lab, &store), &socket)), "");
    drop(map);
    assert_eq!(got("from_tc"), "0\n");
    // From bpf-map send, and once more in place of the first.
    for value in ["42", "43"] {
        let spec = "hits=array,value=u64,entries=1";
        let script = format!("bpf-map set hits 0 {value}; bpf-map send hits in");
        let mut sender = lab.exec(["--create", spec, "--", "sh", "-c", &script]);
        assert_eq!(stdout_of(&mut sender), "");
        assert_eq!(stdout_of(with_fd_3(&mut import(&lab, &store), &socket)), "");
        assert_eq!(got("hits"), format!("{value}\n"));
    }
    let records = Client::connect(&lab.path("agent")).list();
    assert_eq!(crate::common::agent::names(&records), ["from_tc", "hits"]);
}
