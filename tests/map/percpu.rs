//! Per-CPU maps: sums, single CPUs, and what a program counts on each of them.

use crate::common::*;
use std::process::Command;

fn with(lab: &Lab, map: &str, script: &str) -> Command {
    let mut command = lab.exec(["--create", map, "--", "sh", "-c", script]);
    command.env("NO_COLOR", "1");
    command
}

/// The possible CPUs' numbers.
fn cpus() -> Vec<u32> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap();
    let ranges = text.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse().unwrap()..=last.parse().unwrap()
    });
    ranges.flatten().collect()
}

/// A line a CPU.
fn lines(value: impl Fn(usize) -> String) -> String {
    let cpus = cpus();
    cpus.iter().enumerate().map(|(at, cpu)| format!("{cpu}\t{}\n", value(at))).collect()
}

const MAPS: [&str; 3] = [
    "p=percpu_array,value=u32,entries=2",
    "p=percpu_hash,key=u32,value=u32,entries=2",
    "p=lru_percpu_hash,key=u32,value=u32,entries=64",
];

#[test]
fn unknown_cpu_and_map_without_cpus_are_refused() {
    let lab = Lab::new();
    let last = cpus().last().copied().unwrap();
    let range = format!("(they go from {} to {last})", cpus()[0]);
    for (line, message) in [
        ("get p 0 --cpu 4000".into(), format!("p: --cpu 4000: not a possible CPU {range}")),
        (
            format!("set p 0 1 --cpu {}", last + 1),
            format!("p: --cpu {}: not a possible CPU {range}", last + 1),
        ),
        (
            "add p 0 1 --cpu 4294967295".into(),
            format!("p: --cpu 4294967295: not a possible CPU {range}"),
        ),
        (
            "set p 0 256 --cpu 0".into(),
            "p: value 256: 256 is out of range for u8 (0 to 255)".into(),
        ),
        (
            "set p 0 -1 --all-cpus".into(),
            "p: value -1: -1 is out of range for u8 (0 to 255)".into(),
        ),
    ] {
        let mut command =
            with(&lab, "p=percpu_array,value=u8,entries=2", &format!("bpf-map {line}"));
        fails(&mut command, 2, &format!("bpf-map: {message}"));
    }
    for (line, option) in [
        ("get p 0 --cpu 0", "cpu"),
        ("get p 0 --per-cpu", "per-cpu"),
        ("set p 0 0 --cpu 0", "cpu"),
        ("set p 0 0 --all-cpus", "all-cpus"),
        ("set p 0 0 --sum", "sum"),
        ("add p 0 0 --cpu 0", "cpu"),
    ] {
        let mut command = with(&lab, "p=array,value=u8,entries=2", &format!("bpf-map {line}"));
        let message = format!("bpf-map: p: --{option}: an array has one value for all CPUs");
        fails(&mut command, 2, &message);
    }
    let mut command = with(&lab, MAPS[0], "bpf-map get p 0 --cpu -1");
    let run = run(&mut command);
    assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{}", run.stderr);
}

/// The error for a value that is not zero, without an option.
const CPUS_MISSING: &str = "a per-CPU map needs --all-cpus (every CPU gets the value), \
                            --cpu N (only CPU N) or --sum (the first CPU, and zero on the others)";

