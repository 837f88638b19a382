//! What an agent lets its clients have at most: connections, objects, bytes, and its own file
//! descriptors. Apart from the other tests, because the kernel counts the file descriptors in
//! sockets for each user, and other agents of root would fill the same account.

mod common;
#[path = "agent/support/mod.rs"]
mod support;

#[path = "agent/attack/quotas.rs"]
mod quotas;

use common::agent::*;
use common::child::Start;
use common::fds::*;
use common::*;
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;
use support::peers::*;

/// Asks without waiting for the answer.
fn ask_list(client: &Client) {
    client.send(&packet(LIST, 0, 1, &string("")), &[]).expect("sent");
}

#[test]
fn connection_over_the_limit_waits() {
    let lab = Lab::new();
    let (agent, path) = serve_all(&lab, &["--max-clients", "2"], &[]);
    // Sixteen more than the limit are root's.
    let mut all: Vec<Client> = (0..18).map(|_| Client::connect(&path)).collect();
    all.iter().for_each(|client| drop(client.list()));
    let (first, second) = (all.remove(0), all.remove(0));
    let full = agent.fds();
    let waiting: Vec<Client> = (0..3).map(|_| Client::connect(&path)).collect();
    waiting.iter().for_each(ask_list);
    for _ in 0..5 {
        first.list();
        second.list();
    }
    agent.fds().assert_more(0, &full);
    waiting.iter().for_each(|client| assert!(!client.is_answered()));
    drop(first);
    assert_eq!(done(waiting[0].answer(1, false)), []);
    second.list();
    assert!(!waiting[1].is_answered());
    drop(second);
    assert_eq!(done(waiting[1].answer(1, false)), []);
    drop((waiting, all));
    agent.await_fds(-18, &full);
    Client::connect(&path).list();
}

#[test]
fn agent_sleeps_while_clients_wait_and_do_not_read() {
    let lab = Lab::new();
    let options = ["-q", "--max-clients", "4", "--max-in-flight", "2"];
    let (agent, path) = serve_all(&lab, &options, &["*:uid=1001:all"]);
    let root = Client::connect(&path);
    done(root.put("hits", new_map("asleep").as_fd()));
    let user = User::new(1001);
    let (unread, starved) = (Client::connect_as(&path, &user), Client::connect_as(&path, &user));
    unread.send(&packet(GET, 0, 1, &string("hits")), &[]).expect("sent");
    eventually("an answer", || unread.is_answered());
    starved.send(&packet(GET, 0, 1, &string("hits")), &[]).expect("sent");
    let waiting = Client::connect(&path);
    let wait = [&0u32.to_ne_bytes()[..], &string("never")].concat();
    waiting.send(&packet(WAIT, 0, 1, &wait), &[]).expect("sent");
    // With these all connections are taken, and two wait in the backlog.
    let all: Vec<Client> = (0..18).map(|_| Client::connect(&path)).collect();
    all[..16].iter().for_each(|client| drop(client.list()));
    ask_list(&all[17]);
    let mut strace = lab.program("strace", ["-o", "trace", "-e", "trace=/epoll_p?wait", "-p"]);
    strace.arg(agent.pid().to_string()).stderr(Stdio::piped());
    let mut strace = strace.spawn().expect("strace");
    let mut line = String::new();
    BufReader::new(strace.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.ends_with(" attached\n"), "{line}");
    let wait = [&500u32.to_ne_bytes()[..], &string("never")].concat();
    assert_eq!(root.ask(WAIT, 0, &wait, &[]).status, 7);
    assert!(!starved.is_answered() && !waiting.is_answered() && !all[17].is_answered());
    agent.kill();
    strace.wait().unwrap();
    let trace = std::fs::read_to_string(lab.path("trace")).unwrap();
    let waits = trace.lines().filter(|line| line.contains("wait(")).count();
    // A few for the request, and one for each time limit.
    assert!(waits < 50, "{trace}");
}

