//! Map types and layouts: what is loaded, and what is refused.

use super::*;
use crate::common::*;
use std::fmt::Write as _;
use std::os::fd::AsRawFd;
use std::path::Path;

#[test]
fn map_types_accept_load_or_report_why_not() {
    let lab = Lab::new();
    let push = "{\"value\":1}\n{\"value\":2}\n";
    for (kind, pop) in [("queue", "01 00 00 00"), ("stack", "02 00 00 00")] {
        let pin = map(kind, &format!("type {kind} key 0 value 4 entries 2"));
        assert_eq!(stdout_of(&mut load(&lab, "", &pin, push)), "");
        let error = format!("bpf-map: /sys/fs/bpf/{kind}: standard input: line 1: ");
        let full = ": standard input: line 2 (0 of 1 entries were written)\n";
        let run = run(&mut load(&lab, "--csv", &pin, "value\n3\n"));
        assert!(run.stderr.ends_with(full), "{}", run.stderr);
        assert!(bpftool(&["map", "pop", "pinned", pin.to_str().unwrap()]).contains(pop), "{kind}");
        let keyed = format!("{error}key: a {kind} has none");
        fails(&mut load(&lab, "", &pin, "{\"key\":1,\"value\":1}"), 2, &keyed);
        for flag in ["--replace", "--if-absent"] {
            let error = format!(
                "bpf-map: {}: load: {flag} is not possible with a {kind}, which has no keys",
                pin.display()
            );
            fails(&mut load(&lab, flag, &pin, push), 2, &error);
        }
    }
    let bloom = map("bloom", "type bloom_filter key 0 value 4 entries 9");
    assert_eq!(stdout_of(&mut load(&lab, "", &bloom, push)), "");
    assert!(may_hold(&bloom, 1) && may_hold(&bloom, 2) && !may_hold(&bloom, 3));
    for (name, words, instead) in [
        (
            "progs",
            "type prog_array key 4 value 4 entries 2",
            ", whose entries are written one by one (see set)",
        ),
        ("ring", "type ringbuf key 0 value 0 entries 4096", ""),
        ("stacks", "type stack_trace key 4 value 8 entries 2", ""),
        (
            "socks",
            "type sockmap key 4 value 4 entries 2",
            ", whose entries are written one by one (see set)",
        ),
    ] {
        let pin = map(name, words);
        let kind = words.split(' ').nth(1).unwrap();
        let error =
            format!("bpf-map: {}: load: not possible with a {kind}{instead}", pin.display());
        fails(&mut load(&lab, "", &pin, push), 2, &error);
    }
}

/// What a bloom filter says of a value, by bpf(2) itself: BPF_MAP_LOOKUP_ELEM is 1.
fn may_hold(pin: &Path, mut value: u32) -> bool {
    let map = open_pin(pin);
    // map_fd and padding, key, value, flags.
    let attr = [map.as_raw_fd() as u64, 0, &raw mut value as u64, 0];
    // SAFETY: value is as long as the map's.
    unsafe { libc::syscall(libc::SYS_bpf, 1, &raw const attr, size_of_val(&attr)) == 0 }
}

#[test]
fn unwritable_map_reports_the_reason() {
    let lab = Lab::new();
    let pin = lab.hash("frozen");
    bpftool(&["map", "freeze", "pinned", pin.to_str().unwrap()]);
    let input = "{\"key\":2,\"value\":1}";
    let error = "bpf-map: /sys/fs/bpf/frozen: load: operation not permitted (the map is frozen): standard input: line 1 (0 of 1 entries were written)";
    fails(&mut load(&lab, "", &pin, input), 2, error);
    let removal =
        "bpf-map: /sys/fs/bpf/frozen: remove: operation not permitted (the map is frozen)";
    fails(&mut load(&lab, "--replace", &pin, ""), 2, removal);
    fails(&mut load(&lab, "--replace", &pin, input), 2, error);
    assert_eq!(held(&pin), [(1, 42)]);
    let pin = lab.hash("h");
    let file = lab.path("input");
    let words = [
        "-r",
        "--pin",
        pin.to_str().unwrap(),
        "--",
        "bpf-map",
        "load",
        "h",
        file.to_str().unwrap(),
    ];
    let why = "operation not permitted (the descriptor is read-only)";
    let error = format!(
        "bpf-map: h: load: {why}: {}: line 1 (0 of 1 entries were written)",
        file.display()
    );
    fails(&mut lab.exec(words), 2, &error);
}

#[test]
fn json_of_get_is_loaded_as_the_same_bytes() {
    let lab = Lab::new();
    let (from, to) = (
        map("from", "type hash key 4 value 16 entries 64"),
        map("to", "type hash key 4 value 16 entries 64"),
    );
    for value in [
        "hex[16]",
        "u64[2]",
        "i8[16]",
        "char[16]",
        "ip6",
        "be64[2]",
        "struct{a: u8, b: mac, c: ip4, d: bool}",
        "union{a: u32[4], b: struct{c: u64, d: i64}}",
        "struct{a: u32:3, b: u32:29, c: enum{ONE=1, TWO}, d: u64}",
        "packed struct{a: i16, b: be32, c: char[10]}",
    ] {
        let mut lines = String::new();
        for key in 0..40u32 {
            let bytes = (0..16u32).map(|i| (key * 37 + i * 91 + key * i * 7) as u8);
            // Padding is not kept, and a bool is one bit.
            let padded = value.contains("mac");
            let bytes = bytes.enumerate().map(|(i, byte)| match i {
                7 | 13..16 if padded => 0,
                12 if padded => byte % 2,
                _ => byte,
            });
            let mut words: Vec<String> =
                ["map", "update", "pinned", "/sys/fs/bpf/from", "key"].map(String::from).into();
            words.extend(key.to_ne_bytes().map(|byte| byte.to_string()));
            words.push("value".into());
            words.extend(bytes.map(|byte| byte.to_string()));
            bpftool(&words);
            let json = stdout_of(&mut lab.map([
                "get",
                "--json",
                "--value",
                value,
                "/sys/fs/bpf/from",
                &key.to_string(),
            ]));
            writeln!(lines, "{{\"key\":{key},\"value\":{}}}", json.trim_end()).unwrap();
        }
        assert_eq!(
            stdout_of(load(&lab, "--replace", &to, lines).args(["--value", value])),
            "",
            "{value}"
        );
        let dump = |pin: &Path| {
            let dump = bpftool(&["map", "dump", "pinned", pin.to_str().unwrap()]);
            let mut lines: Vec<String> = dump.lines().map(String::from).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(dump(&from), dump(&to), "{value}");
    }
}