#[test]
fn value_without_cpus_is_refused_and_nothing_is_written() {
    let lab = Lab::new();
    let message = format!("value 5: {CPUS_MISSING}");
    for map in MAPS {
        for line in ["set p 1 5", "set p 1 5 --if-absent"] {
            let script = format!("bpf-map {line}; s=$?; bpf-map dump p; exit $s");
            let stdout = if map.contains("array") { "0\t0\n1\t0\n" } else { "" }.into();
            let want = Run { status: 2, stdout, stderr: format!("bpf-map: p: {message}\n") };
            assert_eq!(run(&mut with(&lab, map, &script)), want, "{map}: {line}");
        }
    }
    // A field, a bitfield, and a line of a batch.
    let map = "p=percpu_array,value=struct{a: u32, b: u32:31, c: u32:1},entries=2";
    for (line, value) in
        [("p 0 .a 5", "5"), ("p 0 .c 1", "1"), ("p 0 'a=0 b=1 c=0'", "a=0 b=1 c=0")]
    {
        let want = format!("bpf-map: p: value {value}: {CPUS_MISSING}");
        fails(&mut with(&lab, map, &format!("bpf-map set {line}")), 2, &want);
        let script = format!("echo \"set {line}\" | bpf-map batch");
        let want = Run {
            status: 2,
            stdout: "\n".into(),
            stderr: format!("bpf-map: line 1: p: value {value}: {CPUS_MISSING}\n"),
        };
        assert_eq!(run(&mut with(&lab, map, &script)), want, "{line}");
    }
    for options in ["--all-cpus --sum", "--cpu 0 --sum", "--cpu 0 --all-cpus"] {
        let got = run(&mut with(&lab, MAPS[0], &format!("bpf-map set p 0 1 {options}")));
        assert_eq!((got.status, got.stdout.as_str()), (2, ""), "{options}");
        assert!(got.stderr.contains("cannot be used with"), "{}", got.stderr);
    }
}

#[test]
fn set_writes_to_the_cpus_that_were_given() {
    let lab = Lab::new();
    let (last, count) = (cpus().last().copied().unwrap(), cpus().len());
    for map in MAPS {
        let script = format!(
            "show() {{ bpf-map get p 1 --per-cpu --json; }}
             bpf-map set p 1 7 --all-cpus; show; bpf-map set p 1 5 --sum; show
             bpf-map set p 1 9 --cpu {last}; show; bpf-map set p 1 0; show
             bpf-map set p 1 8 --all-cpus; bpf-map set p 1 0 --cpu 0; show"
        );
        let json = |value: &dyn Fn(usize) -> u32| {
            let values: Vec<String> = (0..count).map(|at| value(at).to_string()).collect();
            format!("{{\"values\":[{}]}}\n", values.join(","))
        };
        let first = |at| if at == 0 { 5 } else { 0 };
        let want = json(&|_| 7)
            + &json(&first)
            + &json(&|at| if at + 1 == count { 9 } else { first(at) })
            + &json(&|_| 0)
            + &json(&|at| if at == 0 { 0 } else { 8 });
        assert_eq!(stdout_of(&mut with(&lab, map, &script)), want, "{map}");
    }
}

#[test]
fn values_array_needs_no_cpus_and_must_be_complete() {
    let lab = Lab::new();
    let count = cpus().len();
    let values: Vec<String> = (1..=count).map(|n| n.to_string()).collect();
    let all = format!("{{\"values\":[{}]}}", values.join(","));
    for map in MAPS {
        let script = format!("bpf-map set p 1 '{all}'; bpf-map get --per-cpu --json p 1");
        assert_eq!(stdout_of(&mut with(&lab, map, &script)), format!("{all}\n"), "{map}");
    }
    let map = "p=percpu_array,value=struct{a: u32, b: u32:31, c: u32:1},entries=2";
    let script = format!(
        "bpf-map set --all-cpus p 0 'a=7 b=8 c=1'; bpf-map set p 0 .b '{all}'; bpf-map get --per-cpu p 0"
    );
    let want = lines(|at| format!("a=7 b={} c=1", at + 1));
    assert_eq!(stdout_of(&mut with(&lab, map, &script)), want);
    let fewer = format!("expected {count}, one for each possible CPU, found {}", count - 1);
    for (text, why) in [
        (format!("{{\"values\":[{}]}}", values[1..].join(",")), fewer),
        (
            format!("{{\"values\":[-1{}]}}", ",1".repeat(count - 1)),
            "-1 is out of range for u32 (0 to 4294967295)".into(),
        ),
        (
            format!("{},\"a\":1}}", &all[..all.len() - 1]),
            "unexpected member \"a\" after \"values\"".into(),
        ),
        (
            "{\"values\":1}".into(),
            "invalid type: integer `1`, expected an array with a value for each possible CPU"
                .into(),
        ),
    ] {
        let error = format!("bpf-map: p: value {text}: values: {why}");
        fails(&mut with(&lab, MAPS[0], &format!("bpf-map set p 1 '{text}'")), 2, &error);
    }
    let error = format!(
        "bpf-map: p: value {all}: values for every CPU cannot be combined with --all-cpus, --cpu or --sum"
    );
    fails(&mut with(&lab, MAPS[0], &format!("bpf-map set --sum p 1 '{all}'")), 2, &error);
    // If the value has a field of that name, the name refers to the field.
    let map = "p=percpu_array,value=struct{values: u32[2]},entries=1";
    let script = "bpf-map set --cpu 0 p 0 '{\"values\":[1,2]}'; bpf-map get --cpu 0 p 0";
    assert_eq!(stdout_of(&mut with(&lab, map, script)), "values=[1,2]\n");
}

