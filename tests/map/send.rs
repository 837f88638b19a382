//! `bpf-map send`: what tc, bpf-exec and a socket of the test's own get, and what goes wrong.

use crate::common::fds::*;
use crate::common::receiver::{receive, receiver};
use crate::common::waiting::{Waiting, sleeps_in};
use crate::common::*;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What tells a child of its maps: `n map-id` for each BPF_MAP<n>, by rising n, then the count.
const REPORT: &str = r#"
env | grep '^BPF_MAP[0-9]*=' | while IFS='=' read -r variable fd; do
    echo "${variable#BPF_MAP} $(sed -n 's/^map_id:[[:space:]]*//p' /proc/self/fdinfo/$fd)"
done | sort -n
echo "$BPF_NUM_MAPS maps""#;

/// `tc exec bpf import SOCKET` and `bpf-exec --import SOCKET`, which run a script.
fn receivers(lab: &Lab, socket: &Path, script: &str) -> [Command; 2] {
    let mut tc = Command::new("tc");
    tc.args(["exec", "bpf", "import"]).arg(socket).args(["run", "sh", "-c", script]);
    let mut ours = lab.exec(["--import"]);
    ours.arg(socket).args(["--", "sh", "-c", script]);
    [tc, ours]
}

fn access(fd: &OwnedFd) -> OFlag {
    let flags = fcntl(fd, FcntlArg::F_GETFL).expect("flags");
    OFlag::from_bits_retain(flags) & OFlag::O_ACCMODE
}

/// References to maps by their ids.
fn by_ids(maps: &[OwnedFd]) -> Vec<String> {
    maps.iter().map(|map| format!("id:{}", id_of(map))).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn tc_and_bpf_exec_receive_maps_with_btf() {
    let lab = Lab::new();
    let (plain, socket) = (lab.array("plain", 1), lab.path("uds"));
    let object = fixture("types.bpf.o");
    let load = ["prog", "loadall", &object, "/sys/fs/bpf/progs", "type", "tc", "pinmaps"];
    bpftool(&[&load[..], &["/sys/fs/bpf/maps"]].concat());
    let typed = Path::new("/sys/fs/bpf/maps/t_task");
    let json = stdout_of(&mut lab.map(["show", "--json", text(typed)]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["btf_id"].as_u64().unwrap() > 0, "a map with BTF");
    let before = lab.files();
    let want = format!("7 {}\n8 {}\n2 maps\n", map_id(&plain), map_id(typed));
    for mut command in receivers(&lab, &socket, REPORT) {
        let waiting = Waiting::start(&mut command, &[&socket]);
        let mut send = lab.map(["send", "--first-id", "7"]);
        assert_eq!(stdout_of(send.args([&plain, typed]).arg(&socket)), "");
        assert_eq!(waiting.stdout(), want, "{command:?}");
        assert_eq!(lab.files(), before, "{command:?}");
    }
}

#[test]
fn all_maps_arrive_with_their_numbers_and_values() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    for count in [1, 64, 65, 300] {
        let maps: Vec<OwnedFd> = (0..count).map(|_| new_map("sent")).collect();
        let references = by_ids(&maps);
        let set = |(i, map): (usize, &String)| format!("set {map} 0 {}\n", 1000 + i);
        let lines: String = references.iter().enumerate().map(set).collect();
        std::fs::write(lab.path("lines"), lines).unwrap();
        stdout_of(&mut lab.map(["batch", "lines"]));
        // Of map 5 and those after it, until a number has none.
        let script = "i=5; while eval fd=\\${BPF_MAP$i-}; [ \"$fd\" ]; do echo get $fd 0; i=$((i+1)); done \
                      | bpf-map batch; echo $BPF_NUM_MAPS maps";
        std::fs::remove_file(lab.path("lines")).unwrap();
        let [_, mut command] = receivers(&lab, &socket, script);
        let waiting = Waiting::start(&mut command, &[&socket]);
        let mut send = lab.map(["send", "--first-id=5"]);
        // The soft limit is no bound.
        let mut send = wrapped(&["prlimit", "--nofile=32:"], send.args(&references).arg("uds"));
        let sent = run(&mut send);
        let stderr = match count > 64 {
            true => format!(
                "bpf-map: warning: uds: {count} maps, where tc has room for the first 64 alone\n"
            ),
            false => String::new(),
        };
        assert_eq!(sent, Run { status: 0, stdout: String::new(), stderr });
        let values: String = (0..count).map(|i| format!("{}\n", 1000 + i)).collect();
        assert_eq!(waiting.stdout(), format!("{values}{count} maps\n"));
        assert_eq!(lab.files(), before);
        let ids: Vec<u32> = maps.iter().map(id_of).collect();
        drop(maps);
        for id in ids {
            eventually(&format!("the end of map {id}"), || !map_exists(id));
        }
    }
}

/// The datagram of the manual: its bytes, put together from their offsets.
fn datagram(total: u16, object: &str, process: u32, entries: &[[u32; 6]]) -> Vec<u8> {
    let mut bytes = vec![0; 88 + 36 * entries.len()];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &1u16.to_ne_bytes());
    put(2, &total.to_ne_bytes());
    put(4, object.as_bytes());
    put(80, &u64::from(process).to_ne_bytes());
    for (i, entry) in entries.iter().enumerate() {
        for (j, word) in entry.iter().enumerate() {
            put(88 + 36 * i + 4 * j, &word.to_ne_bytes());
        }
    }
    bytes
}

