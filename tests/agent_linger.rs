//! What a client leaves behind: descriptors that are slow to close, and packets that nobody reads.

mod common;
#[allow(dead_code)]
#[path = "agent/support/mod.rs"]
mod support;

use common::agent::*;
use common::fds::new_map;
use common::*;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::socket::{MsgFlags, Shutdown, recv, setsockopt, shutdown, sockopt};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use support::peers::*;

/// Held by each test of this file. A process that another test forks has a copy of every fd of
/// this process until it executes its program: while it has one, no close is the last, and only
/// the last one lingers.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // A test that failed does not fail the others.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that lingers when it is closed, since its other end, which comes with it, does
/// not read.
fn lingering() -> (TcpStream, TcpStream) {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    let up = run(std::process::Command::new("ip").args(["link", "set", "lo", "up"]));
    assert_eq!((up.status, up.stderr.as_str()), (0, ""));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut ours = TcpStream::connect(listener.local_addr().expect("a port")).expect("connected");
    let (theirs, _) = listener.accept().expect("accepted");
    ours.set_nonblocking(true).expect("set");
    loop {
        match ours.write(&[0; 65536]) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) => panic!("{e}"),
        }
    }
    ours.set_nonblocking(false).expect("set");
    // Long enough to be seen; an agent that closes it where it serves is held up no longer.
    let linger = libc::linger { l_onoff: 1, l_linger: 20 };
    setsockopt(&ours, sockopt::Linger, &linger).expect("set");
    (ours, theirs)
}

fn threads(agent: &Agent) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", agent.pid())).expect("a process").count()
}

#[test]
fn slow_close_of_an_fd_delays_no_client() {
    let _alone = alone();
    let lab = Lab::new();
    let (agent, path) = serve_all(&lab, &[], &["*:uid=1002:put"]);
    let root = Client::connect(&path);
    root.list();
    let before = agent.fds();
    for (uid, body) in
        [(65534, packet(LIST, 0, 3, &string(""))), (1002, packet(PUT, 0, 3, &strings(&["x", ""])))]
    {
        let (ours, mut theirs) = lingering();
        let client = Client::connect_as(&path, &User::new(uid));
        // The agent is to have it alone.
        agent.signal(Signal::SIGSTOP);
        client.send(&body, &[ours.as_fd()]).expect("sent");
        drop(ours);
        agent.signal(Signal::SIGCONT);
        let status = client.answer(3, false).status;
        assert!(matches!(status, 1 | 5), "{status}");
        // Somebody else closes it, and is not done yet.
        assert_eq!((root.list(), threads(&agent)), (vec![], 2));
        drop(client);
        root.list();
        let read = std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while theirs.read(&mut buffer).is_ok_and(|length| length > 0) {}
        });
        eventually("the end of it", || threads(&agent) == 1);
        read.join().expect("read");
        agent.await_fds(0, &before);
    }
}

#[test]
fn closed_connection_with_unread_requests_leaks_no_fd() {
    let _alone = alone();
    let lab = Lab::new();
    let (agent, path) = serve_all(&lab, &[], &[]);
    let root = Client::connect(&path);
    root.list();
    let before = agent.fds();
    let (ours, mut theirs) = lingering();
    let client = Client::connect_as(&path, &User::new(65534));
    agent.signal(Signal::SIGSTOP);
    // An empty packet ends the connection; what stands behind it is never taken up.
    client.send(&[], &[]).expect("sent");
    client.send(&packet(LIST, 0, 3, &string("")), &[ours.as_fd()]).expect("sent");
    drop((ours, client));
    agent.signal(Signal::SIGCONT);
    eventually("closing", || threads(&agent) == 2);
    assert_eq!(root.list(), []);
    let read = std::thread::spawn(move || {
        let mut buffer = [0; 65536];
        while theirs.read(&mut buffer).is_ok_and(|length| length > 0) {}
    });
    eventually("the end of it", || threads(&agent) == 1);
    read.join().expect("read");
    agent.await_fds(0, &before);
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
        agent.line("get \"one\": uid 1001");
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
