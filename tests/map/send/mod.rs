//! `bpf-map send`: what tc, bpf-exec and a socket of the test's own get, and what goes wrong.

mod owner;
mod refused;
mod transfer;

use crate::common::fds::*;
use crate::common::*;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

/// Prints the inherited maps: `n map-id` for each BPF_MAP<n>, by rising n, then the count.
const REPORT: &str = r#"
env | grep '^BPF_MAP[0-9]*=' | while IFS='=' read -r variable fd; do
    echo "${variable#BPF_MAP} $(sed -n 's/^map_id:[[:space:]]*//p' /proc/self/fdinfo/$fd)"
done | sort -n
echo "$BPF_NUM_MAPS maps""#;

/// `tc exec bpf import SOCKET` and `bpf-exec --import SOCKET`, which run a script.
fn receivers(lab: &Lab, socket: &Path, script: &str) -> [Command; 2] {
    let mut tc = Command::new("tc");
    tc.args(["exec", "bpf", "import"]).arg(socket).args(["run", "sh", "-c", script]);
    let mut ours = lab.exec(["--import"]);
    ours.arg(socket).args(["--", "sh", "-c", script]);
    [tc, ours]
}

fn access(fd: &OwnedFd) -> OFlag {
    let flags = fcntl(fd, FcntlArg::F_GETFL).expect("flags");
    OFlag::from_bits_retain(flags) & OFlag::O_ACCMODE
}

/// References to maps by their ids.
fn by_ids(maps: &[OwnedFd]) -> Vec<String> {
    maps.iter().map(|map| format!("id:{}", id_of(map))).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
