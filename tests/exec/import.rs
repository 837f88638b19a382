//! Maps received over tc's socket: what the command gets, the socket's file, and hostile senders.

use crate::common::fds::*;
use crate::common::open_fds::OpenFds;
use crate::common::sender::{Datagram, Entry, send};
use crate::common::waiting::Waiting;
use crate::common::*;
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// For what must not wait: where it does, the test fails in place of hanging.
const LIMIT: &str = "--timeout=10";

/// Prints `n descriptor map-id name` for each BPF_MAP<n>, by rising n, then the count.
const REPORT: &str = r#"
env | grep '^BPF_MAP[0-9]*=' | while IFS='=' read -r variable fd; do
    eval "name=\${${variable}_NAME-}"
    echo "${variable#BPF_MAP} $fd $(sed -n 's/^map_id:[[:space:]]*//p' /proc/self/fdinfo/$fd) $name"
done | sort -n
echo "$BPF_NUM_MAPS maps""#;

/// `bpf-exec --import SOCKET`, with more arguments before and after.
fn import(lab: &Lab, before: &[&str], socket: &Path, after: &[&str]) -> Command {
    let mut command = lab.exec(before);
    command.arg("--import").arg(socket).args(after);
    command
}

fn maps(count: usize) -> Vec<OwnedFd> {
    (0..count).map(|_| new_map("sent")).collect()
}

/// What is true of a map that [`new_map`] made, with the id declared for it.
fn entry(id: u32) -> Entry {
    [ARRAY, 4, 8, 1, 0, id, 0, 0, 0]
}

fn borrowed(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}

/// Sends `maps` in one datagram, with these ids declared.
fn transfer(socket: &Path, maps: &[OwnedFd], ids: &[u32]) {
    let entries = ids.iter().map(|&id| entry(id)).collect();
    Datagram::of(entries).send(socket, &borrowed(maps));
}

/// The maps' lines of [`REPORT`]: the n, the descriptor and the place in `maps` of each.
fn report(maps: &[OwnedFd], lines: &[(u32, i32, usize)]) -> String {
    let line = |&(n, fd, at): &(u32, i32, usize)| format!("{n} {fd} {} sent\n", id_of(&maps[at]));
    lines.iter().map(line).collect::<String>() + &format!("{} maps\n", lines.len())
}

/// Drops the descriptors of the test: then none of the maps may be left.
#[track_caller]
fn nobody_holds(what: &str, maps: Vec<OwnedFd>) {
    let ids: Vec<u32> = maps.iter().map(id_of).collect();
    drop(maps);
    for id in ids {
        eventually(&format!("{what}: the end of map {id}"), || !map_exists(id));
    }
}

#[test]
fn tc_and_bpf_exec_pass_the_same_variables_and_maps() {
    let lab = Lab::new();
    let socket = lab.path("uds");
    let child = r#"
        env | grep -E '^BPF_(NUM_MAPS|MAP[0-9]+)=' | sort | while IFS='=' read -r name value; do
            case $name in
            BPF_NUM_MAPS) echo "$name=$value" ;;
            *) echo "$name" $(grep ^map_id: /proc/self/fdinfo/$value) ;;
            esac
        done"#;
    let sent = maps(2);
    let want = format!(
        "BPF_MAP3 map_id: {}\nBPF_MAP7 map_id: {}\nBPF_NUM_MAPS=2\n",
        id_of(&sent[0]),
        id_of(&sent[1])
    );
    let mut tc = Command::new("tc");
    tc.args(["exec", "bpf", "import"]).arg(&socket).args(["run", "sh", "-c", child]);
    let ours = import(&lab, &[], &socket, &["--", "sh", "-c", child]);
    for mut command in [tc, ours] {
        let waiting = Waiting::start(&mut command, &[&socket]);
        transfer(&socket, &sent, &[3, 7]);
        assert_eq!(waiting.stdout(), want, "{command:?}");
        assert!(!socket.exists(), "{command:?}");
    }
}

