//! Requests that take long: they are interrupted for trusted peers, and users take turns.

use crate::common::agent::*;
use crate::common::fds::new_map;
use crate::common::*;
use crate::support::peers::*;
use nix::sys::signal::Signal;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// Names, and rules that match none of them after a long search.
const NAMES: usize = 600;
const RULES: usize = 400;

/// An agent that needs seconds to decide which names a user of group 50 may list or read. Root's
/// connection has been accepted.
fn busy_agent(lab: &Lab) -> (Agent, PathBuf, Client) {
    let rules = format!("{}z:gid=50:list,read\n", "*a".repeat(12)).repeat(RULES);
    let rules = rules + "short:gid=50:list,read\nshort:uid=1001:list,read\na*:uid=2002:list\n";
    std::fs::write(lab.path("rules"), rules).unwrap();
    let (agent, path) = serve_all(lab, &["-q", "--rules", "rules"], &[]);
    let root = Client::connect(&path);
    let map = new_map("long");
    done(root.put("short", map.as_fd()));
    for n in 0..NAMES {
        done(root.put(&format!("{}{n:03}", "a".repeat(190)), map.as_fd()));
    }
    (agent, path, root)
}

fn member(uid: u32) -> User {
    User { gid: 50, ..User::new(uid) }
}

/// Whether the agent has received everything that was sent.
fn is_received(client: &Client) -> bool {
    let mut bytes = 0i32;
    // SAFETY: SIOCOUTQ writes an integer.
    let done = unsafe { libc::ioctl(client.fd(), libc::TIOCOUTQ, &raw mut bytes) };
    assert_eq!(done, 0);
    bytes == 0
}

#[test]
fn long_request_is_interrupted_for_other_peers() {
    let lab = Lab::new();
    let (_agent, path, root) = busy_agent(&lab);
    let wait = {
        let names: Vec<String> = (0..NAMES).map(|n| format!("{}{n:03}", "a".repeat(190))).collect();
        [&0u32.to_ne_bytes()[..], &strings(&names), &string("refused")].concat()
    };
    for (uid, operation, body) in [(2001, LIST, string("")), (2002, WAIT, wait)] {
        let slow = Client::connect_as(&path, &member(uid));
        let user = Client::connect_as(&path, &User::new(1001));
        user.ask(INFO, 0, &string("short"), &[]);
        slow.send(&packet(operation, 0, 7, &body), &[]).expect("sent");
        eventually("the start of the request", || is_received(&slow));
        for _ in 0..5 {
            assert_eq!(root.ask(INFO, 0, &string("short"), &[]).status, 0);
            assert_eq!(user.ask(INFO, 0, &string("short"), &[]).status, 0);
        }
        assert!(!slow.is_answered(), "{operation}");
        let answer = slow.answer(7, false);
        match operation {
            LIST => assert_eq!(names(&answer.records), ["short"]),
            _ => assert_eq!(refusal(answer).0, 2),
        }
    }
}

#[test]
fn root_is_served_before_many_connections_of_users() {
    let lab = Lab::new();
    let (agent, path, root) = busy_agent(&lab);
    let equal = Client::connect_as(&path, &User::new(1001));
    let hidden = format!("{}000", "a".repeat(190));
    let many: Vec<Client> = (0..256)
        .map(|n| Client::connect_as(&path, &member(2001 + n % 2)))
        .inspect(|client| assert_eq!(client.ask(INFO, 0, &string("short"), &[]).status, 0))
        .collect();
    for (operation, body) in [(GET, string(&hidden)), (LIST, string(""))] {
        agent.signal(Signal::SIGSTOP);
        for client in &many {
            client.send(&packet(operation, 0, 7, &body), &[]).expect("sent");
        }
        equal.send(&packet(INFO, 0, 8, &string("short")), &[]).expect("sent");
        root.send(&packet(INFO, 0, 9, &string("short")), &[]).expect("sent");
        agent.signal(Signal::SIGCONT);
        done(root.answer(9, false));
        done(equal.answer(8, false));
        // An equal user has had its turn, after a few of those of the others.
        let answered = many.iter().filter(|client| client.is_answered()).count();
        assert!(answered < many.len() / 2, "{operation}: {answered}");
        for client in many.iter().filter(|_| operation == GET) {
            assert_eq!(client.answer(7, true).status, 2);
        }
    }
}

#[test]
fn user_in_65536_groups_is_admitted_by_any_of_them() {
    let lab = Lab::new();
    let rules = (0..RULES).map(|n| format!("*:gid={}:list\n", 100_000 + n)).collect::<String>();
    std::fs::write(lab.path("rules"), rules).unwrap();
    let (agent, path) = serve_all(&lab, &["-q", "--rules", "rules"], &[]);
    let root = Client::connect(&path);
    let member_of =
        |last| User { groups: (1..=65535).rev().chain([last]).collect(), ..User::new(2001) };
    let (none, some) = (member_of(70_000), member_of(100_000 + RULES as u32 - 1));
    assert_eq!((none.groups.len(), some.groups.len()), (65536, 65536));
    let refused: Vec<Client> = (0..16).map(|_| Client::connect_as(&path, &none)).collect();
    let all: Vec<Client> = (0..16).map(|_| Client::connect_as(&path, &some)).collect();
    assert_eq!(root.list(), []);
    all.iter().for_each(|client| assert_eq!(client.list(), []));
    refused.iter().for_each(|client| assert_eq!(client.receive().expect("the end").bytes, b""));
    // Groups are not kept: neither are they for a reload.
    agent.signal(Signal::SIGHUP);
    assert_eq!(root.list(), []);
    all.iter().for_each(|client| assert_eq!(client.list(), []));
}
