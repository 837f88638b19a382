//! `bpf-map push`, `pop`, `peek` and `has`: queues, stacks and bloom filters.

use crate::common::*;
use std::process::Command;

/// `bpf-map` with arguments, below a bpf-exec that creates `maps`; a word of arguments is one.
fn with(lab: &Lab, maps: &[&str], script: &str) -> Command {
    let mut command = lab.exec(maps.iter().flat_map(|map| ["--create", map]));
    command.args(["--", "sh", "-c", script]);
    command
}

#[test]
fn empty_queue_exits_1_with_nothing_on_stdout() {
    let lab = Lab::new();
    for map in ["q=queue,value=u32,entries=2", "q=stack,value=u32,entries=2"] {
        for word in ["pop", "peek"] {
            fails(&mut with(&lab, &[map], &format!("bpf-map {word} q")), 1, "bpf-map: q: empty");
        }
    }
}

#[test]
fn queue_pops_the_first_and_stack_the_last() {
    let lab = Lab::new();
    let script = "bpf-map push q 1 -2 && bpf-map push q 0x3 && bpf-map peek q && bpf-map pop q && \
                  bpf-map pop q --json && bpf-map pop q";
    let queue = stdout_of(&mut with(&lab, &["q=queue,value=i64,entries=3"], script));
    assert_eq!(queue, "1\n1\n-2\n3\n");
    let stack = stdout_of(&mut with(&lab, &["q=stack,value=i64,entries=3"], script));
    assert_eq!(stack, "3\n3\n-2\n1\n");
}

#[test]
fn full_queue_reports_the_count_and_force_drops_the_oldest() {
    let lab = Lab::new();
    for (kind, left) in [("queue", "2\n9\n"), ("stack", "9\n2\n")] {
        let map = format!("q={kind},value=u8,entries=2");
        let script = "bpf-map push q 1 2 3; echo $?; bpf-map push q 3; echo $?
            bpf-map push --force q 9 && bpf-map pop q && bpf-map pop q";
        let run = run(&mut with(&lab, &[&map], script));
        let full = "bpf-map: q: push: full (2 entries; --force drops the oldest)";
        assert_eq!(run.stderr, format!("{full}; 2 of 3 went in\n{full}\n"));
        assert_eq!((run.status, run.stdout), (0, format!("2\n2\n{left}")));
    }
}

#[test]
fn wrong_argument_changes_nothing() {
    let lab = Lab::new();
    let map = "q=queue,value=struct{a: u8, b: u16},entries=4";
    let script = |line: &str| format!("bpf-map push q 'a=1 b=2' && {{ {line}; bpf-map peek q; }}");
    for (line, message) in [
        (
            "bpf-map push q 'a=5 b=5' 'a=256 b=2'",
            "value a=256 b=2: a: 256 is out of range for u8 (0 to 255)",
        ),
        ("bpf-map push q 'a=5'", "value a=5: b: missing"),
        ("bpf-map push q ''", "value \"\": a: missing"),
        ("bpf-map pop q .c", "no field \"c\"; fields: a, b"),
    ] {
        let run = run(&mut with(&lab, &[map], &script(line)));
        assert_eq!((run.status, run.stdout.as_str()), (0, "a=1 b=2\n"), "{line}");
        assert_eq!(run.stderr, format!("bpf-map: q: {message}\n"), "{line}");
    }
    let fields = "bpf-map push q '{\"a\":1,\"b\":2}' && bpf-map peek q .b && bpf-map pop q --json";
    assert_eq!(stdout_of(&mut with(&lab, &[map], fields)), "2\n{\"a\":1,\"b\":2}\n");
    let usage = "bpf-map: invalid value 'b' for '[FIELD]': a field begins with a dot (see bpf-map pop --help)";
    fails(&mut with(&lab, &[map], "bpf-map pop q b"), 2, usage);
}

#[test]
fn bloom_filter_answers_by_exit_status() {
    let lab = Lab::new();
    let map = ["b=bloom_filter,value=ip4,entries=100"];
    let script = "bpf-map push b 10.0.0.1 10.0.0.2; for i in 1 2 3; do bpf-map has b 10.0.0.$i; echo $?; done";
    assert_eq!(stdout_of(&mut with(&lab, &map, script)), "0\n0\n1\n");
    let message = "bpf-map: b: value 10.0.0.256: expected an IPv4 address, found \"10.0.0.256\"";
    fails(&mut with(&lab, &map, "bpf-map has b 10.0.0.256"), 2, message);
    let message = "bpf-map: b: --force: a bloom_filter is never full";
    fails(&mut with(&lab, &map, "bpf-map push --force b 10.0.0.1"), 2, message);
}

