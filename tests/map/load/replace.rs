//! `bpf-map load --replace`: only entries that differ are written, in an order in which no entry that
//! stays is ever missing.

use super::held;
use crate::common::traced::{Stop, Traced};
use crate::common::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const BPF: libc::c_long = libc::SYS_bpf;

/// A map that bpf-map creates, pinned at `name` below the root.
fn map(lab: &Lab, name: &str, spec: &str) -> PathBuf {
    let pin = Path::new(BPFFS).join(name);
    let spec = format!("{name}={spec}");
    stdout_of(&mut lab.map(["create", &spec, "--pin", pin.to_str().unwrap()]));
    pin
}

/// `bpf-map load --replace OPTIONS PIN FILE`, with JSON lines or a table in the file.
fn replace(lab: &Lab, options: &str, pin: &Path, input: &str) -> Command {
    let file = lab.path("input");
    std::fs::write(&file, input).unwrap();
    let mut command = lab.map(["load", "--replace"]);
    command.args(options.split_whitespace()).arg(pin).arg("input");
    command
}

/// `key value` pairs as JSON lines.
fn lines(pairs: &[(u32, u64)]) -> String {
    pairs.iter().map(|(key, value)| format!("{{\"key\":{key},\"value\":{value}}}\n")).collect()
}

fn fill(lab: &Lab, pin: &Path, pairs: &[(u32, u64)]) {
    std::fs::write(lab.path("fill"), lines(pairs)).unwrap();
    stdout_of(&mut lab.map([Path::new("load"), pin, Path::new("fill")]));
}

/// How many entries a command updates and deletes, by its bpf(2) calls.
#[track_caller]
fn writes(lab: &Lab, command: &Command) -> (usize, usize) {
    let trace = lab.path("trace");
    let strace = ["strace", "-f", "-e", "trace=bpf", "-o", trace.to_str().unwrap()];
    assert_eq!(stdout_of(&mut wrapped(&strace, command)), "");
    let text = std::fs::read_to_string(&trace).unwrap();
    let count = |name: &str| {
        let calls = text.lines().filter(|line| line.contains(name));
        let entries = calls.map(|line| match line.split_once("count=") {
            Some((_, rest)) => rest.split([',', '}']).next().unwrap().parse().unwrap(),
            None => 1,
        });
        entries.sum()
    };
    (count("BPF_MAP_UPDATE"), count("BPF_MAP_DELETE"))
}

#[test]
fn replace_writes_as_many_entries_as_differ() {
    let lab = Lab::new();
    for (n, spec) in [
        "hash,key=u32,value=u64,entries=100",
        "hash,key=u32,value=u64,entries=100,flags=NO_PREALLOC",
        "percpu_hash,key=u32,value=u64,entries=100",
        "lru_hash,key=u32,value=u64,entries=1000",
    ]
    .into_iter()
    .enumerate()
    {
        let pin = map(&lab, &format!("m{n}"), spec);
        let option = if spec.starts_with("percpu") { "--sum" } else { "" };
        let old: Vec<(u32, u64)> = (0..50).map(|key| (key, 7)).collect();
        let new: Vec<(u32, u64)> =
            (5..52).map(|key| (key, if key % 10 == 0 { 8 } else { 7 })).collect();
        for (entries, want) in [(&old, (50, 0)), (&old, (0, 0)), (&new, (6, 5)), (&new, (0, 0))] {
            let command = replace(&lab, option, &pin, &lines(entries));
            assert_eq!(writes(&lab, &command), want, "{spec}");
        }
        let dump = stdout_of(&mut lab.map([Path::new("dump"), &pin]));
        assert_eq!(dump.lines().count(), new.len(), "{spec}");
    }
    // The last line of a key counts, and is one write.
    let pin = map(&lab, "twice", "hash,key=u32,value=u64,entries=4");
    let command = replace(&lab, "", &pin, &lines(&[(1, 1), (1, 2), (2, 2)]));
    assert_eq!(writes(&lab, &command), (2, 0));
    let command = replace(&lab, "", &pin, &lines(&[(1, 1), (1, 2), (2, 2)]));
    assert_eq!(writes(&lab, &command), (0, 0));
    assert_eq!(held(&pin), [(1, 2), (2, 2)]);
    // In an array, slots that are zero already are not written.
    let array = map(&lab, "array", "array,value=u64,entries=5");
    fill(&lab, &array, &[(0, 1), (1, 1), (2, 1)]);
    let command = replace(&lab, "", &array, &lines(&[(0, 1), (1, 2)]));
    assert_eq!(writes(&lab, &command), (2, 0));
    assert_eq!(held(&array), [(0, 1), (1, 2), (2, 0), (3, 0), (4, 0)]);
    // A trie's key is its prefix, whatever bits follow.
    let trie = map(&lab, "trie", "lpm_trie,key=lpm{ip4},value=u32,entries=4");
    let file = "{\"key\":\"10.1.2.3/8\",\"value\":1}\n{\"key\":\"0.0.0.0/0\",\"value\":2}\n";
    for (file, want) in [
        (file.to_owned(), (2, 0)),
        (file.replace("10.1.2.3", "10.0.0.0"), (0, 0)),
        (file.replace("10.1.2.3/8", "10.0.0.0/9"), (1, 1)),
    ] {
        assert_eq!(writes(&lab, &replace(&lab, "", &trie, &file)), want, "{file}");
    }
}

