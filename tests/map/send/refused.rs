//! Maps, names and sockets that are refused, and transfers that fail.

use super::*;
use crate::common::fds::*;
use crate::common::receiver::{receive, receiver};
use crate::common::waiting::sleeps_in;
use crate::common::*;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

#[test]
fn unopenable_map_is_reported_before_sending() {
    let lab = Lab::new();
    let path = lab.path("uds");
    let socket = receiver(&path);
    let (pin, program) = (lab.array("pinned", 1), pin_program("prog"));
    let link = pin_link("iter");
    let pin = text(&pin);
    for (reference, line) in [
        ("/sys/fs/bpf/none", "/sys/fs/bpf/none: open pin: no such file or directory"),
        (text(&program), "/sys/fs/bpf/prog: open pin: a BPF program, not a map"),
        (text(&link), "/sys/fs/bpf/iter: open pin: a BPF link, not a map"),
        ("none", "none: no inherited map has this name"),
        ("9", "9: descriptor 9 is closed"),
        ("0", "0: descriptor 0 is a file, not a map"),
        ("id:x", "id:x: not a map id"),
        ("name:nosuchmap", "nosuchmap: find map by name: no map has this name"),
        ("", "\"\": no inherited map has this name"),
        ("=x", "=x: the name is empty"),
        ("12=x", "12=x: the name is a number"),
        ("a:b=x", "a:b=x: the name contains '/', ':', '=' or a control byte"),
        ("a\nb=x", "a\\nb=x: the name contains '/', ':', '=' or a control byte"),
        ("a=b=c", "b=c: no inherited map has this name"),
        ("name=none", "none: no inherited map has this name"),
        ("./a=b", "./a=b: open pin: no such file or directory"),
    ] {
        for options in [&[][..], &["--read-only"]] {
            let words = [&["send"], options, &[pin, reference, "uds"]].concat();
            fails(&mut lab.map(words), 2, &format!("bpf-map: {line}"));
            assert!(receive(&socket).is_none(), "{reference}");
        }
    }
}

#[test]
fn names_and_numbers_that_a_transfer_cannot_have_are_refused() {
    let lab = Lab::new();
    let path = lab.path("uds");
    let socket = receiver(&path);
    let pin = lab.array("pinned", 1);
    let pin = text(&pin);
    let named = |name: &str| format!("{name}={pin}");
    let long = named(&"n".repeat(64));
    let (one, two) = (named("one"), named("two"));
    let missing = "the following required arguments were not provided: <MAP>...";
    let cases: [(&[&str], String); 11] = [
        (&[&long, "uds"], format!("{long}: 64 bytes, but the name of a transfer has at most 63")),
        (
            &[&one, pin, &two, "uds"],
            format!("two={pin}: all maps of a transfer share one name, and this is called one"),
        ),
        (&["--first-id", "x", pin, "uds"], "--first-id x: not a number up to 4294967295".into()),
        (&["--first-id", "", pin, "uds"], "--first-id \"\": not a number up to 4294967295".into()),
        (&["--first-id", "+1", pin, "uds"], "--first-id +1: not a number up to 4294967295".into()),
        (&["--first-id", "-1", pin, "uds"], "--first-id -1: not a number up to 4294967295".into()),
        (
            &["--first-id=4294967296", pin, "uds"],
            "--first-id 4294967296: not a number up to 4294967295".into(),
        ),
        (
            &["--first-id=4294967295", pin, pin, "uds"],
            "--first-id 4294967295: 2 maps would have numbers above 4294967295".into(),
        ),
        (
            &["--first-id=4294967294", pin, pin, pin, "uds"],
            "--first-id 4294967294: 3 maps would have numbers above 4294967295".into(),
        ),
        (&[pin], "send: a map and a socket are needed".into()),
        (&[], format!("{missing} (see bpf-map send --help)")),
    ];
    for (words, line) in cases {
        fails(lab.map(["send"]).args(words), 2, &format!("bpf-map: {line}"));
        assert!(receive(&socket).is_none(), "{words:?}");
    }
    // The count of a transfer has 16 bits.
    let many = vec!["9"; 65536];
    let line = "bpf-map: uds: send: 65536 maps, but a transfer has at most 65535";
    fails(lab.map(["send"]).args(&many).arg("uds"), 2, line);
    let line = "bpf-map: 9: descriptor 9 is closed";
    fails(lab.map(["send"]).args(&many[1..]).arg("uds"), 2, line);
    assert!(receive(&socket).is_none());
}

#[test]
fn unusable_socket_is_an_error_with_its_reason() {
    let lab = Lab::new();
    let pin = lab.array("pinned", 1);
    let _stream = UnixListener::bind(lab.path("stream")).unwrap();
    let packets = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None);
    let packets = packets.unwrap();
    bind(packets.as_raw_fd(), &UnixAddr::new(&lab.path("packets")).unwrap()).unwrap();
    listen(&packets, Backlog::new(1).unwrap()).unwrap();
    let _other = UnixDatagram::bind(lab.path("other")).unwrap();
    let talking = UnixDatagram::bind(lab.path("talking")).unwrap();
    talking.connect(lab.path("other")).unwrap();
    drop(UnixDatagram::bind(lab.path("dead")).unwrap());
    // A process that another test is starting may hold it until it executes.
    eventually("the socket's end", || {
        let connected = UnixDatagram::unbound().expect("a socket").connect(lab.path("dead"));
        connected.is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
    });
    std::fs::write(lab.path("file"), "").unwrap();
    symlink("none", lab.path("to-nothing")).unwrap();
    let before = lab.files();
    for (name, cause) in [
        ("none", "no such file or directory"),
        ("", "no such file or directory"),
        ("none/uds", "no such file or directory"),
        ("to-nothing", "no such file or directory"),
        ("file/uds", "not a directory"),
        ("file", "not a socket"),
        (".", "not a socket"),
        (text(&pin), "not a socket"),
        ("/dev/null", "not a socket"),
        ("dead", "no process receives there"),
        ("stream", "a stream socket, not a datagram socket"),
        ("packets", "a sequenced-packet socket, such as an agent's: use bpf-map put"),
        ("talking", "operation not permitted"),
    ] {
        let object = if name.is_empty() { "\"\"" } else { name };
        let line = format!("bpf-map: {object}: connect: {cause}");
        fails(&mut lab.map(["send", text(&pin), name]), 2, &line);
        assert_eq!(lab.files(), before, "{name}");
    }
}

