//! Maps received over tc's socket: what the command gets, the socket's file, and hostile senders.

mod fds;
mod inherited_socket;
mod malformed;
mod senders;
mod socket;
mod transfer;
mod wait;

use crate::common::fds::*;
use crate::common::sender::{Datagram, Entry};
use crate::common::*;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Command;

/// For imports that must not wait: if one does, the test fails instead of hanging.
const LIMIT: &str = "--timeout=10";

/// Prints `n descriptor map-id name` for each BPF_MAP<n>, by rising n, then the count.
const REPORT: &str = r#"
env | grep '^BPF_MAP[0-9]*=' | while IFS='=' read -r variable fd; do
    eval "name=\${${variable}_NAME-}"
    echo "${variable#BPF_MAP} $fd $(sed -n 's/^map_id:[[:space:]]*//p' /proc/self/fdinfo/$fd) $name"
done | sort -n
echo "$BPF_NUM_MAPS maps""#;

/// `bpf-exec --import SOCKET`, with more arguments before and after.
fn import(lab: &Lab, before: &[&str], socket: &Path, after: &[&str]) -> Command {
    let mut command = lab.exec(before);
    command.arg("--import").arg(socket).args(after);
    command
}

fn maps(count: usize) -> Vec<OwnedFd> {
    (0..count).map(|_| new_map("sent")).collect()
}

/// The declaration of a map that [`new_map`] made, with this id.
fn entry(id: u32) -> Entry {
    [ARRAY, 4, 8, 1, 0, id, 0, 0, 0]
}

fn borrowed(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}

/// Sends `maps` in one datagram, with these ids declared.
fn transfer(socket: &Path, maps: &[OwnedFd], ids: &[u32]) {
    let entries = ids.iter().map(|&id| entry(id)).collect();
    Datagram::of(entries).send(socket, &borrowed(maps));
}

/// The maps' lines of [`REPORT`]: the n, the descriptor and the place in `maps` of each.
fn report(maps: &[OwnedFd], lines: &[(u32, i32, usize)]) -> String {
    let line = |&(n, fd, at): &(u32, i32, usize)| format!("{n} {fd} {} sent\n", id_of(&maps[at]));
    lines.iter().map(line).collect::<String>() + &format!("{} maps\n", lines.len())
}

/// Drops the test's fds, and checks that no other process holds the maps.
#[track_caller]
fn maps_are_released(what: &str, maps: Vec<OwnedFd>) {
    let ids: Vec<u32> = maps.iter().map(id_of).collect();
    drop(maps);
    for id in ids {
        eventually(&format!("{what}: the end of map {id}"), || !map_exists(id));
    }
}
