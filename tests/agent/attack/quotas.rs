//! Users that take all they can of connections, names and fds in flight leave a part for others.

use crate::common::agent::*;
use crate::common::child::Start;
use crate::common::fds::new_map;
use crate::common::*;
use crate::support::clocks::with_clocks;
use crate::support::peers::*;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

#[test]
fn two_users_leave_fds_in_flight_past_the_timeout() {
    let options = ["--max-in-flight", "16", "--client-timeout", "100"];
    let options = [&options[..], &["--socket-mode", "0666", "--allow", "*:gid=50:read"]].concat();
    with_clocks(&options, |agent, path, clocks| {
        let map = new_map("one");
        done(Client::connect(path).put("one", map.as_fd()));
        let user = |uid| Client::connect_as(path, &User { gid: 50, ..User::new(uid) });
        let mut unread = Vec::new();
        for (uid, share) in [(1001, 8), (1002, 4)] {
            let clients: Vec<Client> = (0..share + 2).map(|_| user(uid)).collect();
            for client in &clients {
                client.send(&packet(GET, 0, 7, &string("one")), &[]).expect("sent");
            }
            for _ in 0..share {
                assert!(agent.line("get \"one\": ").contains(&format!("uid {uid} ")));
            }
            unread.extend(clients);
        }
        // The other two of each user are not idle: they wait for room.
        unread.iter().for_each(Client::await_received);
        await_backlog(path);
        // The timeout closes these connections; the fds are in flight until they are received.
        clocks.passed.store(100, Ordering::SeqCst);
        for _ in 0..12 {
            agent.line("closed: idle timeout");
        }
        for _ in 0..5 {
            assert_eq!(user(1003).get(&["one"], 0).fds.len(), 1);
            assert_eq!(Client::connect(path).get(&["one"], 0).fds.len(), 1);
        }
        let answered = unread.iter().filter(|client| client.is_answered()).count();
        assert_eq!(answered, 12);
        // Once the second user receives an fd, another connection of it gets one.
        assert_eq!(unread[10].answer(7, true).fds.len(), 1);
        eventually("an answer", || unread[14].is_answered() || unread[15].is_answered());
    });
}

#[test]
fn two_users_leave_connections_past_the_timeout() {
    let lab = Lab::new();
    let options = ["--max-clients", "16", "--client-timeout", "3600"];
    let (mut agent, path) = serve_all(&lab, &options, &["*:gid=50:list"]);
    let user = |uid| Client::connect_as(&path, &User { gid: 50, ..User::new(uid) });
    let mut held = Vec::new();
    for (uid, share) in [(1001, 8), (1002, 4)] {
        for _ in 0..share {
            held.push(user(uid));
            assert_eq!(held.last().unwrap().list(), []);
        }
        assert_eq!(user(uid).receive().expect("the end").bytes, b"");
        let line = agent.line("connect: refused");
        let reason = format!("uid {uid} has its share of 16 connections: {share}");
        assert!(line.ends_with(&format!(": connect: refused: {reason}")), "{line}");
    }
    let third = [user(1003), user(1003)];
    third.iter().for_each(|client| assert_eq!(client.list(), []));
    let roots: Vec<Client> = (0..18).map(|_| Client::connect(&path)).collect();
    roots.iter().for_each(|client| assert_eq!(client.list(), []));
}

#[test]
fn users_that_put_leave_fds_for_root() {
    let lab = Lab::new();
    let start = Start { open_files: Some((128, 128)), ..Start::default() };
    let words = ["-q", "--socket", "agent", "--socket-mode", "0666", "--allow", "*:gid=50:put"];
    let mut agent = Agent::spawn_with(&start, &mut lab.agent(words));
    agent.line("serves on");
    let path = lab.path("agent");
    let maps: Vec<OwnedFd> = (0..128).map(|_| new_map("full")).collect();
    let mut held = Vec::new();
    for uid in [1001, 1002, 1003] {
        let client = Client::connect_as(&path, &User { gid: 50, ..User::new(uid) });
        let names = (0..maps.len()).map(|at| format!("{uid}-{at}"));
        let mut answers = names.zip(&maps).map(|(name, map)| client.put(&name, map.as_fd()));
        let refused = answers.find(|answer| answer.status != 0);
        assert_eq!(refused.expect("an end").status, 6);
        held.push(client);
        // As many connections as the user gets.
        for _ in 0..128 {
            held.push(Client::connect_as(&path, &User { gid: 50, ..User::new(uid) }));
        }
    }
    // The limits are those of 128 fds, and an eighth of the names is reserved for root.
    let root = Client::connect(&path);
    for (at, map) in maps[..2].iter().enumerate() {
        done(root.put(&format!("root-{at}"), map.as_fd()));
        assert_eq!(Client::connect(&path).get(&[&format!("root-{at}")], 0).fds.len(), 1);
    }
    assert!(agent.fds().count() < 128);
}
