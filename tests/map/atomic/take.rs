//! `bpf-map take`.

use super::*;
use serde_json::Value;
use std::collections::BTreeMap;

const NUMBERS: [&str; 3] = ["hits", "wide", "down"];

/// Adds what a command takes to `sums`, by field.
fn take(command: &mut Command, sums: &mut BTreeMap<&'static str, i64>) {
    for line in stdout_of(command).lines() {
        let entry: Value = serde_json::from_str(line).expect("JSON");
        for field in NUMBERS {
            *sums.entry(field).or_default() += entry["value"][field].as_i64().unwrap_or_default();
        }
    }
}

/// Takes while a program counts; the sums are what the program counted.
fn take_while_a_program_counts(lab: &Lab, program: &str, map: &str) {
    let label = pin(map);
    // Most of the additions that a fault would lose are between two instructions: it takes many
    // attempts.
    let lines = format!("take --jsonl {label} 0\ntake --jsonl {label} --fields wide,hits\n");
    std::fs::write(lab.path("lines"), lines.repeat(1000)).expect("a file");
    let mut writers = Writers::start(lab, program);
    let (mut sums, mut rounds) = (BTreeMap::new(), 0);
    while rounds < 1 || rounds < 3 && writers.are_running() {
        take(&mut lab.map(["batch", "lines"]), &mut sums);
        rounds += 1;
    }
    let written = writers.finish() as i64;
    take(&mut lab.map(["take", "--jsonl", &label]), &mut sums);
    let down = if map == "locked" { 0 } else { -written };
    let want = BTreeMap::from([("hits", written), ("wide", written), ("down", down)]);
    assert_eq!(sums, want, "{map} after {rounds} rounds");
}

#[test]
fn takes_and_atomic_counts_add_up() {
    for map in SHARED {
        take_while_a_program_counts(&lab(), "shared", map);
    }
}

#[test]
fn takes_and_plain_counts_per_cpu_add_up() {
    for map in PER_CPU {
        take_while_a_program_counts(&lab(), "per_cpu", map);
    }
}

#[test]
fn takes_below_a_spin_lock_add_up() {
    needs!(Feature::LockInSyscallProgram);
    take_while_a_program_counts(&lab(), "guarded", "locked");
}

#[test]
fn take_leaves_entries_text_and_flags() {
    let lab = lab();
    let value = "hits=5 wide=7 name=nam down=-4 flag=true level=3 narrow=9 last=11";
    let reset = "hits=0 wide=0 name=nam down=0 flag=true level=0 narrow=0 last=0";
    for map in SHARED {
        let map = pin(map);
        stdout_of(&mut lab.map(["set", &map, "0", value]));
        stdout_of(&mut lab.map(["set", &map, "1", value]));
        let some = stdout_of(&mut lab.map(["take", &map, "1", "--fields", "level,hits"]));
        assert_eq!(some, "1\thits=5 level=3\n", "{map}");
        let left = "hits=0 wide=7 name=nam down=-4 flag=true level=0 narrow=9 last=11";
        assert_eq!(stdout_of(&mut lab.map(["take", &map, "1"])), format!("1\t{left}\n"), "{map}");
        assert_eq!(stdout_of(&mut lab.map(["take", &map, "0"])), format!("0\t{value}\n"), "{map}");
        let both = stdout_of(&mut lab.map(["get", &map, "0", "1"]));
        assert_eq!(both, format!("{reset}\n{reset}\n"), "{map}");
    }
}

#[test]
fn take_prints_in_the_formats_of_dump() {
    let lab = Lab::new();
    let map = "m=hash,key=u32,value=struct{n: u32, s: char[4]},entries=8";
    let set = "bpf-map set m 1 'n=3 s=a'; bpf-map set m 2 'n=2 s=b';";
    for (options, want) in [
        ("", "1\tn=3 s=a\n2\tn=2 s=b\n"),
        ("--csv", "key,n,s\n1,3,a\n2,2,b\n"),
        ("--tsv --fields n", "key\tn\n1\t3\n2\t2\n"),
        ("--json 2", "[\n{\"key\":2,\"value\":{\"n\":2,\"s\":\"b\"}}\n]\n"),
        ("--jsonl 1", "{\"key\":1,\"value\":{\"n\":3,\"s\":\"a\"}}\n"),
        ("--output file 2; cat file", "2\tn=2 s=b\n"),
    ] {
        // A hash has no order of its own.
        let sorted = if options.contains(['1', '2']) { "" } else { "--sort key" };
        let script = format!("{set} bpf-map take m {sorted} {options}");
        let mut take = lab.exec(["--create", map, "--", "sh", "-c", &script]);
        assert_eq!(stdout_of(&mut take), want, "{options}");
    }
    let script = format!("{set} bpf-map take m 2 7 1; echo $?; bpf-map get m 1 2");
    let run = run(&mut lab.exec(["--create", map, "--", "sh", "-c", &script]));
    assert_eq!(run.stdout, "2\tn=2 s=b\n1\tn=3 s=a\n1\nn=0 s=a\nn=0 s=b\n");
    assert_eq!((run.status, run.stderr.as_str()), (0, "bpf-map: m: no key 7\n"));
}

#[test]
fn take_of_one_cpu_leaves_the_others() {
    needs!(Feature::SeveralCpus);
    let lab = lab();
    let cpus = usable_cpus();
    for map in PER_CPU {
        let map = pin(map);
        stdout_of(&mut lab.map(["set", "--all-cpus", &map, "0", ".hits", "5"]));
        let cpu = cpus[1].to_string();
        let fields = ["--fields", "hits", "--cpu", &cpu];
        let one = stdout_of(&mut lab.map([&["take", &map, "0"], &fields[..]].concat()));
        assert_eq!(one, "0\thits=5\n");
        let each = stdout_of(&mut lab.map(["get", "--per-cpu", &map, "0", ".hits"]));
        assert!(each.contains(&format!("{cpu}\t0\n")), "{each}");
        assert_eq!(each.matches("\t5\n").count(), each.lines().count() - 1, "{each}");
        let rest = stdout_of(&mut lab.map(["take", "--per-cpu", &map, "0", "--fields", "hits"]));
        assert_eq!(rest.matches("hits=5").count(), each.lines().count() - 1, "{rest}");
        assert_eq!(stdout_of(&mut lab.map(["get", &map, "0", ".hits"])), "0\n");
    }
}

#[test]
fn take_of_many_entries_takes_each_once() {
    let lab = Lab::new();
    let map = "m=hash,key=u32,value=u64,entries=20000";
    let script = "seq 1 20000 | sed 's/.*/{\"key\":&,\"value\":&}/' | bpf-map load m
        bpf-map take m | sort -n | cksum; seq 1 20000 | sed 's/.*/&\t&/' | cksum; bpf-map take m | cut -f 2 | sort -u";
    let out = stdout_of(&mut lab.exec(["--create", map, "--", "sh", "-c", script]));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[2]), (3, lines[1], "0"));
}