#[test]
fn replace_compares_the_cpus_that_it_writes() {
    let lab = Lab::new();
    let pin = map(&lab, "p", "percpu_array,value=packed struct{a:u32,b:u8},entries=2");
    let layout = "--value=packed struct{a:u32,b:u8}";
    let get = ["get", "--per-cpu", "/sys/fs/bpf/p", "0"];
    let several = stdout_of(&mut lab.map(get)).lines().count() > 1;
    // If there is one CPU, the value for all and for the first one are the same.
    let differs = (usize::from(several), 0);
    let file = "{\"key\":0,\"value\":{\"a\":1,\"b\":2}}\n";
    for (options, want) in [
        ("--all-cpus", (1, 0)),
        ("--all-cpus", (0, 0)),
        ("--cpu 0", (0, 0)),
        ("--sum", differs),
        ("--cpu 0", (0, 0)),
        ("--all-cpus", differs),
    ] {
        let mut command = replace(&lab, options, &pin, file);
        assert_eq!(writes(&lab, command.arg(layout)), want, "{options}");
    }
    let dump = ["dump", "--per-cpu", "--jsonl", layout, "/sys/fs/bpf/p"];
    let values = stdout_of(&mut lab.map(dump));
    assert_eq!(writes(&lab, replace(&lab, "", &pin, &values).arg(layout)), (0, 0));
}

#[test]
fn replace_for_one_cpu_keeps_the_values_of_the_others() {
    let lab = Lab::new();
    let of_cpus = |pin: &Path, key: &str| -> Vec<String> {
        let get = ["get", "--per-cpu", pin.to_str().unwrap(), key];
        let values = stdout_of(&mut lab.map(get));
        values.lines().map(|line| line.split_once('\t').unwrap().1.to_owned()).collect()
    };
    let array = map(&lab, "p", "percpu_array,value=u64,entries=3");
    let hash = map(&lab, "h", "percpu_hash,key=u32,value=u64,entries=3");
    for pin in [&array, &hash] {
        for key in ["0", "1", "2"] {
            stdout_of(&mut lab.map(["set", "--all-cpus", pin.to_str().unwrap(), key, "9"]));
        }
    }
    let others = vec!["9"; of_cpus(&array, "0").len() - 1];
    let last = format!("--cpu {}", others.len());
    // Slot 1 is not in the file, slot 2 is in it as zero.
    let file = lines(&[(0, 5), (2, 0)]);
    assert_eq!(writes(&lab, &replace(&lab, &last, &array, &file)), (3, 0));
    for (key, value) in [("0", "5"), ("1", "0"), ("2", "0")] {
        assert_eq!(of_cpus(&array, key), [&others[..], &[value]].concat(), "slot {key}");
    }
    assert_eq!(writes(&lab, &replace(&lab, &last, &array, &file)), (0, 0));
    // An entry of a hash is removed with all its values.
    assert_eq!(writes(&lab, &replace(&lab, &last, &hash, &file)), (2, 1));
    for (key, value) in [("0", "5"), ("2", "0")] {
        assert_eq!(of_cpus(&hash, key), [&others[..], &[value]].concat(), "key {key}");
    }
    let dump = stdout_of(&mut lab.map(["dump", "--sort", "key", hash.to_str().unwrap()]));
    assert!(dump.starts_with("0\t") && dump.contains("\n2\t"), "{dump}");
    assert_eq!(dump.lines().count(), 2, "{dump}");
}

