//! `bpf-map load` into LRU maps, in which the kernel makes room by evicting entries without an error.

use crate::common::*;
use std::path::{Path, PathBuf};
use std::process::Command;

const KINDS: [&str; 2] = ["lru_hash", "lru_percpu_hash"];

fn map(lab: &Lab, kind: &str) -> PathBuf {
    let name = &unique("m")[..];
    let pin = Path::new(BPFFS).join(name);
    let spec = format!("{name}={kind},key=u32,value=u64,entries=1000");
    stdout_of(&mut lab.map(["create", &spec, "--pin", pin.to_str().unwrap()]));
    pin
}

fn file(lab: &Lab, count: u32) {
    let lines = (0..count).map(|key| format!("{{\"key\":{key},\"value\":{}}}\n", key * 2));
    std::fs::write(lab.path("file"), lines.collect::<String>()).unwrap();
}

fn load(lab: &Lab, options: &str, pin: &Path, file: &str) -> Command {
    let mut command = lab.map(["load"]);
    command.args(options.split_whitespace()).arg(pin).arg(file);
    command
}

/// How many entries a map has, by its keys as bpftool reads them.
fn held(pin: &Path) -> usize {
    let json = bpftool(&["-j", "map", "dump", "pinned", pin.to_str().unwrap()]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    json.as_array().unwrap().len()
}

#[test]
fn entries_that_were_evicted_are_counted() {
    let lab = Lab::new();
    for kind in KINDS {
        let cpus = if kind.contains("percpu") { "--sum" } else { "" };
        for (options, count) in [("", 2000), ("", 900), ("--replace", 900), ("--if-absent", 900)] {
            let pin = map(&lab, kind);
            file(&lab, count);
            let run = run(&mut load(&lab, &format!("{options} {cpus}"), &pin, "file"));
            let left = held(&pin);
            let want = match left == count as usize {
                true => (0, String::new()),
                false => {
                    let why = format!("{left} of {count} entries are in the map");
                    (1, format!("bpf-map: {}: {why}\n", pin.display()))
                }
            };
            assert_eq!((run.status, run.stderr), want, "{kind} {options}");
            assert!(count == 900 || left <= 1000, "{left}");
        }
        // Lines with one key are one entry. Linux 6.1 may evict the only one.
        let pin = map(&lab, kind);
        let line = "{\"key\":1,\"value\":1}\n{\"key\":1,\"value\":2}\n";
        std::fs::write(lab.path("file"), line).unwrap();
        let run = run(&mut load(&lab, cpus, &pin, "file"));
        let dump = stdout_of(&mut lab.map([Path::new("dump"), &pin]));
        let lost = format!("bpf-map: {}: 0 of 1 entries are in the map\n", pin.display());
        match run.status {
            0 => assert_eq!((run.stderr.as_str(), dump.as_str()), ("", "1\t2\n"), "{kind}"),
            _ => assert_eq!((run.status, run.stderr, dump), (1, lost, String::new()), "{kind}"),
        }
    }
}

#[test]
fn stream_reports_that_not_all_entries_can_be_in_the_map() {
    let lab = Lab::new();
    let pin = map(&lab, "lru_hash");
    file(&lab, 5000);
    let error = format!("bpf-map: {}: only 1000 of the entries can be in the map", pin.display());
    fails(&mut load(&lab, "--stream", &pin, "file"), 1, &error);
    let pin = map(&lab, "lru_hash");
    file(&lab, 100);
    assert_eq!(stdout_of(&mut load(&lab, "--stream", &pin, "file")), "");
    assert_eq!(held(&pin), 100);
}

#[test]
fn load_needs_a_descriptor_that_can_read() {
    let lab = Lab::new();
    file(&lab, 2);
    for kind in KINDS {
        let cpus: &[&str] = if kind.contains("percpu") { &["--sum", "--cpu=0"] } else { &["--"] };
        for option in cpus {
            let map = format!("w={kind},key=u32,value=u64,entries=1000,flags=WRONLY");
            let words = ["--create", &map, "--", "bpf-map", "load", option, "w", "file"];
            let error = "bpf-map: w: load: operation not permitted (the descriptor is write-only): \
                         file: line 1 (0 of 2 entries were written)";
            fails(&mut lab.exec(words), 2, error);
        }
    }
}

#[test]
fn loading_existing_entries_evicts_nothing() {
    let lab = Lab::new();
    for kind in KINDS {
        let pin = map(&lab, kind);
        file(&lab, 900);
        let cpus = if kind.contains("percpu") { "--sum" } else { "" };
        run(&mut load(&lab, cpus, &pin, "file"));
        let count = held(&pin);
        let dump = stdout_of(&mut lab.map(["dump", "--jsonl", pin.to_str().unwrap()]));
        std::fs::write(lab.path("dump"), dump).unwrap();
        let each: &[&str] = if cpus.is_empty() { &[""] } else { &["--sum", "--cpu 0"] };
        for cpus in each {
            for options in ["", "", "", "", "", "--stream", "--replace", "--replace"] {
                let options = format!("{options} {cpus}");
                assert_eq!(stdout_of(&mut load(&lab, &options, &pin, "dump")), "", "{options}");
                assert_eq!(held(&pin), count, "{kind} {options}");
            }
        }
        let kept = format!("bpf-map: {}: {count} of {count} keys exist already", pin.display());
        fails(&mut load(&lab, &format!("--if-absent {cpus}"), &pin, "dump"), 1, &kept);
        assert_eq!(held(&pin), count);
    }
}

#[test]
fn replace_by_more_keys_than_there_is_room_for_is_refused() {
    let lab = Lab::new();
    for kind in KINDS {
        let cpus = if kind.contains("percpu") { "--sum" } else { "" };
        let pin = map(&lab, kind);
        file(&lab, 10);
        stdout_of(&mut load(&lab, cpus, &pin, "file"));
        file(&lab, 1001);
        let line = format!("bpf-map: {}: 1001 keys, but the map has room for 1000", pin.display());
        for dry_run in ["", "--dry-run"] {
            fails(&mut load(&lab, &format!("--replace {dry_run} {cpus}"), &pin, "file"), 2, &line);
            assert_eq!(held(&pin), 10);
        }
    }
}