#[test]
fn hundred_maps_arrive_in_three_datagrams_in_order_of_ids() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let sent = maps(100);
    let ids: Vec<u32> = (0..100).map(|i| 5000 - 7 * i).collect();
    let mut command = import(&lab, &[], &socket, &["--", "sh", "-c", REPORT]);
    let waiting = Waiting::start(&mut command, &[&socket]);
    for range in [0..40, 40..41, 41..100] {
        let entries = ids[range.clone()].iter().map(|&id| entry(id)).collect();
        Datagram { total: 100, ..Datagram::of(entries) }.send(&socket, &borrowed(&sent[range]));
    }
    let lines: Vec<_> = (0..100).rev().map(|i| (ids[i], 64 + i as i32, i)).collect();
    assert_eq!(waiting.stdout(), report(&sent, &lines));
    assert_eq!(lab.files(), before);
    nobody_holds("a hundred maps", sent);
}

#[test]
fn duplicate_or_taken_ids_are_renumbered_with_a_warning() {
    let lab = Lab::new();
    let (pin, socket) = (lab.array("pinned", 1), lab.path("uds"));
    let (pin, id) = (pin.to_str().unwrap(), map_id(&pin));
    let outer = ["--pin", pin, "--", "bpf-exec"];
    // What is before --import, the ids sent, the number and descriptor of each, those warned of.
    type Case<'a> = (&'a [&'a str], &'a [u32], &'a [(u32, i32)], &'a str);
    let cases: [Case; 5] = [
        (&[], &[5, 5], &[(0, 64), (1, 65)], "5"),
        (&[], &[0, 0, 0], &[(0, 64), (1, 65), (2, 66)], "0"),
        (&outer, &[7, 0], &[(1, 65), (2, 66)], "0"),
        (&outer, &[7, 1], &[(7, 65), (1, 66)], ""),
        (&[], &[u32::MAX], &[(u32::MAX, 64)], ""),
    ];
    for (before, ids, want, warned) in cases {
        let sent = maps(ids.len());
        let mut command = import(&lab, before, &socket, &["--", "sh", "-c", REPORT]);
        let waiting = Waiting::start(&mut command, &[&socket]);
        transfer(&socket, &sent, ids);
        let mut lines: Vec<_> = want.iter().enumerate().map(|(at, &(n, fd))| (n, fd, at)).collect();
        lines.sort();
        let mut stdout = report(&sent, &lines);
        if !before.is_empty() {
            let count = lines.len();
            stdout = format!("0 64 {id} pinned\n{stdout}");
            stdout = stdout.replace(&format!("{count} maps"), &format!("{} maps", count + 1));
        }
        let stderr = match warned {
            "" => String::new(),
            ids => format!(
                "bpf-exec: warning: {}: declared ids that repeat or are taken, so all are numbered anew: {ids}\n",
                socket.display()
            ),
        };
        assert_eq!(waiting.run(), Run { status: 0, stdout, stderr }, "{ids:?}");
    }
}

#[test]
fn a_name_is_given_to_one_map_and_refused_for_two() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let (path, argument) = (socket.display(), format!("hits={}", socket.display()));
    let mut command = lab.exec(["--import", &argument, "--", "sh", "-c", REPORT]);
    let one = maps(1);
    let waiting = Waiting::start(&mut command, &[&socket]);
    transfer(&socket, &one, &[4]);
    assert_eq!(waiting.stdout(), format!("4 64 {} hits\n1 maps\n", id_of(&one[0])));
    let two = maps(2);
    let waiting = Waiting::start(&mut command, &[&socket]);
    transfer(&socket, &two, &[4, 5]);
    waiting.fails("two maps", &format!("hits: name a map: {path} gives 2 maps, not one"));
    assert_eq!(lab.files(), before);
    nobody_holds("two maps", two);
}