#[test]
fn users_that_take_all_places_keep_root_from_none() {
    let lab = Lab::new();
    let (mut agent, path) = serve_all(&lab, &["--max-clients", "4"], &["*:gid=50:list"]);
    let user = |uid| User { gid: 50, ..User::new(uid) };
    let users = [1001, 1001, 1002, 1003].map(|uid| Client::connect_as(&path, &user(uid)));
    users.iter().for_each(|client| drop(client.list()));
    let third = Client::connect_as(&path, &user(1004));
    let line = agent.line("connect: refused");
    assert!(line.ends_with(": refused: the limit of 4 connections is reached"), "{line}");
    assert_eq!(third.receive().expect("the end").bytes, b"");
    let roots: Vec<Client> = (0..16).map(|_| Client::connect(&path)).collect();
    roots.iter().for_each(|client| drop(client.list()));
}

#[test]
fn one_user_has_half_of_the_places_at_most() {
    let lab = Lab::new();
    let (mut agent, path) = serve_all(&lab, &["--max-clients", "4"], &["*:gid=50:list"]);
    let user = User { gid: 50, ..User::new(1001) };
    let two = [Client::connect_as(&path, &user), Client::connect_as(&path, &user)];
    two.iter().for_each(|client| drop(client.list()));
    let before = agent.fds();
    for _ in 0..3 {
        let third = Client::connect_as(&path, &user);
        let line = agent.line("connect: refused");
        assert!(line.ends_with(": refused: uid 1001 has its share of 4 connections: 2"), "{line}");
        assert_eq!(third.receive().expect("the end").bytes, b"");
    }
    agent.fds().assert_more(0, &before);
    // Others have the rest, and root as many as there are.
    Client::connect_as(&path, &User { gid: 50, ..User::new(1002) }).list();
    let root = [Client::connect(&path), Client::connect(&path)];
    root.iter().for_each(|client| drop(client.list()));
    drop(root);
    drop(two);
    agent.await_fds(-2, &before);
    let roots: Vec<Client> = (0..4).map(|_| Client::connect(&path)).collect();
    roots.iter().for_each(|client| drop(client.list()));
}

#[test]
fn full_store_refuses_and_keeps_its_objects() {
    let lab = Lab::new();
    let (agent, path) = serve_all(&lab, &["--max-objects", "2"], &[]);
    let client = Client::connect(&path);
    let map = new_map("full");
    for name in ["a", "b"] {
        done(client.put(name, map.as_fd()));
    }
    let before = agent.fds();
    let full = (6, "the limit of 2 names is reached".to_owned());
    let other = new_map("other");
    assert_eq!(refusal(client.put("c", other.as_fd())), full);
    let replace = |name| client.ask(PUT, REPLACE, &strings(&[name, ""]), &[other.as_fd()]);
    assert_eq!(refusal(replace("c")), full);
    // A name that is there is no new one.
    assert_eq!(done(replace("a"))[0].id, id_of(&other));
    assert_eq!(client.put("b", map.as_fd()).status, 0);
    assert_eq!(names(&client.list()), ["a", "b"]);
    agent.fds().assert_more(0, &before);
    done(client.ask(REMOVE, 0, &string("a"), &[]));
    done(client.put("c", other.as_fd()));
}

#[test]
fn longest_request_is_accepted() {
    let lab = Lab::new();
    let (_agent, path) = serve_all(&lab, &["--max-request", "64"], &[]);
    let client = Client::connect(&path);
    let ask = |length: usize| client.ask(LIST, 0, &string("x".repeat(length - 12)), &[]);
    assert_eq!(done(ask(64)), []);
    assert_eq!(refusal(ask(65)), (1, "a request of more than 64 bytes".into()));
    assert_eq!(client.list(), []);
}

/// The limits of an agent that may open `files` files, as it reports them.
fn reduced(lab: &Lab, files: u64, options: &[&str]) -> (Agent, Vec<String>) {
    let start = Start { open_files: Some((64, files)), ..Start::default() };
    let words = ["--socket", "agent", "--state", "/sys/fs/bpf/agent"];
    let mut agent = Agent::spawn_with(&start, &mut lab.agent([&words[..], options].concat()));
    agent.line("serves on");
    let prefix = "bpf-agent: warning: ";
    let lines = agent.log.iter().filter_map(|line| line.strip_prefix(prefix)).map(str::to_owned);
    let lines = lines.collect();
    (agent, lines)
}

