//! File descriptors that are slow to close, and packets that the client does not read. Apart from the
//! other tests, because processes that those start have copies of all fds for a moment.

mod common;
#[path = "agent/support/mod.rs"]
mod support;

#[path = "agent/attack/flood.rs"]
mod flood;
#[path = "agent/attack/flush.rs"]
mod flush;

use common::agent::*;
use common::fds::new_map;
use common::*;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr, bind, listen, recv,
    shutdown, socket,
};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use support::attacker::*;
use support::peers::*;
use support::supervisor::Supervisor;

/// Held by each test of this file. A process that another test forks has a copy of every fd of
/// this process until it executes its program: while it has one, no close is the last, and only
/// the last one lingers.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // A test that failed does not fail the others.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A socket that lingers when it is closed, and its peer, in a network namespace of its own.
fn lingering() -> (TcpStream, TcpStream) {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    let up = run(std::process::Command::new("ip").args(["link", "set", "lo", "up"]));
    assert_eq!((up.status, up.stderr.as_str()), (0, ""));
    // Longer than any test waits; SIGKILL ends it.
    lingering_socket(3600)
}

/// A listening socket as a service manager makes it, to which a client may send fds before the
/// agent runs.
fn listening(path: &std::path::Path) -> OwnedFd {
    let kind = SockType::SeqPacket;
    let listener = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(listener.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o666)).unwrap();
    listen(&listener, Backlog::new(64).unwrap()).unwrap();
    listener
}

/// Waits until the agent has no child and the peer of a lingering connection is closed
/// although it does not read: no process waits for it.
fn await_end(agent: &Agent) {
    eventually("the end of the children", || children(agent.pid()) == 0);
}

#[test]
fn lingering_fds_of_refused_connections_delay_no_client() {
    let _alone = alone();
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let path = lab.path("agent");
    let listener = listening(&path);
    let request = packet(LIST, 0, 3, &string(""));
    // No rule names the first user. The second attaches an fd although it may not, and the third
    // sends an empty packet before it.
    let mut held = Vec::new();
    for uid in [65534, 1001, 1002] {
        let client = Client::connect_as(&path, &User::new(uid));
        let (ours, theirs) = lingering();
        if uid == 1002 {
            client.send(&[], &[]).expect("sent");
        }
        client.send(&request, &[ours.as_fd()]).expect("sent");
        held.push((client, theirs));
    }
    let rules = ["--allow", "*:uid=1001:list", "--allow", "*:uid=1002:list"];
    let agent = supervisor.start(&lab, &rules, &[("agent", &listener)]);
    let root = Client::connect(&path);
    assert_eq!(root.list(), []);
    let before = agent.fds();
    let refused = "this operation takes no file descriptor, and one was attached";
    assert_eq!(refusal(held[1].0.answer(3, false)), (1, refused.into()));
    await_end(&agent);
    assert_eq!(root.list(), []);
    drop(held);
    await_end(&agent);
    assert!(agent.fds().count() <= before.count());
    assert_eq!(stop(agent).status, 0);
}

#[test]
fn lingering_fd_of_a_put_delays_no_client() {
    let _alone = alone();
    let lab = Lab::new();
    let (agent, path) = serve_all(&lab, &[], &["*:uid=1002:put"]);
    let root = Client::connect(&path);
    root.list();
    let (ours, _theirs) = lingering();
    let client = Client::connect_as(&path, &User::new(1002));
    // Allows the client to attach fds.
    client.ask(INFO, 0, &string("x"), &[]);
    agent.signal(Signal::SIGSTOP);
    client.send(&packet(PUT, 0, 3, &strings(&["x", ""])), &[ours.as_fd()]).expect("sent");
    // The agent's is the last one.
    drop(ours);
    agent.signal(Signal::SIGCONT);
    let refused = (5, "a socket, not a BPF object".to_owned());
    assert_eq!(refusal(client.answer(3, false)), refused);
    assert_eq!(root.list(), []);
    await_end(&agent);
}

#[test]
fn queued_lingering_fds_do_not_delay_the_end() {
    let _alone = alone();
    let lab = Lab::new();
    let (agent, path) = serve_all(&lab, &[], &["*:uid=1002:list,put"]);
    let client = Client::connect_as(&path, &User::new(1002));
    client.ask(INFO, 0, &string("x"), &[]);
    // Requests after this one stay queued.
    let wait = [&0u32.to_ne_bytes()[..], &string("never")].concat();
    client.send(&packet(WAIT, 0, 1, &wait), &[]).expect("sent");
    let (ours, theirs) = lingering();
    for number in 2..6 {
        let put = packet(PUT, 0, number, &strings(&["x", ""]));
        client.send(&put, &[ours.as_fd()]).expect("sent");
    }
    // The agent's are the last ones.
    drop(ours);
    assert_eq!(Client::connect(&path).list(), []);
    assert_eq!(stop(agent).status, 0);
    assert!(!path.exists());
    drop(theirs);
}

#[test]
fn sent_fds_count_until_received() {
    let _alone = alone();
    let lab = Lab::new();
    let options = ["--max-in-flight", "4"];
    let (mut agent, path) = serve_all(&lab, &options, &["*:uid=1001:read"]);
    let root = Client::connect(&path);
    assert_eq!(root.put("one", new_map("one").as_fd()).status, 0);
    let user = User::new(1001);
    let ask = || {
        let client = Client::connect_as(&path, &user);
        client.send(&packet(GET, 0, 7, &string("one")), &[]).expect("sent");
        client
    };
    // Half of what may be in flight.
    let held: Vec<Client> = (0..2).map(|_| ask()).collect();
    for client in &held {
        assert!(agent.line("get \"one\": ").contains("uid 1001"));
        shutdown(client.fd(), Shutdown::Write).expect("shut down");
    }
    let third = ask();
    // The first of these may be answered before the third client is accepted.
    for _ in 0..2 {
        assert_eq!(root.get(&["one"], 0).fds.len(), 1);
    }
    let peek = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    assert_eq!(recv(third.fd(), &mut [0], peek), Err(Errno::EAGAIN));
    assert_eq!(held[0].answer(7, true).fds.len(), 1);
    assert_eq!(third.answer(7, true).fds.len(), 1);
}