#[test]
fn imports_and_pins_keep_the_order_of_the_command_line() {
    let lab = Lab::new();
    let (first, second) = (lab.path("first"), lab.path("second"));
    let ids = [lab.array("a", 1), lab.array("b", 1)].map(|pin| map_id(&pin));
    let before = lab.files();
    let sent = maps(3);
    let mut command = lab.exec(["--pin", "/sys/fs/bpf/a", "--import", "first"]);
    command.args(["--pin", "/sys/fs/bpf/b", "--import", "second", "--", "sh", "-c", REPORT]);
    let waiting = Waiting::start(&mut command, &[&first, &second]);
    transfer(&second, &sent[2..], &[1]);
    transfer(&first, &sent[..2], &[5, 0]);
    let [zero, five, one] = [1, 0, 2].map(|at| id_of(&sent[at]));
    let lines = [
        format!("0 66 {zero} sent"),
        format!("1 68 {one} sent"),
        format!("2 64 {} a", ids[0]),
        format!("3 67 {} b", ids[1]),
        format!("5 65 {five} sent"),
        "5 maps\n".into(),
    ];
    assert_eq!(waiting.stdout(), lines.join("\n"));
    assert_eq!(lab.files(), before);
}

#[test]
fn a_source_that_fails_is_told_at_once_and_leaves_no_socket() {
    let lab = Lab::new();
    let before = lab.files();
    let mut command =
        lab.exec([LIMIT, "--import", "uds", "--pin", "/sys/fs/bpf/none", "--", "env"]);
    fails(&mut command, 125, "bpf-exec: /sys/fs/bpf/none: open pin: no such file or directory");
    let mut command = lab.exec([LIMIT, "--import", "uds", "--import", "no/uds", "--", "env"]);
    fails(&mut command, 125, "bpf-exec: no/uds: bind socket: no such file or directory");
    assert_eq!(lab.files(), before);
}

#[test]
fn a_command_that_is_not_found_leaves_neither_socket_nor_maps() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let mut command = import(&lab, &[], &socket, &["--", "./none"]);
    let waiting = Waiting::start(&mut command, &[&socket]);
    let sent = maps(1);
    transfer(&socket, &sent, &[1]);
    let stderr = "bpf-exec: ./none: execute: command not found\n".into();
    assert_eq!(waiting.run(), Run { status: 127, stdout: String::new(), stderr });
    assert_eq!(lab.files(), before);
    nobody_holds("no command", sent);
}

#[test]
fn the_socket_has_the_mode_asked_for_whatever_the_umask_is() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    for (umask, options, want) in [
        ("022", &[][..], 0o600),
        ("000", &[], 0o600),
        ("077", &[], 0o600),
        ("777", &[], 0o600),
        ("022", &["--socket-mode=644"], 0o644),
        ("077", &["--socket-mode", "0660", "--from=0"], 0o660),
        ("000", &["--socket-mode", "0660", "--from=root"], 0o660),
        ("022", &["--socket-mode=777", "--from=0"], 0o777),
    ] {
        let command = import(&lab, options, &socket, &["--", "sh", "-c", "umask"]);
        let mut command = after(&format!("umask {umask}"), &command);
        let waiting = Waiting::start(&mut command, &[&socket]);
        let file = socket.symlink_metadata().unwrap();
        assert!(file.file_type().is_socket());
        assert_eq!(file.permissions().mode() & 0o7777, want, "umask {umask} {options:?}");
        assert_eq!(lab.files().len(), before.len() + 1, "nothing but the socket");
        transfer(&socket, &maps(1), &[0]);
        assert_eq!(waiting.stdout(), format!("0{umask}\n"), "the command's own umask");
        assert_eq!(lab.files(), before);
    }
}

#[test]
fn a_signal_ends_the_wait_and_leaves_neither_socket_nor_maps() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
        for partly in [false, true] {
            let what = format!("{signal} partly {partly}");
            let sent = maps(1);
            let command = import(
                &lab,
                &["--create", "made=array,value=4,entries=1"],
                &socket,
                &["--", "echo", "ran"],
            );
            // SIGQUIT would leave a core file.
            let mut waiting = Waiting::start(&mut after("ulimit -c 0", &command), &[&socket]);
            if partly {
                Datagram { total: 2, ..Datagram::of(vec![entry(0)]) }
                    .send(&socket, &borrowed(&sent));
            }
            waiting.signal(signal);
            let output = waiting.output();
            assert_eq!(output.status.signal(), Some(signal as i32), "{what}: {output:?}");
            assert_eq!(
                Run::from(output),
                Run { status: 128 + signal as i32, stdout: String::new(), stderr: String::new() }
            );
            assert_eq!(lab.files(), before, "{what}");
            nobody_holds(&what, sent);
        }
    }
}