#[test]
fn limits_are_reduced_to_the_limit_on_open_files() {
    let lab = Lab::new();
    let (agent, warnings) = reduced(&lab, 20_000, &["-q", "--max-clients", "10000"]);
    assert_eq!(warnings, ["--max-objects 16384 is reduced to 9408: 20000 files may be open"]);
    assert_eq!(agent.stop().status, 0);
    let (agent, warnings) = reduced(&lab, 2048, &["--max-in-flight", "2000"]);
    let want = [
        "--max-objects 16384 is reduced to 432: 2048 files may be open",
        "--max-in-flight 2000 is reduced to 1795: 2048 files may be open",
    ];
    assert_eq!(warnings, want);
    // The names of other users end before the fds, and an eighth is for root.
    let client = Client::connect(&lab.path("agent"));
    let map = new_map("many");
    let full = (0..).find(|n| client.put(&format!("n{n}"), map.as_fd()).status != 0);
    assert_eq!(full, Some(432));
    assert_eq!(client.put("more", map.as_fd()).reason, "the limit of 432 names is reached");
    let clients: Vec<Client> = (0..1039).map(|_| Client::connect(&lab.path("agent"))).collect();
    clients.iter().for_each(|client| drop(client.ask(INFO, 0, &string("n0"), &[])));
    // Write-only, because read-only fds are shared.
    assert_eq!(clients[0].get(&["n0"; 253], WRITE).fds.len(), 253);
    assert_eq!(agent.stop().status, 0);
}

/// The bound of docs/decisions/get-is-decided-per-packet.md: the descriptors of one packet.
#[test]
fn clients_that_do_not_read_hold_no_fds() {
    const CLIENTS: usize = 256;
    let lab = Lab::new();
    let start = Start { open_files: Some((8192, 8192)), ..Start::default() };
    let state = format!("{BPFFS}/agent");
    let words = ["-q", "--socket", "agent", "--socket-mode", "0666", "--state", &state];
    // A user has half of what may be in flight: the replies to its first requests.
    let words = words.into_iter().chain(["--max-in-flight", "6000", "--allow", "*:uid=1001:write"]);
    let mut agent = Agent::spawn_with(&start, &mut lab.agent(words));
    agent.line("serves on");
    let (root, path) = (Client::connect(&lab.path("agent")), lab.path("agent"));
    done(root.put("hits", new_map("held").as_fd()));
    let before = agent.fds();
    let user = User::new(1001);
    let clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect_as(&path, &user)).collect();
    // The user may only write, so that each descriptor has to be opened.
    let body = strings(&["hits"; 10]);
    for client in &clients {
        for number in 0..3 {
            client.send(&packet(GET, 0, number, &body), &[]).expect("sent");
        }
        let open = agent.fds().count();
        assert!(open <= before.count() + CLIENTS + 253, "{open}");
    }
    // The first packet of each client has been sent, and nothing else is to be done.
    agent.await_fds(CLIENTS as isize, &before);
    // In the order in which they are answered: if the kernel's limit is reached, which is for all
    // processes of a user, room that one client frees may be used for any other.
    let mut received = [0; CLIENTS];
    eventually("all fds", || {
        for (client, received) in clients.iter().zip(&mut received) {
            if *received < 30 && client.is_answered() {
                let packet = client.receive().expect("a packet");
                assert_eq!(packet.bytes.get(..2), Some(&[VERSION, 0][..]), "{packet:?}");
                *received += packet.fds.len();
            }
        }
        received.iter().all(|received| *received == 30)
    });
    agent.await_fds(CLIENTS as isize, &before);
    assert_eq!(root.list().len(), 1);
}