#[test]
fn fields_that_are_not_numbers_are_printed_if_all_cpus_agree() {
    let lab = Lab::new();
    let count = cpus().len();
    let value = "struct{n: u32, who: char[4], at: ip4, how: enum:u8{PASS, DROP}, on: bool, one: u8:1, two: u8:2}";
    let map = format!("p=percpu_array,value={value},entries=1");
    let script = "
        bpf-map set --all-cpus p 0 'n=1 who=eth0 at=10.0.0.1 how=DROP on=true one=1 two=1'
        bpf-map get p 0; bpf-map get --json p 0 .how; bpf-map dump --csv p
        bpf-map set --cpu 0 p 0 'n=1 who=- at=10.0.0.2 how=PASS on=false one=0 two=1'
        bpf-map get p 0; bpf-map dump p; bpf-map dump --csv p; bpf-map dump --jsonl p; bpf-map dump --per-cpu p
        bpf-map watch --count 1 p 0 | cut -f 2; bpf-map get p 0 .who; bpf-map get --cpu 0 p 0 .who
        bpf-map dump --prometheus p | grep -v '^#'; bpf-map add p 0 .one 1; bpf-map add p 0 .one -1";
    let two = count;
    let same = format!("n={count} who=eth0 at=10.0.0.1 how=DROP on=true one=1 two={two}");
    assert!(count > 1, "this test needs two possible CPUs");
    let differs = format!("n={count} who=- at=- how=- on=- one=- two={two}");
    let header = "key,n,who,at,how,on,one,two";
    let others = "\tn=1 who=eth0 at=10.0.0.1 how=DROP on=true one=1 two=1".repeat(count - 1);
    let want = format!(
        "{same}\n{{\"value\":\"DROP\",\"sum\":false}}\n{header}\n0,{count},eth0,10.0.0.1,DROP,true,1,{two}\n\
         {differs}\n0\t{differs}\n{header}\n0,{count},-,-,-,-,-,{two}\n\
         {{\"key\":0,\"value\":{{\"n\":{count},\"who\":null,\"at\":null,\"how\":null,\"on\":null,\"one\":null,\"two\":{two}}},\"sum\":true}}\n\
         0\tn=1 who=\"-\" at=10.0.0.2 how=PASS on=false one=0 two=1{others}\n\
         0 {differs}\n-\n\"-\"\np_n{{key=\"0\"}} {count}\np_two{{key=\"0\"}} {two}\n1\n-\n"
    );
    assert_eq!(stdout_of(&mut with(&lab, &map, script)), want);
}

