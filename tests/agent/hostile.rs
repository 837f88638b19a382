//! Clients that send an agent malformed packets: it answers them, and keeps no fd.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::peers::*;
use nix::sys::socket::{MsgFlags, sendmsg};
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd};

/// A packet whose header is right but for these.
fn header(version: u8, operation: u8, flags: u16) -> Vec<u8> {
    let mut bytes = packet(operation, flags, 77, b"");
    bytes[0] = version;
    bytes
}

#[test]
fn malformed_packet_is_answered_with_the_reason() {
    let lab = Lab::new();
    let (mut agent, path) = serve_all(&lab, &[], &["x:uid=65534:list"]);
    let (client, nobody) = (Client::connect(&path), Client::connect_as(&path, &User::new(65534)));
    client.list();
    nobody.list();
    let before = agent.fds();
    let version = |version: u8| format!("version {version}, where only 2 is known");
    let with = |operation, flags, body: &[u8]| [&header(VERSION, operation, flags), body].concat();
    let short = "the packet ends too early";
    let huge = [&u32::MAX.to_ne_bytes()[..], b"hits"].concat();
    let hits = string("hits");
    let put = strings(&["hits", ""]);
    for (bytes, status, want) in [
        (vec![VERSION], 1, short),
        (vec![VERSION; 7], 1, short),
        (header(VERSION, LIST, 0), 1, short),
        (vec![0], 10, &version(0)),
        (vec![1], 10, &version(1)),
        ([&header(255, LIST, 0), &hits[..]].concat(), 10, &version(255)),
        ([&header(3, LIST, 0xffff), &hits[..]].concat(), 10, &version(3)),
        (with(0, 0, &hits), 1, "operation 0 is not known"),
        (with(7, 0, &hits), 1, "operation 7 is not known"),
        (with(255, 0xffff, &hits), 1, "operation 255 is not known"),
        (with(LIST, 2, &hits), 1, "flags 0x2 are not known here"),
        (with(GET, 4, &hits), 1, "flags 0x4 are not known here"),
        (with(GET, 0x8003, &hits), 1, "flags 0x8003 are not known here"),
        (with(PUT, 3, &put), 1, "flags 0x3 are not known here"),
        (with(REMOVE, 4, &hits), 1, "flags 0x4 are not known here"),
        (with(INFO, 0, &hits[..7]), 1, short),
        (with(INFO, 0, &huge), 1, short),
        (with(GET, 0, &[&hits, &huge[..]].concat()), 1, short),
        (with(LIST, 0, &huge), 1, short),
        (with(PUT, 0, &hits), 1, short),
        (with(WAIT, 0, &[0; 3]), 1, short),
        (with(INFO, 0, &[&hits[..], b"?"].concat()), 1, "1 byte after the end of the request"),
        (with(LIST, 0, &put), 1, "4 bytes after the end of the request"),
        (with(PUT, 0, &strings(&["a", "", ""])), 1, "4 bytes after the end of the request"),
        (with(GET, 0, b""), 1, "no name is given"),
        (with(REMOVE, 0, b""), 1, short),
        (with(WAIT, 0, &[0; 4]), 1, "no name is given"),
    ] {
        let number = if bytes.len() < 8 { 0 } else { 77 };
        for client in [&client, &nobody] {
            client.send(&bytes, &[]).expect("sent");
            let answer = refusal(client.answer(number, false));
            assert_eq!(answer, (status, want.into()), "{bytes:?}");
            agent.line(&format!(": refused: {want}"));
        }
    }
    // The connection is as good as before.
    assert_eq!((client.list(), nobody.list()), (vec![], vec![]));
    agent.fds().assert_more(0, &before);
}

#[test]
fn overlong_request_is_refused() {
    let lab = Lab::new();
    let (agent, path) = serve(&lab);
    let client = Client::connect(&path);
    client.list();
    let before = agent.fds();
    // Names of 200 bytes, and a last one that makes the packet as long as is asked.
    let request = |length: usize| {
        let (mut names, rest) = (vec!["x".repeat(200); (length - 8) / 204], (length - 8) % 204);
        names.push("x".repeat(rest - 4));
        packet(GET, 0, 9, &strings(&names))
    };
    let longest = request(131072);
    assert_eq!(longest.len(), 131072);
    client.send(&longest, &[]).expect("sent");
    assert_eq!(refusal(client.answer(9, true)).0, 3);
    client.send(&request(131073), &[]).expect("sent");
    let want = (1, "a request of more than 131072 bytes".to_owned());
    assert_eq!(refusal(client.answer(9, true)), want);
    // As many names as may be, and one more.
    assert_eq!(refusal(client.ask(GET, 0, &strings(&["x"; 1024]), &[])).0, 3);
    let want = (1, "more than 1024 names".to_owned());
    assert_eq!(refusal(client.ask(GET, 0, &strings(&["x"; 1025]), &[])), want);
    client.send(&vec![0xff; 200_000], &[new_map("long").as_fd()]).expect("sent");
    assert_eq!(refusal(client.answer(u32::MAX, true)).0, 10);
    assert_eq!(client.list(), vec![]);
    agent.fds().assert_more(0, &before);
}