#[test]
fn what_is_sent_is_tcs_format_byte_for_byte() {
    let lab = Lab::new();
    let path = lab.path("uds");
    let socket = receiver(&path);
    // Type, key size, value size, max entries, flags: as enum bpf_map_type and BPF_F_* have them.
    let kinds = [
        ("a=array,value=u64,entries=3,flags=MMAPABLE", [2, 4, 8, 3, 1024]),
        ("h=hash,key=char[16],value=u32,entries=100,flags=NO_PREALLOC", [1, 16, 4, 100, 1]),
        ("l=lpm_trie,key=lpm{ip4},value=u8,entries=7", [11, 8, 1, 7, 1]),
        ("q=queue,value=hex[12],entries=5", [22, 0, 12, 5, 0]),
    ];
    let longest = "n".repeat(63);
    for (name, first) in
        [("", 0), ("flows=", 9), (&format!("{longest}="), u32::MAX - 3), ("ähm=", 1 << 31)]
    {
        let mut command = lab.exec(kinds.iter().flat_map(|(spec, _)| ["--create", spec]));
        command.args(["--", "bpf-map", "send", "--first-id", &first.to_string()]);
        command.args(["a", &format!("{name}h"), "l", &format!("{name}q"), "uds"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // bpf-exec becomes bpf-map.
        let process = child.id();
        assert_eq!(
            Run::from(child.wait_with_output().unwrap()),
            Run { status: 0, stdout: String::new(), stderr: String::new() }
        );
        let entries: Vec<[u32; 6]> = (first..=u32::MAX)
            .zip(&kinds)
            .map(|(id, (_, [kind, key, value, entries, flags]))| {
                [*kind, *key, *value, *entries, *flags, id]
            })
            .collect();
        let object = if name.is_empty() { "bpf-map" } else { name.trim_end_matches('=') };
        let (bytes, fds) = receive(&socket).expect("a datagram");
        assert_eq!(bytes, datagram(4, object, process, &entries), "{name}");
        assert_eq!(fds.len(), 4, "{name}");
        for (fd, (spec, [kind, ..])) in fds.iter().zip(&kinds) {
            let info = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
            let info = std::fs::read_to_string(info).unwrap();
            assert!(info.contains(&format!("map_type:\t{kind}\n")), "{spec}: {info}");
            assert_eq!(access(fd), OFlag::O_RDWR, "{spec}");
        }
        assert!(receive(&socket).is_none(), "one datagram alone");
    }
}

#[test]
fn each_datagram_has_the_header_and_at_most_64_maps() {
    let lab = Lab::new();
    let path = lab.path("uds");
    let socket = receiver(&path);
    let map = new_map("sent");
    let references = vec![format!("id:{}", id_of(&map)); 129];
    let mut command = lab.map(["send"]);
    command.args(&references).arg(&path);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let process = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for ids in [0..64, 64..128, 128..129] {
        let entries: Vec<[u32; 6]> = ids.map(|id| [ARRAY, 4, 8, 1, 0, id]).collect();
        let (bytes, fds) = receive(&socket).expect("a datagram");
        assert_eq!(bytes, datagram(129, "bpf-map", process, &entries));
        assert_eq!(fds.len(), entries.len());
        assert!(fds.iter().all(|fd| id_of(fd) == id_of(&map)));
    }
    assert!(receive(&socket).is_none(), "three datagrams");
}

#[test]
fn inherited_fds_keep_their_access_and_new_ones_can_write() {
    let lab = Lab::new();
    let path = lab.path("uds");
    let socket = receiver(&path);
    // Other tests have pins too, and the kernel's names of maps are those of the whole machine.
    let name = unique("send");
    let pin = lab.array(&name, 1);
    let id = format!("id:{}", map_id(&pin));
    let sent = |command: &mut Command| {
        assert_eq!(stdout_of(command), "");
        let (_, fds) = receive(&socket).expect("a datagram");
        fds.iter().map(access).collect::<Vec<OFlag>>()
    };
    let inherited = |option: &[&str], send: &[&str]| {
        let mut command = lab.exec(option);
        command.args(["--pin", text(&pin), "--create", "w=array,value=4,entries=1,flags=WRONLY"]);
        command.args(["--", "bpf-map", "send"]).args(send).arg("uds");
        command
    };
    let (rw, r, w) = (OFlag::O_RDWR, OFlag::O_RDONLY, OFlag::O_WRONLY);
    let (by_name, inherited_name) = (format!("name:{name}"), format!("env:{name}"));
    let opened = [text(&pin), &id, &by_name];
    assert_eq!(sent(lab.map(["send"]).args(opened).arg("uds")), [rw; 3]);
    assert_eq!(sent(lab.map(["send", "--read-only"]).args(opened).arg("uds")), [r; 3]);
    assert_eq!(sent(lab.map(["send"]).args(opened).args(["uds", "-r"])), [r; 3]);
    assert_eq!(sent(&mut inherited(&[], &[&name, "w", &inherited_name, "65"])), [rw, w, rw, w]);
    assert_eq!(sent(&mut inherited(&[], &[&name, "w", "-r"])), [r; 2]);
    let only = ["-r", "--pin", text(&pin), "--", "bpf-map", "send", &name, "uds"];
    assert_eq!(sent(&mut lab.exec(only)), [r]);
}

#[test]
fn a_map_sent_read_only_cannot_be_written_where_it_arrives() {
    let lab = Lab::new();
    let (pin, socket) = (lab.array("pinned", 1), lab.path("uds"));
    let script = "bpf-map get $BPF_MAP0 0; bpf-map set $BPF_MAP0 0 1 2>&1; echo $?";
    let [_, mut command] = receivers(&lab, &socket, script);
    let waiting = Waiting::start(&mut command, &[&socket]);
    stdout_of(&mut lab.map(["send", "--read-only", text(&pin), "uds"]));
    let refused = "0\nbpf-map: 64: set: operation not permitted (the descriptor is read-only)\n2\n";
    assert_eq!(waiting.stdout(), refused);
    let waiting = Waiting::start(&mut command, &[&socket]);
    stdout_of(&mut lab.map(["send", text(&pin), "uds"]));
    assert_eq!(waiting.stdout(), "0\n0\n");
}

#[test]
fn unprivileged_read_only_send_needs_a_readable_pin() {
    let lab = Lab::new();
    let path = lab.path("uds");
    let socket = receiver(&path);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
    let (pin, map) = (lab.array("pinned", 1), lab.reachable("bpf-map"));
    let mut command = lab.exec(["--pin", text(&pin), "--"]);
    command.args(NOBODY).args([&map, "send", "--read-only", "pinned", "uds"]);
    let line =
        "bpf-map: pinned: open read-only: CAP_SYS_ADMIN is needed, or a pin of it that may be read";
    fails(&mut command, 2, line);
    assert!(receive(&socket).is_none());
    std::fs::set_permissions("/sys/fs/bpf", PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&pin, PermissionsExt::from_mode(0o644)).unwrap();
    stdout_of(&mut command);
    let (_, fds) = receive(&socket).expect("a datagram");
    assert_eq!(fds.iter().map(access).collect::<Vec<_>>(), [OFlag::O_RDONLY]);
}

#[test]
fn a_map_that_cannot_be_opened_is_told_before_anything_is_sent() {
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
        ("", ": no inherited map has this name"),
        ("=x", "=x: the name is empty"),
        ("12=x", "12=x: the name is a number"),
        ("a:b=x", "a:b=x: the name holds '/', ':', '=' or a control byte"),
        ("a\nb=x", "a\\nb=x: the name holds '/', ':', '=' or a control byte"),
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
        (&[&long, "uds"], format!("{long}: 64 bytes, where a transfer's name has at most 63")),
        (
            &[&one, pin, &two, "uds"],
            format!("two={pin}: all maps of a transfer share one name, and this is called one"),
        ),
        (&["--first-id", "x", pin, "uds"], "--first-id x: not a number up to 4294967295".into()),
        (&["--first-id", "", pin, "uds"], "--first-id : not a number up to 4294967295".into()),
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
        (&[pin], "send: a map and a socket are wanted".into()),
        (&[], format!("{missing} (see bpf-map --help)")),
    ];
    for (words, line) in cases {
        fails(lab.map(["send"]).args(words), 2, &format!("bpf-map: {line}"));
        assert!(receive(&socket).is_none(), "{words:?}");
    }
    // The count of a transfer has 16 bits.
    let many = vec!["9"; 65536];
    let line = "bpf-map: uds: send: 65536 maps, where a transfer has at most 65535";
    fails(lab.map(["send"]).args(&many).arg("uds"), 2, line);
    let line = "bpf-map: 9: descriptor 9 is closed";
    fails(lab.map(["send"]).args(&many[1..]).arg("uds"), 2, line);
    assert!(receive(&socket).is_none());
}

#[test]
fn a_socket_that_takes_no_datagrams_is_an_error_that_says_why() {
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
        ("dead", "nobody listens there any more"),
        ("stream", "a stream socket, where tc's protocol has datagrams"),
        ("packets", "a socket of packets, as an agent has: bpf-map put stores maps there"),
        ("talking", "operation not permitted"),
    ] {
        let object = if name.is_empty() { "\"\"" } else { name };
        let line = format!("bpf-map: {object}: connect: {cause}");
        fails(&mut lab.map(["send", text(&pin), name]), 2, &line);
        assert_eq!(lab.files(), before, "{name}");
    }
}