#[test]
fn value_of_one_cpu_is_set_and_others_are_unchanged() {
    let lab = Lab::new();
    let (last, count) = (cpus().last().copied().unwrap(), cpus().len());
    for map in MAPS {
        let script = format!(
            "bpf-map set p 1 9 --all-cpus; bpf-map set p 1 5 --cpu {last}; bpf-map get p 1 --per-cpu
             bpf-map get p 1 --cpu {last}; bpf-map get p 1 --per-cpu --json; bpf-map get p 1 --json"
        );
        let value = |at| if at + 1 == count { "5".to_owned() } else { "9".to_owned() };
        let values: Vec<String> = (0..count).map(value).collect();
        let sum = 9 * (count - 1) + 5;
        let want = format!(
            "{}5\n{{\"values\":[{}]}}\n{{\"value\":{sum},\"sum\":true}}\n",
            lines(value),
            values.join(",")
        );
        assert_eq!(stdout_of(&mut with(&lab, map, &script)), want, "{map}");
    }
}

#[test]
fn missing_key_is_created_with_zeros() {
    let lab = Lab::new();
    let first = cpus()[0];
    let map = MAPS[1];
    let set = format!("bpf-map set p 7 5 --cpu {first} && bpf-map get p 7");
    assert_eq!(stdout_of(&mut with(&lab, map, &set)), "5\n");
    let present = format!("bpf-map set p 7 5 --cpu {first} --if-present");
    fails(&mut with(&lab, map, &present), 1, "bpf-map: p: no key 7");
    let absent = format!("bpf-map set p 7 1 --sum && bpf-map set p 7 5 --cpu {first} --if-absent");
    fails(&mut with(&lab, map, &absent), 1, "bpf-map: p: key 7 exists already");
    fails(&mut with(&lab, map, "bpf-map add p 7 1"), 1, "bpf-map: p: no key 7");
    assert_eq!(stdout_of(&mut with(&lab, map, "bpf-map add p 7 1 --create")), "1\n");
}

#[test]
fn fields_are_set_and_added_on_the_cpus_that_are_meant() {
    let lab = Lab::new();
    let (last, count) = (cpus().last().copied().unwrap(), cpus().len());
    // 12 bytes: the kernel rounds each CPU's slot up to 16.
    let map = "p=percpu_array,value=struct{a: u32, b: i16, c: u8:3, d: u8:5, e: u32},entries=1";
    let script = format!(
        "bpf-map set p 0 'a=1 b=-2 c=3 d=4 e=5' --all-cpus
         bpf-map set p 0 .c 7 --sum; bpf-map set p 0 .a 100 --cpu {last}; bpf-map set p 0 .e 6 --all-cpus
         bpf-map add p 0 .b -8; bpf-map add p 0 .d 1 --cpu {last}; bpf-map get p 0 --per-cpu; bpf-map get p 0 .a"
    );
    let others = count - 1;
    let line = |at: usize| {
        let (first, last) = (at == 0, at + 1 == count);
        let (a, d) = if last { (100, 5) } else { (1, 4) };
        let (b, c) = if first { (-10, 7) } else { (-2, 0) };
        format!("a={a} b={b} c={c} d={d} e=6")
    };
    let want = format!("{}\n5\n{}{}\n", -10 - 2 * others as i64, lines(line), 100 + others);
    assert_eq!(stdout_of(&mut with(&lab, map, &script)), want);
}

#[test]
fn adding_past_a_bound_names_the_cpu_and_changes_nothing() {
    let lab = Lab::new();
    let first = cpus()[0];
    let script = "bpf-map set p 0 9 --all-cpus; bpf-map add p 0 -10; echo $?; bpf-map get p 0";
    let run = run(&mut with(&lab, MAPS[0], script));
    let message = format!(
        "bpf-map: p: add to 9 of CPU {first}: -1 is out of range for u32 (0 to 4294967295)\n"
    );
    assert_eq!((run.stdout, run.stderr), (format!("2\n{}\n", 9 * cpus().len()), message));
}

