//! `bpf-map load --replace --dry-run`: its output; it changes nothing.

use super::*;
use crate::common::*;
use std::path::Path;

const LAYOUT: &str = "--value struct{a:u32,b:u32}";

/// `bpf-map load --replace --dry-run OPTIONS PIN`, with `input` on its standard input.
fn dry_run(lab: &Lab, options: &str, pin: &Path, input: &str) -> Run {
    run(&mut load(lab, &format!("--replace --dry-run {options}"), pin, input))
}

#[test]
fn help_says_what_dry_run_needs() {
    let lab = Lab::new();
    let help = stdout_of(&mut lab.map(["load", "--help"]));
    for text in ["With --replace: print what it would change", "With --dry-run: print JSON"] {
        assert!(help.contains(text), "{text}: {help}");
    }
    let error = "bpf-map: the following required arguments were not provided: --replace \
                 (see bpf-map load --help)";
    fails(&mut load(&lab, "--dry-run", Path::new("h"), ""), 2, error);
}

#[test]
fn differences_are_printed_and_nothing_is_changed() {
    let lab = Lab::new();
    let pin = map("m", "type hash key 4 value 8 entries 8");
    let old = "key,a,b\n1,1,1\n2,2,2\n3,3,3\n";
    stdout_of(&mut load(&lab, &format!("--csv {LAYOUT}"), &pin, old));
    let before = held(&pin);
    let new = "key,a,b\n2,2,20\n3,3,3\n5,5,5\n4,4,4\n";
    let text = dry_run(&lab, &format!("--csv {LAYOUT}"), &pin, new);
    let mut printed: Vec<&str> = text.stdout.lines().collect();
    // The map's order is the kernel's; additions come last, in the file's.
    printed[..2].sort_unstable();
    let want = ["- 1", "~ 2\ta=2 b=2 -> a=2 b=20", "+ 5\ta=5 b=5", "+ 4\ta=4 b=4"];
    assert_eq!((text.status, &printed[..], text.stderr.as_str()), (1, &want[..], ""));
    let json = dry_run(&lab, &format!("--csv --json {LAYOUT}"), &pin, new);
    let array: Vec<serde_json::Value> = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.status, array.len(), json.stderr.as_str()), (1, 4, ""), "{}", json.stdout);
    for entry in [
        serde_json::json!({"key": 1, "old": {"a": 1, "b": 1}}),
        serde_json::json!({"key": 2, "old": {"a": 2, "b": 2}, "new": {"a": 2, "b": 20}}),
        serde_json::json!({"key": 4, "new": {"a": 4, "b": 4}}),
    ] {
        assert!(array.contains(&entry), "{entry}: {}", json.stdout);
    }
    for (format, want) in [("", ""), ("--json", "[]\n")] {
        let same = dry_run(&lab, &format!("--csv {LAYOUT} {format}"), &pin, old);
        assert_eq!((same.status, same.stdout.as_str(), same.stderr.as_str()), (0, want, ""));
    }
    assert_eq!(held(&pin), before);
    assert_eq!(run(&mut load(&lab, "--dry-run", &pin, "")).status, 2);
}

#[test]
fn values_of_all_cpus_are_printed() {
    let lab = Lab::new();
    let pin = map("p", "type percpu_array key 4 value 4 entries 2");
    stdout_of(&mut lab.map(["set", "--all-cpus", "/sys/fs/bpf/p", "1", "7"]));
    let cpus = stdout_of(&mut lab.map(["get", "--per-cpu", "/sys/fs/bpf/p", "1"])).lines().count();
    let values = |first, rest| [vec![first], vec![rest; cpus - 1]].concat().join("\t");
    let dry = dry_run(&lab, "--cpu 0", &pin, "{\"key\":0,\"value\":5}\n");
    // A slot that is not in the file becomes zero for the CPUs that are written.
    let want = format!(
        "~ 0\t{} -> {}\n~ 1\t{} -> {}\n",
        values("0", "0"),
        values("5", "0"),
        values("7", "7"),
        values("0", "7")
    );
    assert_eq!((dry.status, dry.stdout, dry.stderr.as_str()), (1, want, ""));
}

#[test]
fn read_only_descriptor_is_enough() {
    let lab = Lab::new();
    let pin = lab.hash("h");
    std::fs::write(lab.path("file"), "{\"key\":9,\"value\":1}\n").unwrap();
    let words = ["-r", "--pin", pin.to_str().unwrap(), "--", "bpf-map", "load", "--replace"];
    let dry = run(lab.exec(words).args(["--dry-run", "h", "file"]));
    assert_eq!(dry, Run { status: 1, stdout: "- 1\n+ 9\t1\n".into(), stderr: String::new() });
}