#[test]
fn replace_compares_padding_and_no_kernel_fields() {
    let lab = Lab::new();
    let pin = map(&lab, "m", "hash,key=u32,value=8,entries=4");
    let layout = "--value=struct{a:u32,b:u8}";
    stdout_of(&mut lab.map(["set", layout, "/sys/fs/bpf/m", "1", "a=1 b=2 @5=hex:aabbcc"]));
    let file = "{\"key\":1,\"value\":{\"a\":1,\"b\":2}}\n";
    assert_eq!(writes(&lab, replace(&lab, "", &pin, file).arg(layout)), (1, 0));
    assert_eq!(writes(&lab, replace(&lab, "", &pin, file).arg(layout)), (0, 0));
    let (object, maps) = (fixture("guarded.bpf.o"), format!("{BPFFS}/maps"));
    bpftool(&["prog", "loadall", &object, "/sys/fs/bpf/programs", "pinmaps", &maps]);
    let special = PathBuf::from(format!("{maps}/special"));
    // The timer and the lock of the value are not written, whatever the file has in their place.
    let file = format!("{{\"key\":0,\"value\":\"hex:{}\"}}\n", "ff".repeat(40));
    assert_eq!(writes(&lab, &replace(&lab, "", &special, &file)), (1, 0));
    assert_eq!(writes(&lab, &replace(&lab, "", &special, &file)), (0, 0));
    assert_eq!(writes(&lab, &replace(&lab, "", &special, "")), (1, 0));
    assert_eq!(writes(&lab, &replace(&lab, "", &special, "")), (0, 0));
}

/// Runs a command and calls `at` before every bpf(2) call that writes, with the call's number, and
/// after every one, with None. False ends the command there.
fn stepped(command: &mut Command, mut at: impl FnMut(Option<u64>) -> bool) -> Run {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = Traced::prepare(command).spawn().unwrap();
    let traced = Traced::executed(child.id());
    let mut command = 0;
    loop {
        let more = match traced.step() {
            Stop::Entry { number, .. } if number == libc::SYS_exit_group => break,
            Stop::Entry { number: BPF, arguments } => {
                command = arguments[0];
                // UPDATE_ELEM, DELETE_ELEM, UPDATE_BATCH, DELETE_BATCH.
                !matches!(command, 2 | 3 | 26 | 27) || at(Some(command))
            }
            Stop::Exit { .. } if matches!(command, 2 | 3 | 26 | 27) => {
                command = 0;
                at(None)
            }
            _ => true,
        };
        if !more {
            let pid = nix::unistd::Pid::from_raw(child.id() as i32);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
            return Run::from(child.wait_with_output().unwrap());
        }
    }
    traced.release();
    Run::from(child.wait_with_output().unwrap())
}

const DONE: &str = "";

/// Old and new entries: two keys are in both, one of them with a new value.
const OLD: [(u32, u64); 4] = [(1, 1), (2, 2), (3, 3), (4, 4)];
const NEW: [(u32, u64); 4] = [(3, 3), (4, 40), (5, 5), (6, 6)];

