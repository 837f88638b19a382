//! `bpf-map load`: what it reads, what it refuses and where, and what is in the map after it.

use super::*;
use crate::common::*;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;

#[test]
fn malformed_line_is_reported_and_nothing_is_written() {
    let lab = Lab::new();
    let pin = lab.hash("h");
    let out_of_range = "out of range for u64 (0 to 18446744073709551615)";
    for (line, why) in [
        (r#"{"key":3,"value":-1}"#, format!("value: -1 is {out_of_range}")),
        (
            r#"{"key":4294967296,"value":1}"#,
            "key: 4294967296 is out of range for u32 (0 to 4294967295)".into(),
        ),
        (r#"{"key":1e3,"value":1}"#, "key: expected a whole number (u32), found \"1000\"".into()),
        (r#"{"key":"","value":1}"#, "key: expected a whole number (u32), found \"\"".into()),
        (
            r#"{"key":3,"value":{"a":1}}"#,
            "value: expected a whole number (u64), found an object".into(),
        ),
        (r#"{"key":3,"value":null}"#, "value: expected a whole number (u64), found null".into()),
        (r#"{"key":3}"#, "value: missing".into()),
        (r#"{"value":3}"#, "key: missing".into()),
        ("{}", "key: missing".into()),
        (r#"{"key":3,"key":3,"value":1}"#, "key: given twice".into()),
        (r#"{"key":3,"value":1,"value":1}"#, "value: given twice".into()),
        (r#"{"key":3,"value":1,"values":[1]}"#, "values: a hash has one value per key".into()),
        (
            r#"{"key":3,"valu":1}"#,
            "unknown member \"valu\", expected key, value, values or sum".into(),
        ),
        (
            "{\"k\u{1b}[2J\":3}",
            "json: control character (\\u0000-\\u001F) found while parsing a string at column 4"
                .into(),
        ),
        (
            r#"{"\u001b[2J":3}"#,
            "unknown member \"\\x1b[2J\", expected key, value, values or sum".into(),
        ),
        (r#"{"key":3,"value":1}x"#, "json: trailing characters at column 20".into()),
        (r#"{"key":3,"value":1},"#, "json: trailing characters at column 20".into()),
        (r#"{"key":3,"val"#, "json: end of line while parsing a string at column 13".into()),
        (r#"{"key":3,"value":1"#, "json: end of line while parsing an object at column 18".into()),
        ("[", "a JSON array, expected one object per line (dump --jsonl)".into()),
        ("3", "not a JSON object".into()),
        ("\0", "not a JSON object".into()),
        ("{\"key\":3,\0\"value\":1}", "json: key must be a string at column 10".into()),
        ("key,value", "not a JSON object".into()),
    ] {
        // Lines are counted with those that are empty.
        let input =
            format!("{{\"key\":2,\"value\":1}}\n\n \t\n{line}\n{{\"key\":4,\"value\":1}}\n");
        let error = format!("bpf-map: {}: standard input: line 4: {why}", pin.display());
        fails(&mut load(&lab, "", &pin, input), 2, &error);
        assert_eq!(held(&pin), [(1, 42)], "{line}");
    }
    let invalid = b"{\"key\":2,\"value\":1}\n{\"key\":\"\xff\",\"value\":1}";
    let error =
        "/sys/fs/bpf/h: standard input: line 2: json: invalid unicode code point at column 9";
    fails(&mut load(&lab, "", &pin, invalid), 2, &format!("bpf-map: {error}"));
}

#[test]
fn endless_line_is_refused_and_long_value_is_loaded() {
    let lab = Lab::new();
    let pin = lab.hash("h");
    let blank = " ".repeat(10 << 20);
    let limit = (4 << 20) + 64 * 12;
    for options in ["", "--csv", "--stream"] {
        let input = format!("\n{{{blank}\"key\":1,\"value\":1}}\n");
        let error =
            format!("bpf-map: /sys/fs/bpf/h: standard input: line 2: longer than {limit} bytes");
        let written = if options == "--stream" { " (0 were written)" } else { "" };
        fails(&mut load(&lab, options, &pin, input), 2, &format!("{error}{written}"));
    }
    // A table's cell that goes on and on.
    let input = format!("key,value\n1,\"{}", "x\n".repeat(5 << 20));
    let error = "bpf-map: /sys/fs/bpf/h: standard input: line 2: unterminated quote";
    fails(&mut load(&lab, "--csv", &pin, input), 2, error);
    assert_eq!(held(&pin), [(1, 42)]);

    let large = map("large", "type array key 4 value 1048576 entries 2");
    let mut bytes = vec!["1"; 1 << 20];
    bytes[1 << 19] = "255";
    let input = format!("{{\"key\":1,\"value\":[{}]}}", bytes.join(",  "));
    assert_eq!(stdout_of(&mut load(&lab, "--value u8[1048576]", &large, input)), "");
    let hex = stdout_of(&mut lab.map(["get", "/sys/fs/bpf/large", "1"]));
    assert_eq!(hex.trim_end(), format!("{}ff{}", "01".repeat(1 << 19), "01".repeat((1 << 19) - 1)));
    let input = format!("{{\"key\":0,\"value\":\"{}\"}}", hex.trim_end());
    assert_eq!(stdout_of(&mut load(&lab, "", &large, input)), "");
    assert_eq!(stdout_of(&mut lab.map(["get", "/sys/fs/bpf/large", "0"])), hex);
}

#[test]
fn crlf_bom_and_empty_lines_are_accepted() {
    let lab = Lab::new();
    let want = [(1, 10), (2, 20), (3, 30)];
    for (n, (options, input)) in [
        ("", "{\"key\":1,\"value\":10}\n{\"key\":2,\"value\":20}\n{\"key\":3,\"value\":30}\n"),
        ("", "{\"value\":10,\"key\":1}\r\n\r\n  {\"key\":\"2\", \"value\":\"0x14\"} \r\n{\"key\":3,\"value\":30}"),
        ("", "\u{feff}{\"key\":1,\"value\":10}\n\n\n{\"key\":2,\"value\":20}\n{\"key\":3,\"value\":30}\n\n"),
        // The last of several lines with one key wins, as it would if they were set in turn.
        ("", "{\"key\":1,\"value\":9}\n{\"key\":2,\"value\":20}\n{\"key\":3,\"value\":30}\n{\"key\":1,\"value\":10}"),
        ("--csv", "key,value\n1,10\n2,20\n3,30\n"),
        ("--csv", "\u{feff}value,key\r\n10,\"1\"\r\n\r\n20,2\r\n30,3"),
        ("--csv", "\n\"key\",\"value\"\n1,10\n\"2\",20\n3,\"30\""),
        ("--tsv", "key\tvalue\n1\t10\n2\t20\n3\t30\n"),
        ("--stream", "{\"key\":1,\"value\":10}\n{\"key\":2,\"value\":20}\n{\"key\":3,\"value\":30}"),
        ("--stream --tsv", "value\tkey\n10\t1\n20\t2\n30\t3"),
    ]
    .into_iter()
    .enumerate()
    {
        let pin = map(&format!("h{n}"), HASH);
        assert_eq!(stdout_of(&mut load(&lab, options, &pin, input)), "", "{input:?}");
        assert_eq!(held(&pin), want, "{input:?}");
        let file = lab.path("input");
        let file = file.to_str().unwrap();
        let mut again = lab.map(["load"]);
        again.args(options.split_whitespace()).args([pin.to_str().unwrap(), file]);
        assert_eq!(stdout_of(&mut again), "", "{input:?}");
        assert_eq!(held(&pin), want, "{input:?}");
    }
    let pin = map("none", HASH);
    for (options, input) in [("", ""), ("", "\n\n"), ("--csv", ""), ("--csv", "key,value")] {
        assert_eq!(stdout_of(&mut load(&lab, options, &pin, input)), "");
    }
    assert_eq!(held(&pin), []);
    fails(
        &mut lab.map(["load", "/sys/fs/bpf/none", "gone"]),
        2,
        "bpf-map: gone: open: no such file or directory",
    );
    fails(
        &mut lab.map(["load", "/sys/fs/bpf/none", "."]),
        2,
        "bpf-map: /sys/fs/bpf/none: .: read: is a directory",
    );
}

#[test]
fn full_map_reports_the_count_and_the_line() {
    let lab = Lab::new();
    let lines = |from: u32, to: u32| -> String {
        (from..=to).fold(String::new(), |mut all, key| {
            writeln!(all, "\n{{\"key\":{key},\"value\":{key}}}").unwrap();
            all
        })
    };
    for (kind, words) in [
        ("hash", "type hash key 4 value 8 entries 4"),
        ("percpu", "type percpu_hash key 4 value 8 entries 4"),
        ("hash8", "type hash key 4 value 8 entries 4 flags 1"),
    ] {
        let cpus: &[&str] = if kind == "percpu" { &["--sum", "--cpu 0"] } else { &[""] };
        let all = ["", "--stream", "--if-absent"].map(|o| cpus.iter().map(move |c| (o, *c)));
        for (options, cpus) in all.into_iter().flatten() {
            let pin = map(&unique(kind)[..kind.len() + 5], words);
            let run = run(&mut load(&lab, &format!("{options} {cpus}"), &pin, lines(1, 9)));
            let of = if options == "--stream" { "" } else { " of 9" };
            let start = format!("bpf-map: {}: load: no room: ", pin.display());
            assert!(run.stderr.starts_with(&start), "{}", run.stderr);
            assert!(
                run.stderr.ends_with(&format!(
                    ": standard input: line 10 (4{of} elements were written)\n"
                )),
                "{}",
                run.stderr
            );
            assert_eq!((run.status, run.stdout.as_str(), run.stderr.lines().count()), (2, "", 1));
            assert_eq!(
                stdout_of(&mut lab.map(
                    [b"get" as &[u8], pin.as_os_str().as_encoded_bytes(), b"1", b"4"].map(as_os)
                )),
                "1\n4\n"
            );
            std::fs::remove_file(pin).unwrap();
        }
    }
    let trie = map("t", "type lpm_trie key 8 value 8 entries 2 flags 1");
    let input = "{\"key\":\"10.0.0.0/8\",\"value\":1}\n{\"key\":\"10.1.0.0/16\",\"value\":2}\n{\"key\":\"::\",\"value\":3}";
    let run = run(&mut load(&lab, "--key lpm{ip4}", &trie, input.replace("::", "1.0.0.0/8")));
    assert!(run.stderr.ends_with(": line 3 (2 of 3 elements were written)\n"), "{}", run.stderr);
    // An array's end is known beforehand.
    let array = lab.array("a", 4);
    let error =
        "bpf-map: /sys/fs/bpf/a: standard input: line 8: key: 4 is past the end of an array of 4";
    fails(&mut load(&lab, "", &array, lines(1, 4)), 2, error);
    assert_eq!(held(&array), [(0, 0), (1, 0), (2, 0), (3, 0)]);
}

fn as_os(bytes: &[u8]) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(bytes.to_vec())
}

#[test]
fn stream_is_written_up_to_the_malformed_line() {
    let lab = Lab::new();
    let pin = map("h", HASH);
    let input =
        "{\"key\":1,\"value\":1}\n{\"key\":2,\"value\":2}\n{\"key\":3}\n{\"key\":4,\"value\":4}\n";
    let error = "bpf-map: /sys/fs/bpf/h: standard input: line 3: value: missing (2 were written)";
    fails(&mut load(&lab, "--stream", &pin, input), 2, error);
    assert_eq!(held(&pin), [(1, 1), (2, 2)]);
}

#[test]
fn stream_writes_all_it_has_before_it_waits() {
    let lab = Lab::new();
    let pin = map("h", HASH);
    let mut command = lab.map(["load", "--stream", "/sys/fs/bpf/h"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"{\"key\":1,\"value\":1}\n{\"key\":2,").unwrap();
    eventually("the first element", || held(&pin) == [(1, 1)]);
    stdin.write_all(b"\"value\":2}\n").unwrap();
    eventually("the second element", || held(&pin) == [(1, 1), (2, 2)]);
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn replace_leaves_only_the_entries_of_the_file() {
    let lab = Lab::new();
    let input = "{\"key\":1,\"value\":7}\n{\"key\":3,\"value\":9}\n";
    for (n, words) in [
        "type hash key 4 value 8 entries 4",
        "type hash key 4 value 8 entries 4 flags 1",
        "type lru_hash key 4 value 8 entries 1000",
        "type devmap_hash key 4 value 4 entries 4",
    ]
    .into_iter()
    .enumerate()
    {
        let pin = map(&format!("r{n}"), words);
        let input = if n == 3 { input.replace(['7', '9'], "1") } else { input.into() };
        let full: String = input.replace(":3", ":4") + &input.replace("\"key\":1", "\"key\":2");
        assert_eq!(stdout_of(&mut load(&lab, "", &pin, full)), "", "{words}");
        assert_eq!(held(&pin).len(), 4, "{words}");
        assert_eq!(stdout_of(&mut load(&lab, "--replace", &pin, &input)), "", "{words}");
        let keys: Vec<u32> = held(&pin).iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, [1, 3], "{words}");
        assert_eq!(stdout_of(&mut load(&lab, "--replace", &pin, "")), "", "{words}");
        assert_eq!(held(&pin), [], "{words}");
    }
    // What an array has stays, and becomes zero.
    let array = lab.array("a", 4);
    let all = "{\"key\":0,\"value\":5}\n{\"key\":1,\"value\":5}\n{\"key\":2,\"value\":5}\n{\"key\":3,\"value\":5}";
    assert_eq!(stdout_of(&mut load(&lab, "", &array, all)), "");
    assert_eq!(stdout_of(&mut load(&lab, "--replace", &array, input)), "");
    assert_eq!(held(&array), [(0, 0), (1, 7), (2, 0), (3, 9)]);
    // More than there is room for is known before anything is removed.
    let pin = lab.hash("h");
    let many: String = (1..6).map(|key| format!("{{\"key\":{key},\"value\":0}}\n")).collect();
    let error = "bpf-map: /sys/fs/bpf/h: 5 keys, but the map has room for 4";
    fails(&mut load(&lab, "--replace", &pin, many), 2, error);
    assert_eq!(held(&pin), [(1, 42)]);
    // Bits beyond a prefix do not make another key.
    let trie = map("t", "type lpm_trie key 8 value 4 entries 4 flags 1");
    let input = "{\"key\":\"10.1.2.3/8\",\"value\":1}\n{\"key\":\"11.0.0.0/8\",\"value\":2}\n";
    assert_eq!(stdout_of(&mut load(&lab, "--key lpm{ip4}", &trie, input)), "");
    let input = "{\"key\":\"10.9.9.9/8\",\"value\":3}\n";
    assert_eq!(stdout_of(&mut load(&lab, "--replace --key lpm{ip4}", &trie, input)), "");
    let one = map("t1", "type lpm_trie key 8 value 4 entries 1 flags 1");
    let input = "{\"key\":\"10.1.1.1/8\",\"value\":1}\n{\"key\":\"10.2.2.2/8\",\"value\":2}\n";
    assert_eq!(stdout_of(&mut load(&lab, "--replace --key lpm{ip4}", &one, input)), "");
    let dump = bpftool(&["map", "dump", "pinned", "/sys/fs/bpf/t"]);
    assert!(dump.contains("Found 1 element") && dump.contains("value: 03 00 00 00"), "{dump}");
}

#[test]
fn if_absent_keeps_existing_entries() {
    let lab = Lab::new();
    let pin = lab.hash("h");
    let input = "{\"key\":1,\"value\":1}\n{\"key\":2,\"value\":2}\n{\"key\":2,\"value\":3}\n";
    let error = "bpf-map: /sys/fs/bpf/h: 2 of 3 keys are there already";
    fails(&mut load(&lab, "--if-absent", &pin, input), 1, error);
    assert_eq!(held(&pin), [(1, 42), (2, 2)]);
    assert_eq!(stdout_of(&mut load(&lab, "--if-absent", &pin, "{\"key\":3,\"value\":3}")), "");
    for flags in ["--if-absent --replace", "--stream --replace", "--csv --tsv"] {
        let run = run(&mut load(&lab, flags, &pin, ""));
        assert_eq!(
            (run.status, run.stdout.as_str(), run.stderr.lines().count()),
            (2, "", 1),
            "{flags}"
        );
        assert!(run.stderr.contains("cannot be used with"), "{}", run.stderr);
    }
}

#[test]
fn map_types_accept_load_or_report_why_not() {
    let lab = Lab::new();
    let push = "{\"value\":1}\n{\"value\":2}\n";
    for (kind, pop) in [("queue", "01 00 00 00"), ("stack", "02 00 00 00")] {
        let pin = map(kind, &format!("type {kind} key 0 value 4 entries 2"));
        assert_eq!(stdout_of(&mut load(&lab, "", &pin, push)), "");
        let error = format!("bpf-map: /sys/fs/bpf/{kind}: standard input: line 1: ");
        let full = ": standard input: line 2 (0 of 1 elements were written)\n";
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
            ", whose elements are set one by one (bpf-map set)",
        ),
        ("ring", "type ringbuf key 0 value 0 entries 4096", ""),
        ("stacks", "type stack_trace key 4 value 8 entries 2", ""),
        (
            "socks",
            "type sockmap key 4 value 4 entries 2",
            ", whose elements are set one by one (bpf-map set)",
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
    let error = "bpf-map: /sys/fs/bpf/frozen: load: operation not permitted (the map is frozen): standard input: line 1 (0 of 1 elements were written)";
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
        "bpf-map: h: load: {why}: {}: line 1 (0 of 1 elements were written)",
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

#[test]
fn long_load_shows_progress_on_a_terminal_only() {
    let lab = Lab::new();
    let pin = map("h", HASH);
    let pty = nix::pty::openpty(None, None).unwrap();
    let spawn = |stderr: Stdio| {
        let mut command = lab.map(["load", pin.to_str().unwrap()]);
        command.stdin(Stdio::piped()).stderr(stderr).spawn().unwrap()
    };
    let mut shown = spawn(Stdio::from(pty.slave));
    let mut hidden = spawn(Stdio::piped());
    let line = b"{\"key\":1,\"value\":1}\n".repeat(100);
    let mut screen = screen(pty.master);
    // It is long enough when the bar is there.
    eventually("a bar", || {
        shown.stdin.as_mut().unwrap().write_all(&line).unwrap();
        hidden.stdin.as_mut().unwrap().write_all(&line).unwrap();
        screen()
    });
    drop(shown.stdin.take());
    drop(hidden.stdin.take());
    assert!(shown.wait().unwrap().success());
    let hidden = Run::from(hidden.wait_with_output().unwrap());
    assert_eq!((hidden.status, hidden.stderr.as_str()), (0, ""));
    assert_eq!(held(&pin), [(1, 1)]);
}

/// Tells whether `reading` was written to a terminal by now.
fn screen(master: OwnedFd) -> impl FnMut() -> bool {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut seen = Vec::new();
    move || {
        let mut some = [0; 4096];
        while let Ok(count @ 1..) = nix::unistd::read(&master, &mut some) {
            seen.extend_from_slice(&some[..count]);
        }
        String::from_utf8_lossy(&seen).contains("reading")
    }
}

#[test]
fn stream_counts_existing_keys_over_all_batches() {
    let lab = Lab::new();
    // Each line is written before the next one comes, so the counts add up over several writes.
    let script = r#"
        bpf-map create h=hash,key=u32,value=u64,entries=8 --pin /sys/fs/bpf/h
        bpf-map set /sys/fs/bpf/h 1 1; bpf-map set /sys/fs/bpf/h 2 1
        mkfifo lines; bpf-map load --stream --if-absent /sys/fs/bpf/h lines & exec 3>lines
        for key in 3 1 4 2; do
            echo "{\"key\":$key,\"value\":9}" >&3
        done
        exec 3>&-; wait $!"#;
    let run = run(&mut lab.program("sh", ["-c", script]));
    let message = "bpf-map: /sys/fs/bpf/h: 2 of 4 keys are there already\n";
    assert_eq!((run.status, run.stderr.as_str()), (1, message), "{}", run.stdout);
}