#[test]
fn empty_packet_ends_the_connection() {
    let lab = Lab::new();
    let (agent, path) = serve(&lab);
    let other = Client::connect(&path);
    other.list();
    let before = agent.fds();
    let map = new_map("empty");
    for fds in [&[][..], &[map.as_raw_fd()]] {
        let client = Client::connect(&path);
        client.list();
        let rights = [nix::sys::socket::ControlMessage::ScmRights(fds)];
        let rights = if fds.is_empty() { &[][..] } else { &rights };
        let none = [IoSlice::new(b"")];
        sendmsg::<()>(client.fd(), &none, rights, MsgFlags::empty(), None).expect("sent");
        assert_eq!(client.receive().expect("the end").bytes, b"");
        agent.await_fds(0, &before);
    }
    assert_eq!(other.list(), []);
}

/// A number in [0, below), from one that changes (xorshift64): the same at each run.
fn random(state: &mut u64, below: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 16) as usize % below
}

/// Bytes that are sometimes close to a request.
fn strange_packet(state: &mut u64) -> Vec<u8> {
    if random(state, 20) == 0 {
        let name = format!("n{}", random(state, 100));
        return packet(PUT, 4 * random(state, 3) as u16, 5, &strings(&[name.as_str(), ""]));
    }
    let length = 1 + random(state, 120);
    let mut bytes: Vec<u8> = (0..length).map(|_| random(state, 256) as u8).collect();
    if length >= 8 && random(state, 4) > 0 {
        bytes[..4].copy_from_slice(&[VERSION, random(state, 9) as u8, random(state, 5) as u8, 0]);
        // Strings whose lengths are about right.
        let mut at = 8 + 4 * random(state, 2);
        while at + 4 < length && random(state, 5) > 0 {
            let text = random(state, length - at);
            bytes[at..at + 4].copy_from_slice(&(text as u32).to_ne_bytes());
            for byte in &mut bytes[at + 4..] {
                *byte = b'a' + *byte % 3;
            }
            at += 4 + text;
        }
    }
    bytes
}

#[test]
fn random_packets_are_answered_one_by_one() {
    let lab = Lab::new();
    let (agent, path) = serve(&lab);
    let other = Client::connect(&path);
    other.list();
    let before = agent.fds();
    let map = new_map("random");
    let pipe = std::io::pipe().expect("a pipe");
    let fds = [map.as_fd(), pipe.0.as_fd(), map.as_fd()];
    let (mut state, mut statuses) = (0x9e37_79b9_7f4a_7c15, [0; 11]);
    for _ in 0..40 {
        // Fds are accepted there from the first packet on.
        let client = Client::connect(&lab.path("agent.root"));
        for _ in 0..100 {
            let bytes = strange_packet(&mut state);
            // It would be waited for.
            if bytes.len() > 1 && bytes[..2] == [VERSION, WAIT] {
                continue;
            }
            let count = random(&mut state, 4);
            client.send(&bytes, &fds[..count]).expect("sent");
            let number = bytes.get(4..8).map_or(0, |n| u32::from_ne_bytes(n.try_into().unwrap()));
            let is_get = bytes.len() > 1 && bytes[..2] == [VERSION, GET];
            statuses[usize::from(client.answer(number, is_get).status)] += 1;
        }
        // And many packets whose answers are not read.
        for _ in 0..100 {
            let bytes = strange_packet(&mut state);
            client.send(&bytes, &fds[..random(&mut state, 4)]).expect("sent");
        }
        drop(client);
        // A client that sends more fds than the agent can close in time is disconnected.
        eventually("the end of it", || {
            agent.fds().difference(&before) == other.list().len() as isize
        });
    }
    // Some of it was not so strange.
    for status in [0, 1, 3, 5, 10] {
        assert!(statuses[status] > 0, "{statuses:?}");
    }
    let stored = other.list();
    assert!(!stored.is_empty());
    for record in stored {
        done(other.ask(REMOVE, 0, &string(&record.name), &[]));
    }
    assert_eq!(other.list(), []);
    agent.await_fds(0, &before);
}
