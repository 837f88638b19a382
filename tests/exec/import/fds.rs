//! File descriptors of bpf-exec during a transfer.

use super::*;
use crate::common::open_fds::OpenFds;
use crate::common::sender::Datagram;
use crate::common::waiting::Waiting;
use crate::common::*;
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

/// The open fds of a command, between its start and the end of its input.
fn fds_when_ready(child: &mut Child) -> OpenFds {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let open = OpenFds::of(child.id());
    drop(child.stdin.take());
    open
}

#[test]
fn received_descriptors_are_close_on_exec_until_placed() {
    let lab = Lab::new();
    let socket = lab.path("uds");
    let script = ["sh", "-c", "echo ready; read -r line"];
    let mut command = import(&lab, &[], &socket, &["--"]);
    command.args(script).stdin(Stdio::piped());
    let mut waiting = Waiting::start(&mut command, &[&socket]);
    let pid = waiting.child().id();
    let (sent, at_start) = (maps(2), OpenFds::of(pid).numbers());
    let send_one = |at: usize| {
        let datagram = Datagram { total: 2, ..Datagram::of(vec![entry(at as u32)]) };
        datagram.send(&socket, &[sent[at].as_fd()]);
    };
    send_one(0);
    eventually("the first map received", || OpenFds::of(pid).count() > at_start.len());
    let mut received = OpenFds::of(pid).numbers();
    received.retain(|fd| !at_start.contains(fd));
    for fd in received.iter().chain(at_start.iter().filter(|&&fd| fd > 2)) {
        let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
        assert_ne!(flags & nix::libc::O_CLOEXEC, 0, "descriptor {fd} of {received:?}\n{info}");
    }
    send_one(1);
    fds_when_ready(waiting.child()).assert_numbers(&[0, 1, 2, 64, 65], "two maps");
    assert_eq!(waiting.run().status, 1, "read(1) met the end of its input");
}

#[test]
fn closed_standard_streams_are_not_reused() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    for closed in [&[0][..], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2]] {
        let closing: Vec<String> = closed.iter().map(|fd| format!("exec {fd}>&-")).collect();
        let command = import(&lab, &[], &socket, &["--", "echo", "ran"]);
        let mut waiting = Waiting::start(&mut after(&closing.join("; "), &command), &[&socket]);
        let (pid, sent) = (waiting.child().id(), maps(1));
        let at_start = OpenFds::of(pid);
        let datagram = Datagram { total: 2, ..Datagram::of(vec![entry(0)]) };
        datagram.send(&socket, &[sent[0].as_fd()]);
        eventually("the map received", || OpenFds::of(pid).difference(&at_start) > 0);
        for fd in closed {
            // Absent, or the root directory, which can be neither read nor written.
            let open = OpenFds::of(pid);
            let target = open.target(*fd);
            assert!(matches!(target, None | Some("/")), "{closed:?} closed: fd {fd} is {target:?}");
        }
        waiting.signal(Signal::SIGTERM);
        assert_eq!(waiting.output().status.signal(), Some(Signal::SIGTERM as i32));
        assert_eq!(lab.files(), before);
    }
}
