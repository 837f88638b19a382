//! Requests that take long: they are interrupted for trusted peers, and users take turns.

use crate::common::agent::*;
use crate::common::fds::new_map;
use crate::common::*;
use crate::support::peers::*;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::signal::Signal;
use std::os::fd::{AsFd, BorrowedFd};
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

/// The order in which sockets become readable, each of which counts once: it does not depend on
/// when this is asked.
struct Answers {
    epoll: Epoll,
    order: Vec<u64>,
}

impl Answers {
    fn watch<'a>(sockets: impl Iterator<Item = BorrowedFd<'a>>) -> Answers {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll");
        let once = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        for (at, socket) in sockets.enumerate() {
            epoll.add(socket, EpollEvent::new(once, at as u64)).expect("a socket");
        }
        Answers { epoll, order: Vec::new() }
    }

    /// Waits until the socket with this index is readable; how many were so before it.
    #[track_caller]
    fn before(&mut self, at: usize) -> usize {
        loop {
            if let Some(before) = self.order.iter().position(|&other| other == at as u64) {
                return before;
            }
            let mut events = [EpollEvent::empty(); 512];
            let count = self.epoll.wait(&mut events, HANG.as_millis() as u16).expect("events");
            assert_ne!(count, 0, "no answer");
            self.order.extend(events[..count].iter().map(EpollEvent::data));
        }
    }
}

fn member(uid: u32) -> User {
    User { gid: 50, ..User::new(uid) }
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
        slow.await_received();
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
        let sockets = many.iter().chain([&equal, &root]).map(AsFd::as_fd);
        let mut answers = Answers::watch(sockets);
        for client in &many {
            client.send(&packet(operation, 0, 7, &body), &[]).expect("sent");
        }
        equal.send(&packet(INFO, 0, 8, &string("short")), &[]).expect("sent");
        root.send(&packet(INFO, 0, 9, &string("short")), &[]).expect("sent");
        agent.signal(Signal::SIGCONT);
        // An equal user has its turn after a few of those of the others.
        for at in [many.len() + 1, many.len()] {
            let before = answers.before(at);
            assert!(before < many.len() / 2, "{operation}: {before}");
        }
        done(root.answer(9, false));
        done(equal.answer(8, false));
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
