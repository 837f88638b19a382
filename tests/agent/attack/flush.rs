//! Files of a FUSE server that does not reply when they are closed: each process that received one
//! blocks at its end, and cannot be killed.
//!
//! While such a file is open here, no test starts a process.

use crate::common::agent::*;
use crate::common::fds::new_map;
use crate::common::fuse::Held;
use crate::common::*;
use crate::support::attacker::*;
use crate::support::peers::*;
use crate::support::supervisor::Supervisor;
use crate::{alone, await_end, listening};
use nix::sys::signal::Signal;
use std::fs::File;
use std::os::fd::AsFd;

/// A file, and its server, which is to be dropped first: so it is declared last.
fn slow_file(lab: &Lab) -> (File, Held) {
    let directory = lab.path("fuse");
    let held = Held::serve(&directory);
    let file = File::open(directory.join("file")).expect("a file");
    (file, held)
}

fn put_request(name: &str) -> Vec<u8> {
    packet(PUT, 0, 3, &strings(&[name, ""]))
}

/// A connection of a user that may put, to which fds may be attached.
fn putter(path: &std::path::Path, user: &User) -> Client {
    let client = Client::connect_as(path, user);
    client.ask(INFO, 0, &string("x"), &[]);
    client
}

#[test]
fn fuse_files_of_refused_connections_are_not_installed() {
    let _alone = alone();
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let path = lab.path("agent");
    let listener = listening(&path);
    std::fs::create_dir(lab.path("fuse")).unwrap();
    let clients = [65534, 1001, 1002].map(|uid| Client::connect_as(&path, &User::new(uid)));
    let other = Client::connect_as(&path, &User::new(1001));
    let rules = ["--allow", "*:uid=1001:list", "--allow", "*:uid=1002:list"];
    // Before the agent runs, every client may attach fds.
    let agent = supervisor.spawn(&lab, &rules, &[("agent", &listener)]);
    agent.signal(Signal::SIGSTOP);
    let (file, held) = slow_file(&lab);
    for client in &clients[1..] {
        client.send(&packet(LIST, 0, 3, &string("")), &[file.as_fd()]).expect("sent");
    }
    // No rule names this user; the agent may have refused the connection already.
    let _ = clients[0].send(&packet(LIST, 0, 3, &string("")), &[file.as_fd()]);
    agent.signal(Signal::SIGCONT);
    supervisor.receive_until("READY=1");
    let refused = "this operation takes no file descriptor, and one was attached";
    for client in &clients[1..] {
        assert_eq!(refusal(client.answer(3, false)), (1, refused.into()));
    }
    // An answer to the first user, were there one.
    assert!(clients[0].receive().map_or(true, |end| end.bytes.is_empty()));
    assert_eq!(Client::connect(&path).list(), []);
    assert_eq!(other.list(), []);
    await_end(&agent);
    assert_eq!(stop(agent).status, 0);
    assert!(held.closing().is_empty());
}

#[test]
fn fuse_file_of_a_put_delays_neither_clients_nor_the_end() {
    let _alone = alone();
    let lab = Lab::new();
    std::fs::create_dir(lab.path("fuse")).unwrap();
    let rules = ["*:uid=1002:put", "*:uid=1003:put", "*:uid=1001:list"];
    let (agent, path) = serve_all(&lab, &[], &rules);
    let [first, again] = [1002, 1002].map(|uid| putter(&path, &User::new(uid)));
    let equal = putter(&path, &User::new(1003));
    let user = Client::connect_as(&path, &User::new(1001));
    let root = Client::connect(&path);
    let (file, held) = slow_file(&lab);
    first.send(&put_request("x"), &[file.as_fd()]).expect("sent");
    assert_eq!(refusal(first.answer(3, false)), (5, "a file, not a BPF object".into()));
    eventually("the end of a child", || held.closing().len() == 1);
    assert_ne!(held.closing(), [agent.pid()]);
    // A child that cannot end counts: this user has no other one.
    let map = new_map("put");
    again.send(&put_request("x"), &[map.as_fd()]).expect("sent");
    done(equal.put("equal", map.as_fd()));
    assert_eq!(names(&user.list()), ["equal"]);
    done(root.put("root", map.as_fd()));
    assert_eq!(names(&Client::connect(&path).list()), ["equal", "root"]);
    assert!(!again.is_answered());
    assert_eq!((children(agent.pid()), threads(agent.pid())), (1, 1));
    assert_eq!(stop(agent).status, 0);
    assert!(!path.exists());
    assert_eq!(held.closing().len(), 1);
}

#[test]
fn slow_fds_of_64_users_stop_untrusted_puts_only() {
    const MAX_PUTS: usize = 16;
    let _alone = alone();
    let lab = Lab::new();
    std::fs::create_dir(lab.path("fuse")).unwrap();
    let rules = ["*:gid=50:put", "*:uid=1001:list,read"];
    let (agent, path) = serve_all(&lab, &["-q"], &rules);
    let attackers: Vec<Client> =
        (0..64).map(|n| putter(&path, &User { gid: 50, ..User::new(2000 + n) })).collect();
    let user = Client::connect_as(&path, &User::new(1001));
    let root = Client::connect(&path);
    done(root.put("hits", new_map("hits").as_fd()));
    user.list();
    let before = agent.fds();
    let (file, held) = slow_file(&lab);
    for client in &attackers {
        client.send(&put_request("x"), &[file.as_fd()]).expect("sent");
    }
    eventually("the end of 16 children", || held.closing().len() == MAX_PUTS);
    for _ in 0..20 {
        let new = Client::connect(&path);
        done(new.put("new", new_map("new").as_fd()));
        done(root.ask(REMOVE, 0, &string("new"), &[]));
        assert_eq!(user.get(&["hits"], READ).fds.len(), 1);
    }
    assert_eq!((children(agent.pid()), threads(agent.pid())), (MAX_PUTS, 1));
    // A socket and a pidfd of each child.
    agent.await_fds(2 * MAX_PUTS as isize, &before);
    // The others are neither answered nor disconnected.
    let answered = attackers.iter().filter(|client| client.is_answered()).count();
    assert_eq!(answered, MAX_PUTS);
    drop(held);
    for client in &attackers {
        assert_eq!(refusal(client.answer(3, false)), (5, "a file, not a BPF object".into()));
    }
    await_end(&agent);
    done(attackers[0].put("x", new_map("x").as_fd()));
    assert_eq!(stop(agent).status, 0);
}