#[test]
fn unsuitable_type_is_refused_with_a_hint() {
    let lab = Lab::new();
    let maps = [
        "h=hash,key=4,value=4,entries=1",
        "q=queue,value=4,entries=1",
        "b=bloom_filter,value=4,entries=1",
        "r=ringbuf,entries=4096",
        "a=array_of_maps,entries=1,inner=/sys/fs/bpf/inner",
    ];
    lab.array("inner", 1);
    for (line, message) in [
        ("push h 1", "h: push: not possible with a hash: use set"),
        ("pop h", "h: pop: not possible with a hash: use get and del"),
        ("peek h", "h: peek: not possible with a hash: use get"),
        ("has h 1", "h: has: not possible with a hash: use get"),
        ("push a 1", "a: push: not possible with an array_of_maps: use set"),
        ("has q 1", "q: has: not possible with a queue: use push, pop and peek"),
        ("pop b", "b: pop: not possible with a bloom_filter: use push and has"),
        ("peek b", "b: peek: not possible with a bloom_filter: use push and has"),
        (
            "pop r",
            "r: pop: not possible with a ringbuf: programs fill it, and its reader maps it into memory",
        ),
        ("get q 1", "q: a queue has no keys: use push, pop and peek"),
        ("set q 1 1", "q: a queue has no keys: use push, pop and peek"),
        ("add b 1 1", "b: a bloom_filter has no keys: use push and has"),
    ] {
        let line = format!("bpf-map {line}");
        fails(&mut with(&lab, &maps, &line), 2, &format!("bpf-map: {message}"));
    }
}

#[test]
fn missing_access_mode_is_reported() {
    let lab = Lab::new();
    let pin = "/sys/fs/bpf/q";
    bpftool(&["map", "create", pin, "type", "queue", "value", "4", "entries", "4", "name", "q"]);
    stdout_of(&mut lab.map(["push", pin, "7"]));
    let read_only = |line: &str| {
        let mut command = lab.exec(["-r", "--pin", pin, "--", "bpf-map"]);
        command.args(line.split(' '));
        command
    };
    let message = "operation not permitted (the descriptor is read-only)";
    fails(&mut read_only("push q 1"), 2, &format!("bpf-map: q: push: {message}"));
    fails(&mut read_only("pop q"), 2, &format!("bpf-map: q: pop: {message}"));
    assert_eq!(stdout_of(&mut read_only("peek q")), "7\n");
    let write_only = "q=queue,value=4,entries=4,flags=WRONLY";
    for word in ["peek", "pop"] {
        let message =
            format!("bpf-map: q: {word}: operation not permitted (the descriptor is write-only)");
        fails(&mut with(&lab, &[write_only], &format!("bpf-map {word} q")), 2, &message);
    }
    stdout_of(&mut with(&lab, &[write_only], "bpf-map push q 1"));
    // Freezing a queue stops changes by user space, not by programs.
    bpftool(&["map", "freeze", "pinned", pin]);
    let frozen = "operation not permitted (the map is frozen)";
    fails(&mut lab.map(["push", pin, "1"]), 2, &format!("bpf-map: {pin}: push: {frozen}"));
}

#[test]
fn values_are_exchanged_with_bpftool() {
    let lab = Lab::new();
    let pin = "/sys/fs/bpf/q";
    bpftool(&["map", "create", pin, "type", "queue", "value", "4", "entries", "4", "name", "q"]);
    bpftool(&["map", "enqueue", "pinned", pin, "value", "hex", "01", "02", "03", "04"]);
    assert_eq!(stdout_of(&mut lab.map(["pop", pin, "--value", "hex[4]"])), "01020304\n");
    stdout_of(&mut lab.map(["push", pin, "hex:0a0b0c0d"]));
    assert_eq!(bpftool(&["map", "dequeue", "pinned", pin]).trim(), "value: 0a 0b 0c 0d");
}