#[test]
fn ignored_signal_stays_ignored_and_does_not_end_the_wait() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let ignored = "grep ^SigIgn: /proc/self/status; grep ^SigBlk: /proc/self/status";
    let command = import(&lab, &[], &socket, &["--", "sh", "-c", ignored]);
    let mut waiting = Waiting::start(&mut after("trap '' HUP INT", &command), &[&socket]);
    waiting.signal(Signal::SIGINT);
    waiting.signal(Signal::SIGHUP);
    transfer(&socket, &maps(1), &[0]);
    let stdout = waiting.stdout();
    let bits = |name: &str| {
        let line = stdout.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        u64::from_str_radix(line.trim(), 16).expect("a mask")
    };
    assert_eq!(bits("SigIgn:") & 0b11, 0b11, "{stdout}");
    assert_eq!(bits("SigBlk:"), 0, "{stdout}");
    assert_eq!(lab.files(), before);
}

#[test]
fn a_dead_leftover_socket_is_replaced() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let mut command = import(&lab, &[], &socket, &["--", "sh", "-c", REPORT]);
    let killed = |path: &Path| {
        let mut waiting = Waiting::start(&mut import(&lab, &[], path, &["--", "env"]), &[path]);
        waiting.signal(Signal::SIGKILL);
        assert_eq!(waiting.output().status.signal(), Some(Signal::SIGKILL as i32));
    };
    type Leave<'a> = &'a dyn Fn(&Path);
    let leftovers: [(&str, Leave); 3] = [
        ("datagram", &|path| drop(UnixDatagram::bind(path).unwrap())),
        ("stream", &|path| drop(UnixListener::bind(path).unwrap())),
        ("bpf-exec killed", &killed),
    ];
    for (what, leave) in leftovers {
        leave(&socket);
        // A process that another test is starting may hold it until it executes.
        eventually(&format!("{what}: the socket's end"), || {
            let connected = UnixDatagram::unbound().expect("a socket").connect(&socket);
            connected.is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
        });
        let waiting = Waiting::start(&mut command, &[&socket]);
        // It is in place a moment before what it replaces is gone.
        eventually(what, || lab.files().len() == before.len() + 1);
        let sent = maps(1);
        transfer(&socket, &sent, &[2]);
        assert_eq!(waiting.stdout(), report(&sent, &[(2, 64, 0)]), "{what}");
        assert_eq!(lab.files(), before, "{what}");
    }
}