#[test]
fn entry_that_stays_is_never_missing() {
    let lab = Lab::new();
    for (n, spec) in
        ["hash,key=u32,value=u64,entries=8", "devmap_hash,entries=8"].into_iter().enumerate()
    {
        let devices = n == 1;
        // There is one interface in this namespace for certain, the loopback device.
        let pairs = |pairs: &[(u32, u64)]| -> Vec<(u32, u64)> {
            pairs.iter().map(|(key, value)| (*key, if devices { 1 } else { *value })).collect()
        };
        for stop in 0.. {
            let pin = map(&lab, &unique("m"), spec);
            fill(&lab, &pin, &pairs(&OLD));
            let mut calls = 0;
            let mut command = replace(&lab, "", &pin, &lines(&pairs(&NEW)));
            let run = stepped(&mut command, |call| {
                let keys: Vec<u32> = held(&pin).iter().map(|(key, _)| *key).collect();
                assert!(keys.contains(&3) && keys.contains(&4), "{spec}: {keys:?}");
                // Nothing is removed before all additions are there.
                let (old, new) =
                    ([1, 2].map(|k| keys.contains(&k)), [5, 6].map(|k| keys.contains(&k)));
                assert!(old == [true; 2] || new == [true; 2], "{spec}: {keys:?}");
                calls += usize::from(call.is_some());
                call.is_none() || calls <= stop
            });
            let interrupted = run.status != 0;
            if interrupted {
                assert_eq!((run.status, run.stderr.as_str()), (128 + 9, DONE));
                stdout_of(&mut replace(&lab, "", &pin, &lines(&pairs(&NEW))));
            }
            assert_eq!(held(&pin), pairs(&NEW), "{spec}");
            if !interrupted {
                assert!(calls >= 2, "{calls}");
                break;
            }
        }
    }
}

#[test]
fn replace_in_a_full_map_removes_entries_first() {
    let lab = Lab::new();
    for flags in ["", ",flags=NO_PREALLOC"] {
        let pin = map(&lab, &unique("m"), &format!("hash,key=u32,value=u64,entries=5{flags}"));
        fill(&lab, &pin, &OLD);
        let mut sizes = Vec::new();
        let run = stepped(&mut replace(&lab, "", &pin, &lines(&NEW)), |call| {
            if call.is_none() {
                sizes.push(held(&pin).len());
            }
            true
        });
        let warning = format!(
            "bpf-map: warning: {}: no room for old and new entries at once: some are removed first\n",
            pin.display()
        );
        assert_eq!((run.status, run.stderr), (0, warning));
        assert_eq!((sizes, held(&pin)), (vec![3, 5, 4], NEW.to_vec()), "{flags}");
    }
    // A trie that is full.
    let trie = map(&lab, "trie", "lpm_trie,key=lpm{ip4},value=u64,entries=2");
    let line = |ip: &str, value: u32| format!("{{\"key\":\"{ip}\",\"value\":{value}}}\n");
    let file = line("10.0.0.0/8", 1) + &line("11.0.0.0/8", 1);
    stdout_of(&mut replace(&lab, "", &trie, &file));
    let run = run(&mut replace(&lab, "", &trie, &(line("10.0.0.0/8", 2) + &line("12.0.0.0/8", 1))));
    assert_eq!(run.status, 0, "{}", run.stderr);
    let dump = stdout_of(&mut lab.map(["dump", "--sort", "key", "/sys/fs/bpf/trie"]));
    assert_eq!(dump, "10.0.0.0/8\t2\n12.0.0.0/8\t1\n");
}

