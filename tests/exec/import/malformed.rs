//! Malformed transfers: an error, and no map stays open.

use super::*;
use crate::common::fds::*;
use crate::common::sender::{Datagram, send};
use crate::common::waiting::Waiting;
use crate::common::*;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

/// Bytes and descriptors to be sent.
type Message<'a> = (Vec<u8>, Vec<BorrowedFd<'a>>);

type Case = (&'static str, for<'a> fn(&'a [OwnedFd]) -> Vec<Message<'a>>, &'static str);

/// A datagram that describes `maps` correctly, except for the changes of `edit`.
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

/// The messages to send, given three maps; and the reported cause, with `ID` for the first id.
const HOSTILE: [Case; 28] = [
    (
        "empty",
        |_| vec![(vec![], vec![])],
        "a datagram of 0 bytes is shorter than its header (88 bytes)",
    ),
    (
        "1 byte",
        |_| vec![(vec![1], vec![])],
        "a datagram of 1 byte is shorter than its header (88 bytes)",
    ),
    (
        "87 bytes",
        |m| vec![resized(&m[..1], 87)],
        "a datagram of 87 bytes is shorter than its header (88 bytes)",
    ),
    (
        "the header alone",
        |_| vec![made(&[], |d| d.total = 1)],
        "a datagram without file descriptors",
    ),
    (
        "no entry for a descriptor",
        |m| vec![resized(&m[..1], 88)],
        "a datagram of 88 bytes, expected 124 for 1 file descriptor",
    ),
    (
        "truncated by 1",
        |m| vec![resized(m, 195)],
        "a datagram of 195 bytes, expected 196 for 3 file descriptors",
    ),
    (
        "too long by 1",
        |m| vec![resized(m, 197)],
        "a datagram of 197 bytes, expected 196 for 3 file descriptors",
    ),
    ("huge", |m| vec![resized(m, 60_000)], "a datagram longer than any that tc sends"),
    (
        "no descriptors",
        |m| vec![(made(m, |_| ()).0, vec![])],
        "a datagram of 196 bytes, expected 88 for 0 file descriptors",
    ),
    ("version 2", |m| vec![made(m, |d| d.version = 2)], "unknown version 2"),
    ("version 0", |m| vec![made(m, |d| d.version = 0)], "unknown version 0"),
    ("count 0", |m| vec![made(m, |d| d.total = 0)], "the transfer has 0 maps"),
    ("count 0 and nothing else", |_| vec![made(&[], |_| ())], "the transfer has 0 maps"),
    (
        "more descriptors than entries",
        |m| vec![made(m, |d| d.entries.truncate(2))],
        "a datagram of 160 bytes, expected 196 for 3 file descriptors",
    ),
    (
        "more entries than descriptors",
        |m| vec![made(m, |d| d.entries.push(entry(3)))],
        "a datagram of 232 bytes, expected 196 for 3 file descriptors",
    ),
    (
        "65 maps and a count of 64",
        |m| vec![repeated(&m[0], 65, |d| d.total = 64)],
        "65 maps received in a transfer of 64",
    ),
    (
        "253 maps and a count of 1",
        |m| vec![repeated(&m[0], 253, |d| d.total = 1)],
        "253 maps received in a transfer of 1",
    ),
    (
        "a second datagram that exceeds the count",
        |m| vec![made(&m[..2], |d| d.total = 3), made(&m[1..], |d| d.total = 3)],
        "4 maps received in a transfer of 3",
    ),
    ("another object", |m| second(m, |d| d.object.push('x')), "datagrams of two transfers"),
    ("another device", |m| second(m, |d| d.st_dev += 1), "datagrams of two transfers"),
    ("another inode", |m| second(m, |d| d.st_ino += 1), "datagrams of two transfers"),
    ("another count", |m| second(m, |d| d.total = 4), "datagrams of two transfers"),
    ("a bad second datagram", |m| second(m, |d| d.version = 7), "unknown version 7"),
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
        maps_are_released(what, sent);
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
        maps_are_released(what, fds);
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
    let cause = "file descriptors were lost: too many for the limit on open files";
    waiting.fails("30 maps", &format!("{}: import: {cause}", socket.display()));
    assert_eq!(lab.files(), before);
    maps_are_released("30 maps", sent);
}