#[test]
fn whatever_else_has_the_name_is_an_error_and_stays() {
    let lab = Lab::new();
    let other = UnixDatagram::bind(lab.path("datagram")).unwrap();
    let stream = UnixListener::bind(lab.path("stream")).unwrap();
    let talking = UnixDatagram::bind(lab.path("talking")).unwrap();
    talking.connect(lab.path("datagram")).unwrap();
    drop(UnixDatagram::bind(lab.path("dead")).unwrap());
    std::fs::write(lab.path("file"), "content").unwrap();
    std::fs::create_dir(lab.path("directory")).unwrap();
    nix::unistd::mkfifo(&lab.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    symlink("datagram", lab.path("to-live")).unwrap();
    symlink("dead", lab.path("to-dead")).unwrap();
    symlink("nothing", lab.path("to-nothing")).unwrap();
    let look = || {
        let one = |path: PathBuf| {
            let file = path.symlink_metadata().unwrap();
            (path, file.dev(), file.ino(), file.mode(), file.len())
        };
        lab.files().into_iter().map(one).collect::<Vec<_>>()
    };
    let before = look();
    for (name, cause) in [
        ("datagram", "a live socket is bound there"),
        ("stream", "a live socket is bound there"),
        ("talking", "a live socket is bound there"),
        ("file", "exists, and is not a socket"),
        ("directory", "exists, and is not a socket"),
        ("fifo", "exists, and is not a socket"),
        ("to-live", "exists, and is not a socket"),
        ("to-dead", "exists, and is not a socket"),
        ("to-nothing", "exists, and is not a socket"),
    ] {
        let mut command = lab.exec([LIMIT, "--import", name, "--", "echo", "ran"]);
        fails(&mut command, 125, &format!("bpf-exec: {name}: bind socket: {cause}"));
        assert_eq!(look(), before, "{name}");
    }
    assert_eq!(std::fs::read(lab.path("file")).unwrap(), b"content");
    // They work as before.
    UnixDatagram::unbound().unwrap().send_to(b"x", lab.path("datagram")).unwrap();
    assert_eq!(other.recv(&mut [0; 8]).unwrap(), 1);
    drop(stream);
}

#[test]
fn a_live_import_is_not_disturbed_by_a_second_one() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let mut command = import(&lab, &[LIMIT], &socket, &["--", "sh", "-c", REPORT]);
    let waiting = Waiting::start(&mut command, &[&socket]);
    let message =
        format!("bpf-exec: {}: bind socket: a live socket is bound there", socket.display());
    fails(&mut command, 125, &message);
    let sent = maps(1);
    transfer(&socket, &sent, &[0]);
    assert_eq!(waiting.stdout(), report(&sent, &[(0, 64, 0)]));
    assert_eq!(lab.files(), before);
}

#[test]
fn a_path_may_be_relative_and_have_107_bytes_but_not_108() {
    let lab = Lab::new();
    let before = lab.files();
    let long = |length: usize| lab.path(&"x".repeat(length - lab.path("").as_os_str().len()));
    let reached = [PathBuf::from("relative"), PathBuf::from("./dot"), long(107)];
    assert_eq!(reached[2].as_os_str().len(), 107);
    for path in reached {
        let mut command = import(&lab, &[], &path, &["--", "sh", "-c", REPORT]);
        let socket = lab.dir.path().join(&path);
        let waiting = Waiting::start(&mut command, &[&socket]);
        let sent = maps(1);
        transfer(&socket, &sent, &[0]);
        assert_eq!(waiting.stdout(), report(&sent, &[(0, 64, 0)]), "{}", path.display());
        assert_eq!(lab.files(), before);
    }
    std::fs::write(lab.path("file"), "").unwrap();
    let before = lab.files();
    let long = long(108);
    for (path, cause) in [
        (long.to_str().unwrap(), "108 bytes, where a socket's path has at most 107"),
        ("none/uds", "no such file or directory"),
        ("file/uds", "not a directory"),
        ("uds/", "not a name for a file"),
        ("/", "not a name for a file"),
        ("..", "not a name for a file"),
        ("/proc/uds", "no such file or directory"),
    ] {
        let mut command = lab.exec([LIMIT, "--import", path, "--", "echo", "ran"]);
        fails(&mut command, 125, &format!("bpf-exec: {path}: bind socket: {cause}"));
        assert_eq!(lab.files(), before, "{path}");
    }
}

#[test]
fn a_time_limit_ends_the_wait_and_tells_what_came() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let path = socket.display();
    let timed = ["--timeout", "0.2"];
    let nothing = format!(
        "bpf-exec: {path}: import: nothing came within 0.2 seconds \
         (a tc built with libbpf sends no BTF maps, and does not say so)"
    );
    let mut command = import(&lab, &timed, &socket, &["--", "echo", "ran"]);
    fails(&mut command, 125, &nothing);
    assert_eq!(lab.files(), before);
    // Long enough for the first datagram to be sent in any case.
    let mut command = import(&lab, &["--timeout", "2"], &socket, &["--", "echo", "ran"]);
    for total in [3, u16::MAX] {
        let waiting = Waiting::start(&mut command, &[&socket]);
        let sent = maps(2);
        Datagram { total, ..Datagram::of(vec![entry(0), entry(1)]) }
            .send(&socket, &borrowed(&sent));
        waiting
            .fails("partly", &format!("{path}: import: 2 of {total} maps came within 2 seconds"));
        assert_eq!(lab.files(), before);
        nobody_holds("partly", sent);
    }
}