#[test]
fn map_that_others_fill_gets_room_by_removals() {
    let lab = Lab::new();
    let pin = map(&lab, "m", "hash,key=u32,value=u64,entries=4");
    fill(&lab, &pin, &[(1, 1), (2, 2)]);
    let mut first = true;
    let run = stepped(&mut replace(&lab, "", &pin, &lines(&[(1, 1), (3, 3), (4, 4)])), |_| {
        if std::mem::take(&mut first) {
            fill(&lab, &pin, &[(9, 9)]);
        }
        true
    });
    let stderr = "bpf-map: warning: /sys/fs/bpf/m: no room for old and new entries at once: some are removed first
bpf-map: /sys/fs/bpf/m: entries that differ from input: 1 (0 missing, 0 with another value, 1 in the map only)\n";
    assert_eq!((run.status, run.stderr.as_str()), (1, stderr));
    assert_eq!(held(&pin), [(1, 1), (3, 3), (4, 4), (9, 9)]);
    // One CPU's value is read and written back, element by element.
    let each = map(&lab, "each", "percpu_hash,key=u32,value=u64,entries=4");
    fill(&lab, &each, &[(1, 0), (2, 0)]);
    let mut first = true;
    let file = lines(&[(1, 1), (3, 3), (4, 4)]);
    let run = stepped(&mut replace(&lab, "--cpu 0", &each, &file), |_| {
        if std::mem::take(&mut first) {
            fill(&lab, &each, &[(9, 0)]);
        }
        true
    });
    assert_eq!((run.status, run.stderr), (1, stderr.replace("bpf/m:", "bpf/each:")));
    let dump = stdout_of(&mut lab.map(["dump", "--sort", "key", "/sys/fs/bpf/each"]));
    assert_eq!(dump, "1\t1\n3\t3\n4\t4\n9\t0\n");
    // With nothing left to remove the map is full.
    let array: Vec<(u32, u64)> = (1..=4).map(|key| (key, 0)).collect();
    let full = map(&lab, "full", "hash,key=u32,value=u64,entries=4");
    let mut first = true;
    let run = stepped(&mut replace(&lab, "", &full, &lines(&array)), |_| {
        if std::mem::take(&mut first) {
            fill(&lab, &full, &[(9, 9)]);
        }
        true
    });
    let error = "bpf-map: /sys/fs/bpf/full: load: no room: the map is full (4 entries): input: line 4 (3 of 4 entries were written)\n";
    assert_eq!((run.status, run.stderr.as_str()), (2, error));
}

#[test]
fn concurrent_replace_reports_the_differences() {
    let lab = Lab::new();
    let pin = map(&lab, "m", "hash,key=u32,value=u64,entries=8");
    fill(&lab, &pin, &OLD);
    let other = [(3, 3), (4, 4), (7, 7)];
    let mut first = true;
    let run = stepped(&mut replace(&lab, "", &pin, &lines(&NEW)), |_| {
        if std::mem::take(&mut first) {
            std::fs::write(lab.path("other"), lines(&other)).unwrap();
            stdout_of(&mut lab.map(["load", "--replace", "/sys/fs/bpf/m", "other"]));
        }
        true
    });
    let error = "bpf-map: /sys/fs/bpf/m: entries that differ from input: 1 (0 missing, 0 with another value, 1 in the map only)\n";
    assert_eq!((run.status, run.stderr.as_str()), (1, error));
    assert_eq!(held(&pin), [(3, 3), (4, 40), (5, 5), (6, 6), (7, 7)]);
}

#[test]
fn concurrent_runs_do_not_both_succeed_with_a_mixture() {
    let lab = Lab::new();
    let pin = map(&lab, "m", "hash,key=u32,value=u64,entries=30000");
    let files = [0, 1].map(|n| {
        let pairs: Vec<(u32, u64)> = (0..10_000).map(|key| (key * 2 + n, n.into())).collect();
        let name = format!("file{n}");
        std::fs::write(lab.path(&name), lines(&pairs)).unwrap();
        (name, pairs)
    });
    for round in 0..10 {
        let children = files.each_ref().map(|(name, _)| {
            let mut command = lab.map(["load", "--replace", "/sys/fs/bpf/m", name]);
            command.stderr(Stdio::null()).spawn().unwrap()
        });
        let ended = children.map(|mut child| child.wait().unwrap().code());
        let held = held(&pin);
        let whole = files.iter().any(|(_, pairs)| *pairs == held);
        assert!(whole || ended != [Some(0); 2], "round {round}: {} entries", held.len());
    }
}
