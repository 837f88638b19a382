//! `bpf-map trace`: the trace pipe, which the whole system shares.

use crate::common::child::{Running, Start};
use crate::common::*;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

const TRACING: &str = "/sys/kernel/tracing";

/// Mounts tracefs in the mount namespace of the test.
fn mount() {
    let mounted = run(Command::new("mount").args(["-t", "tracefs", "tracefs", TRACING]));
    assert_eq!((mounted.status, mounted.stderr.as_str()), (0, ""));
}

/// Writes a line into the kernel's trace buffer.
fn mark(text: &str) {
    let marker = std::fs::File::options().write(true).open(format!("{TRACING}/trace_marker"));
    marker.unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn trace_pipe_is_followed_as_lines_and_as_json() {
    let lab = Lab::new();
    // Without a tracefs, the error reports the missing mount.
    let none = lab.map(["trace"]);
    let umount =
        ["unshare", "--mount", "sh", "-c", "umount -a -t tracefs,debugfs; exec \"$@\"", "sh"];
    let line =
        "bpf-map: trace: no tracefs is mounted (mount -t tracefs tracefs /sys/kernel/tracing)";
    fails(&mut wrapped(&umount, &none), 2, line);
    mount();
    for jsonl in [false, true] {
        let options: &[&str] = if jsonl { &["--jsonl"] } else { &[] };
        let mut trace = lab.map([&["trace"], options].concat());
        let mut trace = trace.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(trace.stdout.take().unwrap()).lines();
        let text = unique("marked");
        mark(&format!("{text} \x1b[1m\n"));
        // Other programs may print as well.
        let line = lines.find_map(|line| line.ok().filter(|line| line.contains(&text))).unwrap();
        if jsonl {
            let line: Value = serde_json::from_str(&line).unwrap();
            let want = format!("tracing_mark_write: {text} \u{1b}[1m");
            assert_eq!(line["text"], want);
            assert!(line["task"].is_string() && line["pid"].is_u64() && line["cpu"].is_u64());
            assert!(line["time"].as_f64().unwrap() > 0.0);
        } else {
            assert!(line.ends_with(&format!(": tracing_mark_write: {text} \\x1b[1m")), "{line}");
        }
        // It ends with its reader, without another line.
        drop(lines);
        let ended = trace.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
    }
    let text = unique("counted");
    mark(&text);
    let line = stdout_of(&mut lab.map(["trace", "--count", "1"]));
    assert_eq!(line.lines().count(), 1, "{line}");
    // A signal ends it.
    let trace = Running::until(&Start::default(), &mut lab.map(["trace"]), "bpf-map");
    trace.kill();
}