/// Bytes and descriptors to be sent.
type Message<'a> = (Vec<u8>, Vec<BorrowedFd<'a>>);
type Case = (&'static str, for<'a> fn(&'a [OwnedFd]) -> Vec<Message<'a>>, &'static str);

/// A datagram that tells the truth about `maps`, but for what `edit` does to it.
fn made(maps: &[OwnedFd], edit: impl FnOnce(&mut Datagram)) -> Message<'_> {
    let mut datagram = Datagram::of((0..maps.len() as u32).map(entry).collect());
    edit(&mut datagram);
    (datagram.bytes(), borrowed(maps))
}

/// The same, cut or filled up to `length` bytes.
fn resized(maps: &[OwnedFd], length: usize) -> Message<'_> {
    let (mut bytes, fds) = made(maps, |_| ());
    bytes.resize(length, 0);
    (bytes, fds)
}

/// The first map, sent many times over.
fn repeated(map: &OwnedFd, times: u32, edit: impl FnOnce(&mut Datagram)) -> Message<'_> {
    let mut datagram = Datagram::of((0..times).map(entry).collect());
    edit(&mut datagram);
    (datagram.bytes(), vec![map.as_fd(); times as usize])
}

/// A first datagram of two maps in a transfer of three, and the edited second one.
fn second(maps: &[OwnedFd], edit: fn(&mut Datagram)) -> Vec<Message<'_>> {
    let first = made(&maps[..2], |d| d.total = 3);
    let second = made(&maps[2..3], |d| {
        d.total = 3;
        edit(d);
    });
    vec![first, second]
}

/// What is sent, given three maps; and the cause told, with `ID` for the id of the first.
const HOSTILE: [Case; 28] = [
    ("empty", |_| vec![(vec![], vec![])], "a datagram of 0 bytes, shorter than the header's 88"),
    ("1 byte", |_| vec![(vec![1], vec![])], "a datagram of 1 byte, shorter than the header's 88"),
    (
        "87 bytes",
        |m| vec![resized(&m[..1], 87)],
        "a datagram of 87 bytes, shorter than the header's 88",
    ),
    ("the header alone", |_| vec![made(&[], |d| d.total = 1)], "a datagram without descriptors"),
    (
        "no entry for a descriptor",
        |m| vec![resized(&m[..1], 88)],
        "a datagram of 88 bytes, where 1 descriptor want 124",
    ),
    (
        "cut short by 1",
        |m| vec![resized(m, 195)],
        "a datagram of 195 bytes, where 3 descriptors want 196",
    ),
    (
        "too long by 1",
        |m| vec![resized(m, 197)],
        "a datagram of 197 bytes, where 3 descriptors want 196",
    ),
    ("huge", |m| vec![resized(m, 60_000)], "a datagram longer than any that tc sends"),
    (
        "no descriptors",
        |m| vec![(made(m, |_| ()).0, vec![])],
        "a datagram of 196 bytes, where 0 descriptors want 88",
    ),
    ("version 2", |m| vec![made(m, |d| d.version = 2)], "version 2, where only 1 is known"),
    ("version 0", |m| vec![made(m, |d| d.version = 0)], "version 0, where only 1 is known"),
    ("count 0", |m| vec![made(m, |d| d.total = 0)], "a transfer of 0 maps"),
    ("count 0 and nothing else", |_| vec![made(&[], |_| ())], "a transfer of 0 maps"),
    (
        "more descriptors than entries",
        |m| vec![made(m, |d| d.entries.truncate(2))],
        "a datagram of 160 bytes, where 3 descriptors want 196",
    ),
    (
        "more entries than descriptors",
        |m| vec![made(m, |d| d.entries.push(entry(3)))],
        "a datagram of 232 bytes, where 3 descriptors want 196",
    ),
    (
        "65 maps and a count of 64",
        |m| vec![repeated(&m[0], 65, |d| d.total = 64)],
        "65 maps in a transfer of 64",
    ),
    (
        "253 maps and a count of 1",
        |m| vec![repeated(&m[0], 253, |d| d.total = 1)],
        "253 maps in a transfer of 1",
    ),
    (
        "a second datagram that exceeds the count",
        |m| vec![made(&m[..2], |d| d.total = 3), made(&m[1..], |d| d.total = 3)],
        "4 maps in a transfer of 3",
    ),
    ("another object", |m| second(m, |d| d.object.push('x')), "datagrams of two transfers"),
    ("another device", |m| second(m, |d| d.st_dev += 1), "datagrams of two transfers"),
    ("another inode", |m| second(m, |d| d.st_ino += 1), "datagrams of two transfers"),
    ("another count", |m| second(m, |d| d.total = 4), "datagrams of two transfers"),
    ("a bad second datagram", |m| second(m, |d| d.version = 7), "version 7, where only 1 is known"),
    (
        "another type",
        |m| vec![made(m, |d| d.entries[0][0] = 1)],
        "map id ID: type declared as 1, but is 2",
    ),
    (
        "another key size",
        |m| vec![made(m, |d| d.entries[0][1] = 8)],
        "map id ID: key size declared as 8, but is 4",
    ),
    (
        "another value size",
        |m| vec![made(m, |d| d.entries[0][2] = 0)],
        "map id ID: value size declared as 0, but is 8",
    ),
    (
        "more entries",
        |m| vec![made(m, |d| d.entries[0][3] = u32::MAX)],
        "map id ID: max entries declared as 4294967295, but is 1",
    ),
    (
        "a wrong entry after right ones",
        |m| {
            let swapped = |d: &mut Datagram| d.entries[2] = [6, 4, 8, 1, 0, 2, 0, 0, 0];
            vec![(made(m, swapped).0, vec![m[1].as_fd(), m[2].as_fd(), m[0].as_fd()])]
        },
        "map id ID: type declared as 6, but is 2",
    ),
];

