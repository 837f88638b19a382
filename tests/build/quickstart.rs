//! The README's first command, as a newcomer runs it.

use crate::common::*;
use std::process::Command;

#[test]
fn quickstart_runs_a_command_that_reads_packet_counts() {
    let script = format!("{}/scripts/quickstart", env!("CARGO_MANIFEST_DIR"));
    // Three pings more are at least three packets more; the peer pings too.
    let session = "bpf-map get packets 0 && ping -q -c 3 -i 0.2 192.0.2.2 >&2 && bpf-map get packets 0; exit 7";
    let run = run(Command::new(script).args(["sh", "-c", session]));
    let counts: Vec<u64> = run.stdout.lines().map(|line| line.parse().expect(line)).collect();
    assert_eq!((run.status, counts.len()), (7, 2), "{run:?}");
    assert!(counts[0] >= 1 && counts[1] >= counts[0] + 3, "{counts:?}");
}
