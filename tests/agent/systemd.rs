//! Notifications to a service manager: what is sent when, and that none of them delays the agent.

use crate::common::agent::*;
use crate::common::fds::new_map;
use crate::common::*;
use crate::support::supervisor::Supervisor;
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::Stdio;

const AGENT: [&str; 2] = ["--socket", "agent"];

#[test]
fn reload_and_stop_are_notified() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let agent = supervisor.start(&lab, &AGENT, &[]);
    agent.signal(Signal::SIGHUP);
    let received = supervisor.receive_until("READY=1");
    assert_eq!(received.len(), 2, "{received:?}");
    let time = received[0].strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("a time");
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: now is where the time is written.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) }, 0);
    let ago = now.tv_sec - time.trim_end().parse::<i64>().unwrap() / 1_000_000;
    assert!((0..60).contains(&ago), "{time}");
    assert_eq!(received[1], "READY=1\n");
    assert_eq!(agent.stop().status, 0);
    assert_eq!(supervisor.receive_until("STOPPING=1"), ["STOPPING=1\n"]);
}

#[test]
fn watchdog_is_notified_by_an_idle_agent() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let mut command = lab.agent(AGENT);
    command.env("NOTIFY_SOCKET", lab.path("notify")).env("WATCHDOG_USEC", "20000");
    let _agent = Agent::start(&mut command);
    for _ in 0..3 {
        let received = supervisor.receive_until("WATCHDOG=1\n");
        assert!(received.iter().all(|message| message != "STOPPING=1\n"));
    }
}

#[test]
fn manager_that_does_not_read_delays_nothing() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    supervisor.fill();
    let mut command = lab.agent(AGENT);
    command.env("NOTIFY_SOCKET", lab.path("notify"));
    let mut agent = Agent::start(&mut command);
    let mut strace = lab.program("strace", ["-o", "trace", "-e", "trace=ioctl,write", "-p"]);
    strace.arg(agent.pid().to_string()).stderr(Stdio::piped());
    let mut strace = strace.spawn().expect("strace");
    let mut line = String::new();
    BufReader::new(strace.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.ends_with(" attached\n"), "{line}");
    let client = Client::connect(&lab.path("agent"));
    done(client.put("hits", new_map("hits").as_fd()));
    agent.signal(Signal::SIGHUP);
    agent.line("rules reloaded");
    assert_eq!(client.list().len(), 1);
    assert_eq!(agent.stop().status, 0);
    strace.wait().unwrap();
    let trace = std::fs::read_to_string(lab.path("trace")).unwrap();
    // RELOADING and READY, on the socket that READY is pending on, and STOPPING on its own.
    let count = |text: &str| trace.lines().filter(|line| line.contains(text)).count();
    assert_eq!((count("FIONBIO, [1])"), count("= -1 EAGAIN")), (1, 3), "{trace}");
}

#[test]
fn ready_is_sent_when_a_full_queue_is_read() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    supervisor.fill();
    let mut agent = supervisor.spawn(&lab, &AGENT, &[]);
    agent.line("serves on");
    // It serves clients before the supervisor has read the message.
    let client = Client::connect(&lab.path("agent"));
    assert_eq!(client.list().len(), 0);
    let received = supervisor.receive_until("READY=1");
    let (ready, full) = received.split_last().expect("a notification");
    assert!(full.iter().all(|message| message == "FULL=1"), "{received:?}");
    assert_eq!(ready, "READY=1\n");
    assert_eq!(agent.stop().status, 0);
    assert_eq!(supervisor.receive_until("STOPPING=1"), ["STOPPING=1\n"]);
}

#[test]
fn last_of_several_reloads_is_sent_when_a_full_queue_is_read() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let mut agent = supervisor.start(&lab, &AGENT, &[]);
    supervisor.fill();
    for _ in 0..3 {
        agent.signal(Signal::SIGHUP);
        agent.line("rules reloaded");
    }
    let fds = agent.fds();
    let mut received = supervisor.receive_until("READY=1");
    received.retain(|message| message != "FULL=1");
    assert_eq!(received.len(), 2, "{received:?}");
    assert!(received[0].starts_with("RELOADING=1\nMONOTONIC_USEC="), "{received:?}");
    assert_eq!(received[1], "READY=1\n");
    // The socket is closed with the last notification.
    agent.await_fds(-1, &fds);
    assert_eq!(agent.stop().status, 0);
    assert_eq!(supervisor.receive_until("STOPPING=1"), ["STOPPING=1\n"]);
}

#[test]
fn notifications_end_when_the_manager_is_gone() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    supervisor.fill();
    let mut agent = supervisor.spawn(&lab, &AGENT, &[]);
    agent.line("serves on");
    let client = Client::connect(&lab.path("agent"));
    client.list();
    let fds = agent.fds();
    drop(supervisor);
    agent.await_fds(-1, &fds);
    agent.signal(Signal::SIGHUP);
    agent.line("rules reloaded");
    client.list();
    agent.fds().assert_more(-1, &fds);
    assert_eq!(agent.stop().status, 0);
}