#[test]
fn malformed_datagram_is_an_error_and_its_maps_are_closed() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    for (what, build, cause) in HOSTILE {
        let sent = maps(3);
        let mut command = import(&lab, &[], &socket, &["--", "echo", "ran"]);
        let waiting = Waiting::start(&mut command, &[&socket]);
        for (bytes, fds) in build(&sent) {
            send(&socket, &bytes, &fds);
        }
        let cause = cause.replace("ID", &id_of(&sent[0]).to_string());
        waiting.fails(what, &format!("{}: import: {cause}", socket.display()));
        assert_eq!(lab.files(), before, "{what}");
        nobody_holds(what, sent);
    }
}

#[test]
fn descriptor_that_is_not_a_map_is_named_in_the_error() {
    let lab = Lab::new();
    let socket = lab.path("uds");
    let (program, link) = (pin_program("prog"), pin_link("link"));
    let before = lab.files();
    let (pipe, _other_end) = std::io::pipe().unwrap();
    let file = std::fs::File::open("/etc/passwd").unwrap();
    let others: [(OwnedFd, &str); 6] = [
        (file.into(), "a file"),
        (std::fs::File::open("/").unwrap().into(), "a file"),
        (UnixDatagram::unbound().unwrap().into(), "a socket"),
        (pipe.into(), "a pipe"),
        (open_pin(&program), "a BPF program"),
        (open_pin(&link), "a BPF link"),
    ];
    for (other, what) in others {
        // Between two maps, of which the first has been accepted by then.
        let mut fds = maps(2);
        fds.insert(1, other);
        let mut command = import(&lab, &[], &socket, &["--", "echo", "ran"]);
        let waiting = Waiting::start(&mut command, &[&socket]);
        transfer(&socket, &fds, &[0, 1, 2]);
        let path = socket.display();
        waiting.fails(what, &format!("{path}: import: descriptor 2 of 3 is {what}, not a map"));
        assert_eq!(lab.files(), before, "{what}");
        fds.remove(1);
        nobody_holds(what, fds);
    }
}

