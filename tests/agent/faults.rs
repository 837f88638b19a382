//! System calls that fail, which strace(1) makes fail.

use crate::common::agent::*;
use crate::common::*;
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// An agent in which these system calls fail. With -D, it has the process id of the command.
fn with_fault(lab: &Lab, fault: &str, words: &[&str]) -> Command {
    let inject = format!("inject={fault}");
    let mut command = lab.program("strace", ["-D", "-o", "trace", "-e", &inject]);
    command.arg(binary("bpf-agent")).args(words);
    command
}

fn assert_injected(lab: &Lab) {
    let trace = std::fs::read_to_string(lab.path("trace")).unwrap();
    assert!(trace.contains("(INJECTED)"), "{trace}");
    std::fs::remove_file(lab.path("trace")).unwrap();
}

#[test]
fn failed_fstatat_leaves_no_socket_file() {
    let lab = Lab::new();
    let before = lab.files();
    let mut command = with_fault(&lab, "/fstatat:error=EIO", &["--socket", "agent"]);
    fails(&mut command, 2, "bpf-agent: agent: bind socket: input/output error");
    assert_injected(&lab);
    assert_eq!(lab.files(), before);
}

#[test]
fn failed_getrandom_and_flock_do_not_panic() {
    let lab = Lab::new();
    let words = ["--socket", "agent", "--state", "/sys/fs/bpf/agent"];
    let mut locked = with_fault(&lab, "flock:error=EIO", &words);
    let why = "open state: input/output error";
    fails(&mut locked, 2, &format!("bpf-agent: /sys/fs/bpf/agent: {why}"));
    assert_injected(&lab);
    let agent = Agent::start(&mut with_fault(&lab, "getrandom:error=ENOSYS", &words));
    assert_eq!(agent.log, ["bpf-agent: serves on 1 socket, holds 0 objects"]);
    assert_eq!(agent.stop().status, 0);
    assert_injected(&lab);
}

#[test]
fn sigterm_is_handled_after_a_failed_read() {
    let lab = Lab::new();
    let agent = Agent::start(&mut lab.agent(["--socket", "agent"]));
    let inject = ["-o", "trace", "-e", "trace=read", "-e", "inject=read:error=EIO:when=1"];
    let mut strace = lab.program("strace", inject);
    strace.args(["-p", &agent.pid().to_string()]).stderr(Stdio::piped());
    let mut strace = strace.spawn().expect("strace");
    let mut line = String::new();
    BufReader::new(strace.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.ends_with(" attached\n"), "{line}");
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.wait().status, 0);
    strace.wait().unwrap();
    assert_injected(&lab);
}
