//! `bpf-exec --agent` and `bpf-map agent`, with an agent that the test plays, packet by packet,
//! as wrong as it likes.

mod reply;
mod request;
mod wait;

use crate::common::agent::*;
use crate::common::*;
use crate::support::played::*;
use std::os::fd::BorrowedFd;
use std::process::Command;

/// One packet of an answer: its bytes, and its descriptors by their place in a list.
type Sent = (Vec<u8>, Vec<usize>);

/// Answers the one request that is to come with these packets, as long as the client takes them.
fn answer(played: &Played, request: &[u8], fds: &[BorrowedFd], packets: &[Sent]) {
    let client = played.asked(request);
    for (bytes, which) in packets {
        let fds: Vec<BorrowedFd> = which.iter().map(|&at| fds[at]).collect();
        if client.send(bytes, &fds).is_err() {
            return;
        }
    }
    // Whatever it says next: that it has gone.
    let _ = client.receive();
}

/// bpf-exec, and a command that must not run.
fn exec(lab: &Lab, arguments: &[&str]) -> Command {
    lab.exec([arguments, &["--", "echo", "ran"]].concat())
}

fn failed(program: &str, message: &str) -> Run {
    let status = if program == "bpf-exec" { 125 } else { 2 };
    Run { status, stdout: String::new(), stderr: format!("{program}: {message}\n") }
}

/// A request for hits, as bpf-exec sends it first.
fn get_hits() -> Vec<u8> {
    packet(GET, READ | WRITE, 1, &string("hits"))
}

/// Prints what the contract has of one map.
const ENV: &str = "env | grep ^BPF_ | grep -v _ID= | sort";