#[test]
fn descriptors_lost_to_the_limit_on_open_files_are_an_error() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let command = import(&lab, &[], &socket, &["--", "echo", "ran"]);
    let mut command = after("ulimit -n 20", &command);
    let waiting = Waiting::start(&mut command, &[&socket]);
    let sent = maps(30);
    transfer(&socket, &sent, &(0..30).collect::<Vec<_>>());
    let cause = "descriptors were lost: too many for the limit on open files";
    waiting.fails("30 maps", &format!("{}: import: {cause}", socket.display()));
    assert_eq!(lab.files(), before);
    nobody_holds("30 maps", sent);
}

/// The open fds of a command, between its start and the end of its input.
fn fds_when_ready(child: &mut Child) -> OpenFds {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let open = OpenFds::of(child.id());
    drop(child.stdin.take());
    open
}

#[test]
fn received_descriptors_are_close_on_exec_until_placed() {
    let lab = Lab::new();
    let socket = lab.path("uds");
    let script = ["sh", "-c", "echo ready; read -r line"];
    let mut command = import(&lab, &[], &socket, &["--"]);
    command.args(script).stdin(Stdio::piped());
    let mut waiting = Waiting::start(&mut command, &[&socket]);
    let pid = waiting.child().id();
    let (sent, at_start) = (maps(2), OpenFds::of(pid).numbers());
    let send_one = |at: usize| {
        let datagram = Datagram { total: 2, ..Datagram::of(vec![entry(at as u32)]) };
        datagram.send(&socket, &[sent[at].as_fd()]);
    };
    send_one(0);
    eventually("the first map received", || OpenFds::of(pid).count() > at_start.len());
    let mut received = OpenFds::of(pid).numbers();
    received.retain(|fd| !at_start.contains(fd));
    for fd in received.iter().chain(at_start.iter().filter(|&&fd| fd > 2)) {
        let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
        assert_ne!(flags & nix::libc::O_CLOEXEC, 0, "descriptor {fd} of {received:?}\n{info}");
    }
    send_one(1);
    fds_when_ready(waiting.child()).assert_numbers(&[0, 1, 2, 64, 65], "two maps");
    assert_eq!(waiting.run().status, 1, "read(1) met the end of its input");
}

#[test]
fn a_dry_run_waits_and_prints_and_leaves_no_socket() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let mut command = import(&lab, &["--dry-run", "--json"], &socket, &["--", "echo", "ran"]);
    let waiting = Waiting::start(&mut command, &[&socket]);
    let sent = maps(1);
    transfer(&socket, &sent, &[3]);
    let json: serde_json::Value = serde_json::from_str(&waiting.stdout()).unwrap();
    assert_eq!(json[0]["index"], 3);
    assert_eq!(json[0]["id"], id_of(&sent[0]));
    assert_eq!(json.as_array().map(Vec::len), Some(1));
    assert_eq!(lab.files(), before);
    nobody_holds("a dry run", sent);
}

#[test]
fn closed_standard_streams_are_not_reused() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    for closed in [&[0][..], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2]] {
        let closing: Vec<String> = closed.iter().map(|fd| format!("exec {fd}>&-")).collect();
        let command = import(&lab, &[], &socket, &["--", "echo", "ran"]);
        let mut waiting = Waiting::start(&mut after(&closing.join("; "), &command), &[&socket]);
        let (pid, sent) = (waiting.child().id(), maps(1));
        let at_start = OpenFds::of(pid);
        let datagram = Datagram { total: 2, ..Datagram::of(vec![entry(0)]) };
        datagram.send(&socket, &[sent[0].as_fd()]);
        eventually("the map received", || OpenFds::of(pid).difference(&at_start) > 0);
        for fd in closed {
            // Absent, or the root directory, which can be neither read nor written.
            let open = OpenFds::of(pid);
            let target = open.target(*fd);
            assert!(matches!(target, None | Some("/")), "{closed:?} closed: fd {fd} is {target:?}");
        }
        waiting.signal(Signal::SIGTERM);
        assert_eq!(waiting.output().status.signal(), Some(Signal::SIGTERM as i32));
        assert_eq!(lab.files(), before);
    }
}