#[test]
fn who_may_not_write_to_the_socket_may_not_send() {
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
    let warning = "bpf-map: warning: uds: 640 maps, where tc has room for the first 64 alone\nbpf-map: uds: send: ";
    let possible: Vec<Run> = [64, 128, 192, 256]
        .map(|sent| format!("{warning}the receiver went away, with {sent} of 640 maps sent\n"))
        .map(|stderr| Run { status: 2, stdout: String::new(), stderr })
        .into();
    assert!(possible.contains(&output), "{output:?}");
    let id = id_of(&map);
    drop(map);
    eventually("the end of the map", || !map_exists(id));
}

#[test]
fn a_slow_receiver_is_waited_for() {
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
                (more descriptors of this user wait in sockets than its limit on open files)\n";
    // The first goes in any case but that another test of this user's has its own on the way.
    let ends: Vec<Run> = (0..3).map(|_| run(&mut command)).collect();
    let refused = Run { status: 2, stdout: String::new(), stderr: line.into() };
    assert_eq!(ends[2], refused);
    let (_, fds) = receive(&socket).expect("a datagram");
    assert_eq!((ends[0].status, fds.len()), (0, 40), "{ends:?}");
}

#[test]
fn sending_leaves_no_descriptor_open() {
    let lab = Lab::new();
    let socket = receiver(&lab.path("uds"));
    let before = lab.files();
    let pin = lab.array("pinned", 1);
    let line = format!("send {0} {0} {0} {0} uds\nsend -r {0} 3 uds\n", text(&pin));
    let mut child = wrapped(&["prlimit", "--nofile=16"], &lab.map(["batch", "--keep-going", "-"]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..20 {
        input.write_all(line.as_bytes()).unwrap();
        // An empty line answers each.
        for _ in 0..2 {
            let mut answer = String::new();
            answers.read_line(&mut answer).unwrap();
            assert_eq!(answer, "\n");
        }
        let (_, fds) = receive(&socket).expect("a datagram");
        assert_eq!(fds.len(), 4);
        assert!(receive(&socket).is_none(), "the second line fails");
    }
    drop(input);
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.status, 2);
    std::fs::remove_file(&pin).unwrap();
    assert_eq!(lab.files(), before);
}