#[test]
fn ten_thousand_replies_leave_no_fd_open() {
    let lab = Lab::new();
    let state = format!("{BPFFS}/agent");
    let (agent, path) = serve_all(&lab, &["-q", "--state", &state], &["*:uid=1001:read,write"]);
    let (root, user) = (Client::connect(&path), Client::connect_as(&path, &User::new(1001)));
    done(root.put("hits", new_map("often").as_fd()));
    assert_eq!(user.get(&["hits"], READ).fds.len(), 1);
    let before = agent.fds();
    for _ in 0..5_000 {
        assert_eq!(root.get(&["hits"], 0).fds.len(), 1);
        assert_eq!(user.get(&["hits"], READ).fds.len(), 1);
        // Reopened for each request.
        assert_eq!(user.get(&["hits"], WRITE).fds.len(), 1);
    }
    agent.await_fds(0, &before);
    for number in 0..1_000 {
        let client = Client::connect(&path);
        if number % 2 == 0 {
            client.send(&packet(GET, 0, 1, &string("hits")), &[]).expect("sent");
        }
    }
    await_backlog(&path);
    agent.await_fds(0, &before);
    assert_eq!(root.list().len(), 1);
}

#[test]
fn queued_requests_of_a_closed_connection_stop_in_order() {
    let lab = Lab::new();
    let (agent, path) = serve(&lab);
    let other = Client::connect(&path);
    other.list();
    let before = agent.fds();
    let maps: Vec<OwnedFd> = (0..60).map(|_| new_map("half")).collect();
    for half in [&maps[..30], &maps[30..]] {
        let client = Client::connect(&path);
        client.list();
        for (at, map) in half.iter().enumerate() {
            let body = strings(&[format!("n{at:02}").as_str(), ""]);
            client.send(&packet(PUT, REPLACE, 1, &body), &[map.as_fd()]).expect("sent");
        }
        drop(client);
        // As many as it got to, from the first on.
        eventually("the end of the connection", || {
            // If the count is the same before and after, nothing was stored during the comparison.
            let stored = other.list().len();
            agent.fds().difference(&before) == stored as isize && other.list().len() == stored
        });
        let listed = other.list();
        let want: Vec<String> = (0..listed.len()).map(|at| format!("n{at:02}")).collect();
        assert_eq!(names(&listed), want);
        for name in want {
            done(other.ask(REMOVE, 0, &string(name), &[]));
        }
    }
    agent.fds().assert_more(0, &before);
}

#[test]
fn requests_received_before_the_end_are_answered() {
    let lab = Lab::new();
    let (agent, path) = serve(&lab);
    let (client, late) = (Client::connect(&path), Client::connect(&path));
    let map = new_map("end");
    done(client.put("hits", map.as_fd()));
    late.list();
    agent.signal(Signal::SIGSTOP);
    for number in 0..50 {
        client.send(&packet(GET, 0, number, &string("hits")), &[]).expect("sent");
    }
    // Requests after a WAIT are not answered, and those before it are.
    let wait = [&0u32.to_ne_bytes()[..], &string("gone")].concat();
    for (number, (operation, body)) in
        (0..).zip([(REMOVE, &wait[4..]), (WAIT, &wait), (LIST, &string(""))])
    {
        late.send(&packet(operation, 0, number, body), &[]).expect("sent");
    }
    let unaccepted = Client::connect(&path);
    agent.signal(Signal::SIGTERM);
    agent.signal(Signal::SIGCONT);
    for number in 0..50 {
        assert_eq!(id_of(&client.answer(number, true).fds[0]), id_of(&map));
    }
    assert_eq!(client.receive().expect("the end").bytes, b"");
    assert_eq!(late.answer(0, false).status, 3);
    assert_eq!(late.receive().expect("the end").bytes, b"");
    let reset = unaccepted.receive().expect_err("no answer").raw_os_error();
    assert_eq!(reset, Some(libc::ECONNRESET));
    assert_eq!(agent.wait().status, 0);
    assert!(!path.exists());
}

#[test]
fn endless_requests_do_not_delay_the_end() {
    let lab = Lab::new();
    let (agent, path) = serve_all(&lab, &["-q"], &[]);
    let flood = Client::connect(&path);
    flood.list();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| while flood.send(&packet(LIST, 0, 1, &string("")), &[]).is_ok() {});
        }
        scope.spawn(|| while flood.receive().is_ok_and(|packet| !packet.bytes.is_empty()) {});
        let other = Client::connect(&path);
        for _ in 0..20 {
            assert_eq!(other.list(), []);
        }
        agent.signal(Signal::SIGTERM);
        eventually("the end", || !path.exists());
        let end = agent.wait();
        assert_eq!((end.status, end.stderr.as_str()), (0, "bpf-agent: ends\n"));
    });
}