#[test]
fn sending_needs_write_permission_for_the_socket() {
    let lab = Lab::new();
    let path = lab.path("uds");
    let socket = receiver(&path);
    let (create, map) = ("m=array,value=4,entries=1", lab.reachable("bpf-map"));
    let mut command = lab.exec(["--create", create, "--"]);
    command.args(NOBODY).args([&map, "send", "m", "uds"]);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    fails(&mut command, 2, "bpf-map: uds: connect: permission denied");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o622)).unwrap();
    stdout_of(&mut command);
    assert!(receive(&socket).is_some());
}

#[test]
fn socket_is_reached_by_a_long_path_and_a_symbolic_link() {
    let lab = Lab::new();
    let pin = lab.array("pinned", 1);
    let deep: PathBuf = [lab.dir.path(), "d".repeat(100).as_ref()].iter().collect();
    std::fs::create_dir(&deep).unwrap();
    let socket = receiver(&lab.path("uds"));
    std::fs::rename(lab.path("uds"), deep.join("uds")).unwrap();
    symlink(deep.join("uds"), lab.path("link")).unwrap();
    for path in [&deep.join("uds"), Path::new("link")] {
        stdout_of(lab.map(["send", text(&pin)]).arg(path));
        assert!(receive(&socket).is_some(), "{}", path.display());
    }
}

#[test]
fn receiver_that_disconnects_midway_is_an_error_with_a_count() {
    let lab = Lab::new();
    // A socket lets as many datagrams wait as the network namespace says that it is made in.
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    std::fs::write("/proc/sys/net/unix/max_dgram_qlen", "1").expect("a short queue");
    let path = lab.path("uds");
    let socket = receiver(&path);
    let map = new_map("sent");
    let references = vec![format!("id:{}", id_of(&map)); 640];
    let mut send = lab.map(["send"]);
    send.args(&references).arg("uds").stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = send.spawn().unwrap();
    let mut first = None;
    eventually("a datagram", || {
        first = receive(&socket);
        first.is_some()
    });
    // Two more can wait; the fourth of ten cannot have been sent.
    drop((socket, first));
    let output = Run::from(child.wait_with_output().unwrap());
    let warning =
        "bpf-map: warning: uds: 640 maps, but tc receives only the first 64\nbpf-map: uds: send: ";
    let possible: Vec<Run> = [64, 128, 192, 256]
        .map(|sent| format!("{warning}the receiver closed the socket after {sent} of 640 maps\n"))
        .map(|stderr| Run { status: 2, stdout: String::new(), stderr })
        .into();
    assert!(possible.contains(&output), "{output:?}");
    let id = id_of(&map);
    drop(map);
    eventually("the end of the map", || !map_exists(id));
}

#[test]
fn send_waits_for_a_slow_receiver() {
    let lab = Lab::new();
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    std::fs::write("/proc/sys/net/unix/max_dgram_qlen", "1").expect("a short queue");
    let socket = receiver(&lab.path("uds"));
    let map = new_map("sent");
    let references = vec![format!("id:{}", id_of(&map)); 64 * 6];
    let mut send = lab.map(["send"]);
    send.args(&references).arg("uds").stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = send.spawn().unwrap();
    // It waits for room in the receiver's queue.
    let pid = child.id();
    eventually("the wait", || sleeps_in(pid, &[libc::SYS_sendmsg]));
    let mut received = 0;
    eventually("the rest", || {
        received += usize::from(receive(&socket).is_some());
        received == 6
    });
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn limit_on_queued_descriptors_is_named_in_the_error() {
    let lab = Lab::new();
    let path = lab.path("uds");
    let socket = receiver(&path);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
    let map = lab.reachable("bpf-map");
    let mut command = lab.exec(["--create", "m=array,value=4,entries=1", "--fd-base", "10", "--"]);
    command.args(["prlimit", "--nofile=60"]).args(NOBODY).args([&map, "send"]);
    command.args(["m"; 40]).arg("uds");
    let line = "bpf-map: uds: send: too many references: cannot splice \
                (this user has more file descriptors in flight than its limit on open files)\n";
    // The first goes in any case but that another test of this user's has its own on the way.
    let ends: Vec<Run> = (0..3).map(|_| run(&mut command)).collect();
    let refused = Run { status: 2, stdout: String::new(), stderr: line.into() };
    assert_eq!(ends[2], refused);
    let (_, fds) = receive(&socket).expect("a datagram");
    assert_eq!((ends[0].status, fds.len()), (0, 40), "{ends:?}");
}
