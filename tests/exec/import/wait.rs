//! The wait for a transfer, and what ends it.

use super::*;
use crate::common::child::Start;
use crate::common::receiver::activated;
use crate::common::sender::Datagram;
use crate::common::waiting::Waiting;
use crate::common::*;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use sendfd::SendWithFd;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::thread::JoinHandle;

#[test]
fn failed_source_is_reported_at_once_without_a_socket() {
    let lab = Lab::new();
    let before = lab.files();
    let mut command =
        lab.exec([LIMIT, "--import", "uds", "--pin", "/sys/fs/bpf/none", "--", "env"]);
    fails(&mut command, 125, "bpf-exec: /sys/fs/bpf/none: open pin: no such file or directory");
    let mut command = lab.exec([LIMIT, "--import", "uds", "--import", "no/uds", "--", "env"]);
    fails(&mut command, 125, "bpf-exec: no/uds: bind socket: no such file or directory");
    assert_eq!(lab.files(), before);
}

#[test]
fn missing_command_leaves_neither_socket_nor_maps() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let mut command = import(&lab, &[], &socket, &["--", "./none"]);
    let waiting = Waiting::start(&mut command, &[&socket]);
    let sent = maps(1);
    transfer(&socket, &sent, &[1]);
    let stderr = "bpf-exec: ./none: execute: command not found\n".into();
    assert_eq!(waiting.run(), Run { status: 127, stdout: String::new(), stderr });
    assert_eq!(lab.files(), before);
    maps_are_released("no command", sent);
}

/// Signals that do not end a process by default, and SIGKILL.
const NOT_ENDING: [i32; 9] = [
    libc::SIGCHLD,
    libc::SIGCONT,
    libc::SIGURG,
    libc::SIGWINCH,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGSTOP,
    libc::SIGKILL,
];

#[test]
fn signal_ends_the_wait_without_socket_or_maps() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let real_time = [libc::SIGRTMIN(), libc::SIGRTMAX()];
    for signal in (1..32).filter(|signal| !NOT_ENDING.contains(signal)).chain(real_time) {
        for partly in [false, true] {
            let what = format!("signal {signal} partly {partly}");
            let sent = maps(1);
            let command = import(
                &lab,
                &["--create", "made=array,value=4,entries=1"],
                &socket,
                &["--", "echo", "ran"],
            );
            // Some of the signals would leave a core file.
            let mut waiting = Waiting::start(&mut after("ulimit -c 0", &command), &[&socket]);
            if partly {
                Datagram { total: 2, ..Datagram::of(vec![entry(0)]) }
                    .send(&socket, &borrowed(&sent));
            }
            // SAFETY: no pointers. nix has no real-time signals.
            let killed = unsafe { libc::kill(waiting.child().id() as i32, signal) };
            assert_eq!(killed, 0, "{what}");
            let output = waiting.output();
            assert_eq!(output.status.signal(), Some(signal), "{what}: {output:?}");
            assert_eq!(
                Run::from(output),
                Run { status: 128 + signal, stdout: String::new(), stderr: String::new() }
            );
            assert_eq!(lab.files(), before, "{what}");
            maps_are_released(&what, sent);
        }
    }
}

#[test]
fn ignored_signal_stays_ignored_and_does_not_end_the_wait() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let ignored = "grep ^SigIgn: /proc/self/status; grep ^SigBlk: /proc/self/status";
    let command = import(&lab, &[], &socket, &["--", "sh", "-c", ignored]);
    let mut waiting = Waiting::start(&mut after("trap '' HUP INT", &command), &[&socket]);
    waiting.signal(Signal::SIGINT);
    waiting.signal(Signal::SIGHUP);
    transfer(&socket, &maps(1), &[0]);
    let stdout = waiting.stdout();
    let bits = |name: &str| {
        let line = stdout.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        u64::from_str_radix(line.trim(), 16).expect("a mask")
    };
    assert_eq!(bits("SigIgn:") & 0b11, 0b11, "{stdout}");
    assert_eq!(bits("SigBlk:"), 0, "{stdout}");
    assert_eq!(lab.files(), before);
}

#[test]
fn timeout_ends_the_wait_and_reports_the_received_maps() {
    let lab = Lab::new();
    let (socket, before) = (lab.path("uds"), lab.files());
    let path = socket.display();
    let timed = ["--timeout", "0.2"];
    let nothing = format!(
        "bpf-exec: {path}: import: timed out after 0.2 seconds \
         (a tc built with libbpf does not send BTF maps, and reports no error)"
    );
    let mut command = import(&lab, &timed, &socket, &["--", "echo", "ran"]);
    fails(&mut command, 125, &nothing);
    assert_eq!(lab.files(), before);
    // Long enough for the first datagram to be sent in any case.
    let mut command = import(&lab, &["--timeout", "2"], &socket, &["--", "echo", "ran"]);
    for total in [3, u16::MAX] {
        let waiting = Waiting::start(&mut command, &[&socket]);
        let sent = maps(2);
        Datagram { total, ..Datagram::of(vec![entry(0), entry(1)]) }
            .send(&socket, &borrowed(&sent));
        waiting.fails(
            "partly",
            &format!("{path}: import: timed out after 2 seconds: received 2 of {total} maps"),
        );
        assert_eq!(lab.files(), before);
        maps_are_released("partly", sent);
    }
}

/// Sends datagrams of one transfer from a thread of its own, one map in each, until the socket is
/// closed. The transfer is not complete before as many maps arrived as a header can declare.
fn flood(path: PathBuf) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let map = new_map("sent");
        let bytes = Datagram { total: u16::MAX, ..Datagram::of(vec![entry(0)]) }.bytes();
        let socket = UnixDatagram::unbound().unwrap();
        socket.connect(path).unwrap();
        while socket.send_with_fd(&bytes, &[map.as_raw_fd()]).is_ok() {}
    })
}

#[test]
fn endless_transfer_does_not_extend_the_timeout() {
    let lab = Lab::new();
    let socket = activated(&lab.path("in"));
    // Several, so that the queue of the socket is never empty.
    let senders: Vec<_> = (0..4).map(|_| flood(lab.path("in"))).collect();
    let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut ready, PollTimeout::NONE), Ok(1));
    // Short, because each datagram takes a file descriptor.
    let mut command = lab.exec(["--timeout=0.01", "--import", "fd:3", "--", "echo", "ran"]);
    Start { given: vec![socket.as_raw_fd()], ..Start::default() }.apply(&mut command);
    let Run { status, stdout, stderr } = Waiting::start(&mut command, &[]).run();
    let received = stderr
        .strip_prefix("bpf-exec: fd:3: import: timed out after 0.01 seconds: received ")
        .and_then(|rest| rest.strip_suffix(" of 65535 maps\n"));
    let is_number = received.is_some_and(|number| number.parse::<u16>().is_ok());
    assert_eq!((status, stdout.as_str(), is_number), (125, "", true), "{stderr}");
    drop(socket);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}
