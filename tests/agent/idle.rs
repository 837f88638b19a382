//! Idle clients: they do not read what the agent sends, or send nothing themselves; and a log that
//! no process reads.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::clocks::with_clocks;
use crate::support::peers::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Child, Stdio};
use std::sync::atomic::Ordering;

const READ_ALL: [&str; 2] = ["*:uid=1001:read,write", "*:uid=1002:read,write"];

/// Stores eight names, and returns them.
fn eight(root: &Client) -> Vec<String> {
    let map = new_map("eight");
    let all: Vec<String> = (0..8).map(|n| format!("n{n}")).collect();
    for name in &all {
        done(root.put(name, map.as_fd()));
    }
    all
}

fn ask(client: &Client, names: &[String]) {
    client.send(&packet(GET, 0, 1, &strings(names)), &[]).expect("sent");
}

/// The options of an agent with these rules, and a socket that every user can connect to.
fn with_rules<'a>(options: &[&'a str], rules: &[&'a str]) -> Vec<&'a str> {
    let rules = rules.iter().flat_map(|rule| ["--allow", rule]);
    options.iter().copied().chain(["--socket-mode", "0666"]).chain(rules).collect()
}

/// The clocks stand still: an agent that is short of time sends packets with fewer fds.
#[test]
fn client_that_does_not_read_delays_no_other() {
    with_clocks(&with_rules(&["--max-in-flight", "4"], &READ_ALL), |agent, path, _| {
        let root = Client::connect(path);
        let all = eight(&root);
        let connect = |uid| Client::connect_as(path, &User::new(uid));
        let (hog, twin, other) = (connect(1001), connect(1001), connect(1002));
        for client in [&hog, &twin, &other] {
            client.list();
        }
        let before = agent.fds();
        ask(&hog, &all);
        eventually("an answer", || hog.is_answered());
        // Half is the other users', and goes out in as many packets as it takes. Root has room of
        // its own.
        for (client, packets) in [(&other, 8), (&root, 1)] {
            let words: Vec<&str> = all.iter().map(String::as_str).collect();
            let got = client.get(&words, 0);
            assert_eq!((got.status, got.fds.len(), got.packets), (0, 8, packets));
        }
        // The same user's other client gets what needs no descriptor, and has to wait for the rest.
        assert_eq!(twin.list(), []);
        ask(&twin, &all[..1]);
        twin.await_received();
        root.list();
        assert!(!twin.is_answered());
        drop(hog);
        assert_eq!(twin.answer(1, true).fds.len(), 1);
        agent.await_fds(-1, &before);
        // A client that reads gets all fds, two at a time.
        ask(&twin, &all);
        assert_eq!(twin.answer(1, true).packets, 4);
    });
}

#[test]
fn client_that_does_not_read_is_disconnected() {
    let options = ["--max-in-flight", "2", "--client-timeout", "100"];
    with_clocks(&with_rules(&options, &READ_ALL), |agent, path, clocks| {
        let map = new_map("slow");
        let root = Client::connect(path);
        done(root.put("hits", map.as_fd()));
        let user = User::new(1001);
        let (hog, twin) = (Client::connect_as(path, &user), Client::connect_as(path, &user));
        twin.list();
        let names = vec!["hits".to_owned(); 2];
        ask(&hog, &names);
        eventually("an answer", || hog.is_answered());
        ask(&twin, &names[..1]);
        twin.await_received();
        root.list();
        clocks.passed.store(100, Ordering::SeqCst);
        while !agent.line("closed: idle timeout").contains("uid 1001") {}
        // The twin was not disconnected, and its answer still exceeds the quota.
        assert!(!twin.is_answered());
        // The packets sent before can still be read; then the connection ends.
        assert_eq!(hog.receive().expect("a packet").fds.len(), 1);
        assert_eq!(twin.answer(1, true).fds.len(), 1);
        assert_eq!(hog.receive().expect("the end").bytes, b"");
    });
}

#[test]
fn idle_client_is_disconnected() {
    with_clocks(&["--client-timeout", "1.5"], |agent, path, clocks| {
        let empty = agent.fds();
        let silent: Vec<Client> = (0..20).map(|_| Client::connect(path)).collect();
        await_backlog(path);
        clocks.passed.store(1, Ordering::SeqCst);
        await_backlog(path);
        assert!(silent.iter().all(|client| !client.is_answered()));
        clocks.passed.store(2, Ordering::SeqCst);
        for client in &silent {
            assert_eq!(client.receive().expect("the end").bytes, b"");
        }
        for _ in &silent {
            let line = agent.line(": closed: idle timeout");
            assert!(line.starts_with("bpf-agent: uid 0 gid 0 pid "), "{line}");
        }
        agent.await_fds(0, &empty);
        Client::connect(path).list();
    });
}

#[test]
fn unread_log_does_not_block_the_agent() {
    let lab = Lab::new();
    let path = lab.path("agent");
    let mut command = lab.agent(["--socket", "agent"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut agent = Killed(command.spawn().expect("started"));
    eventually("the socket", || Client::try_connect(&path).is_ok());
    let client = Client::connect(&path);
    // More than a pipe takes.
    let name = "x".repeat(200);
    for _ in 0..1000 {
        assert_eq!(refusal(client.get(&[&name], 0)).0, 3);
    }
    let mut log = BufReader::new(agent.0.stderr.take().expect("a pipe")).lines();
    let mut refused = 0;
    // It reads on until there is room, and what was lost is counted.
    let lost: usize = loop {
        let line = log.next().expect("a line").expect("text");
        refused += usize::from(line.contains(&name));
        if line.contains(" lost") {
            let words =
                line.strip_prefix("bpf-agent: ").and_then(|l| l.strip_suffix(" lines lost"));
            break words.expect("a number").parse().expect("a number");
        }
        if refused == 60 {
            client.list();
        }
    };
    assert!(lost > 100, "{lost}");
    drop(log);
    // And when its reader is gone.
    for _ in 0..100 {
        assert_eq!(client.list(), []);
    }
    kill(Pid::from_raw(agent.0.id() as i32), Signal::SIGTERM).expect("a process");
    assert_eq!(agent.0.wait().expect("an end").code(), Some(0));
}

/// A process that does not outlive a test that fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

/// A terminal takes a byte when it says so, and not a line.
#[test]
fn unread_terminal_does_not_block_the_agent() {
    let lab = Lab::new();
    let pty = nix::pty::openpty(None, None).expect("a terminal");
    let mut command = lab.agent(["--socket", "agent", "--state", "/sys/fs/bpf/agent"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(pty.slave));
    let mut child = command.spawn().expect("started");
    let path = lab.path("agent");
    eventually("a socket", || path.exists());
    let client = Client::connect(&path);
    for _ in 0..2000 {
        assert_eq!(client.get(&["absent"], 0).status, 3);
    }
    assert_eq!(client.list(), []);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("a process");
    assert!(child.wait().expect("an end").success());
    drop(pty.master);
}