#[test]
fn program_counts_are_read_by_cpu_and_summed() {
    let lab = Lab::new();
    let object = fixture("percpu.bpf.o");
    bpftool(&[
        "prog",
        "loadall",
        &object,
        "/sys/fs/bpf/p",
        "type",
        "tc",
        "pinmaps",
        "/sys/fs/bpf/m",
    ]);
    let packet = lab.path("packet");
    std::fs::write(&packet, [0u8; 64]).unwrap();
    let online = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).unwrap();
    let count = |cpu: u32| if online.is_set(cpu as usize).unwrap_or(false) { 3 + cpu } else { 0 };
    for cpu in cpus().into_iter().filter(|&cpu| count(cpu) > 0) {
        let (data, repeat) = (packet.to_str().unwrap(), count(cpu).to_string());
        let mut command = Command::new("taskset");
        command.args([
            "-c",
            &cpu.to_string(),
            "bpftool",
            "prog",
            "run",
            "pinned",
            "/sys/fs/bpf/p/percpu",
        ]);
        let run = run(command.args(["data_in", data, "repeat", &repeat]));
        assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
    }
    let hits = "/sys/fs/bpf/m/cpu_hits";
    let total: u32 = cpus().into_iter().map(count).sum();
    assert!(total > 0);
    assert_eq!(stdout_of(&mut lab.map(["get", hits, "0", "1"])), format!("{total}\n0\n"));
    let each = lines(|at| count(cpus()[at]).to_string());
    assert_eq!(stdout_of(&mut lab.map(["get", hits, "0", "--per-cpu"])), each);
    for cpu in cpus() {
        let one = stdout_of(&mut lab.map(["get", hits, "0", "--cpu", &cpu.to_string()]));
        assert_eq!(one, format!("{}\n", count(cpu)));
    }
    // By the packet's length, which is 64 here; a struct is summed field by field.
    let sizes = "/sys/fs/bpf/m/cpu_sizes";
    assert_eq!(stdout_of(&mut lab.map(["get", sizes, "64", ".packets"])), format!("{total}\n"));
    assert_eq!(
        stdout_of(&mut lab.map(["get", sizes, "64", ".bytes"])),
        format!("{}\n", 64 * total)
    );
    // The program and bpftool find the written values.
    let cpu = *cpus().iter().find(|&&cpu| count(cpu) > 0).unwrap();
    stdout_of(&mut lab.map(["set", hits, "0", "1000", "--cpu", &cpu.to_string()]));
    let json = bpftool(&["-j", "map", "lookup", "pinned", hits, "key", "0", "0", "0", "0"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let shown = &json["formatted"]["values"];
    let at = cpus().iter().position(|&other| other == cpu).unwrap();
    assert_eq!(shown[at]["value"], 1000, "{json}");
    assert_eq!(
        stdout_of(&mut lab.map(["get", hits, "0"])),
        format!("{}\n", total - count(cpu) + 1000)
    );
}

#[test]
fn struct_with_a_field_values_round_trips() {
    let lab = Lab::new();
    let numbers: Vec<_> = cpus().iter().map(|cpu| format!("{{\"values\":{cpu}}}")).collect();
    let arrays: Vec<_> = cpus().iter().map(|cpu| format!("{{\"values\":[{cpu},7]}}")).collect();
    for (value, given) in
        [("struct{values: u64}", numbers.join(",")), ("struct{values: u64[2]}", arrays.join(","))]
    {
        let script = "bpf-map set p 1 \"$1\"; bpf-map get --per-cpu --json p 1";
        let spec = format!("p=percpu_hash,key=u32,value={value},entries=1");
        let given = format!("{{\"values\":[{given}]}}");
        let mut command = lab.exec(["--create", &spec, "--", "sh", "-c", script, "sh", &given]);
        assert_eq!(stdout_of(&mut command), format!("{given}\n"));
    }
    // The value of the struct itself.
    let script = "bpf-map set --all-cpus p 1 '{\"values\":[1,2]}'; bpf-map get --cpu 0 p 1";
    let spec = "p=percpu_hash,key=u32,value=struct{values: u64[2]},entries=1";
    let mut command = lab.exec(["--create", spec, "--", "sh", "-c", script]);
    assert_eq!(stdout_of(&mut command), "values=[1,2]\n");
}
