//! Single elements: `bpf-map get`, `set` and `add`, over every map type and against bpftool.

use crate::common::*;
use std::process::Command;

/// A script below a bpf-exec that has created `maps`.
fn with(lab: &Lab, maps: &[&str], script: &str) -> Command {
    let mut command = lab.exec(maps.iter().flat_map(|map| ["--create", map]));
    command.args(["--", "sh", "-c", script]);
    command
}

/// `bpf-map` with the words of a line.
fn line(lab: &Lab, line: &str) -> Command {
    lab.map(line.split(' '))
}

#[test]
fn every_negative_number_is_an_argument() {
    let lab = Lab::new();
    let maps = ["f=hash,key=f64,value=f32,entries=9", "i=array,value=i64,entries=1"];
    for (set, dump) in [
        ("f 1 -1.180104e-38", "f | 1.0\t-1.180104e-38\n"),
        ("f -1e-9 -inf", "f | -1e-9\t-inf\n"),
        ("f -.5 -Infinity", "f | -0.5\t-inf\n"),
        ("f -inf -nan --if-absent", "f | -inf\tnan\n"),
        ("i 0 -0x5", "i | 0\t-5\n"),
        ("i 0 -0b1", "i | 0\t-1\n"),
        ("--if-present i 0 -0o7", "i | 0\t-7\n"),
    ] {
        let (map, dump) = dump.split_once(" | ").unwrap();
        for set in
            [format!("bpf-map set {set}"), format!("echo 'set {set}' | bpf-map batch >/dev/null")]
        {
            let script = format!("{set} && bpf-map dump {map}");
            assert_eq!(stdout_of(&mut with(&lab, &maps, &script)), dump, "{set}");
        }
    }
    let get = "bpf-map get f -1e-9 --default -0x1";
    assert_eq!(stdout_of(&mut with(&lab, &maps, get)), "-0x1\n");
    for (command, message) in [
        ("set i 0 -1x", "i: value -1x: expected a whole number (i64), found \"-1x\""),
        ("dump i --fields -1e-9", "i: --fields: i64 has no fields"),
        ("list -1e-9", "unexpected argument '-1e-9' found (see bpf-map list --help)"),
    ] {
        let mut command = with(&lab, &maps, &format!("bpf-map {command}"));
        fails(&mut command, 2, &format!("bpf-map: {message}"));
    }
}

#[test]
fn empty_arguments_are_visible_in_messages() {
    let lab = Lab::new();
    let maps = ["m=array,value=u8,entries=1"];
    for (command, message) in [
        ("get '' 0", "\"\": no inherited map has this name"),
        ("get m ''", "m: key \"\": expected a whole number (u32), found \"\""),
        ("set m 0 ''", "m: value \"\": expected a whole number (u8), found \"\""),
        ("put ''", "\"\": no inherited map has this name"),
        ("put a=", "\"\": no inherited map has this name"),
        ("put m --timeout ''", "--timeout \"\": not a number of seconds"),
        ("send m x --first-id ''", "--first-id \"\": not a number up to 4294967295"),
        ("expose m x --mode ''", "--mode \"\": not an octal number"),
        ("expose m x --owner ''", "--owner \"\": not UID or UID:GID, in decimal"),
        ("create '' --pin x", "\"\": expected NAME=TYPE,…"),
        ("agent --wait-change ''", "--wait-change \"\": a name is empty"),
        ("load m ''", "\"\": open: no such file or directory"),
        ("get fd:-1 0", "fd:-1: not a descriptor number"),
    ] {
        let mut command = with(&lab, &maps, &format!("bpf-map {command}"));
        fails(&mut command, 2, &format!("bpf-map: {message}"));
    }
}

#[test]
fn malformed_value_is_refused_and_nothing_is_written() {
    let lab = Lab::new();
    let maps = [
        "u=array,value=u8,entries=1",
        "w=array,value=u64,entries=1",
        "i=array,value=ip4,entries=1",
        "c=array,value=char[4],entries=1",
        "s=array,value=struct{a: u8, b: struct{c: u16}},entries=1",
        "e=array,value=enum:u32{DROP=0, PASS=1},entries=1",
        "t=lpm_trie,key=lpm{ip4},value=u8,entries=1",
    ];
    for (map, value, message) in [
        ("u", "256", "256 is out of range for u8 (0 to 255)"),
        ("u", "-1", "-1 is out of range for u8 (0 to 255)"),
        ("u", "1e3", "expected a whole number (u8), found \"1e3\""),
        ("u", "", "expected a whole number (u8), found \"\""),
        ("u", " 1", "expected a whole number (u8), found \" 1\""),
        ("u", "+1", "expected a whole number (u8), found \"+1\""),
        ("u", "1\n", "expected a whole number (u8), found \"1\\n\""),
        ("u", "0x", "expected a whole number (u8), found \"0x\""),
        ("u", "hex:", "expected 2 hex digits, found 0"),
        ("u", "hex:0", "expected 2 hex digits, found 1"),
        ("u", "hex:0g", "expected hex digits, found \"g\""),
        (
            "w",
            "18446744073709551616",
            "18446744073709551616 is out of range for u64 (0 to 18446744073709551615)",
        ),
        ("i", "10.0.0.256", "expected an IPv4 address, found \"10.0.0.256\""),
        ("i", "10.0.0", "expected an IPv4 address, found \"10.0.0\""),
        ("i", "::1", "expected an IPv4 address, found \"::1\""),
        ("c", "12345", "text of 5 bytes is too long for char[4]"),
        ("e", "HOLD", "expected one of DROP, PASS, a number, found \"HOLD\""),
        ("s", "a=1", "b.c: missing"),
        ("s", "a=1 b.c=2 d=3", "no field \"d\"; fields: a, b"),
        ("s", "a=1 a=1 b.c=2", "a: given twice"),
        ("s", "a=1 b.c=65536", "b.c: 65536 is out of range for u16 (0 to 65535)"),
        ("s", r#"{"a":1,"a":1,"b":{"c":2}}"#, "a: given twice"),
        ("s", r#"{"a":1,"b":{"c":2,"c":2}}"#, "b.c: given twice"),
        ("s", r#"{"a":1,"b":{}}"#, "b.c: missing"),
        ("s", r#"{"a":1}"#, "b.c: missing"),
    ] {
        let shown = if value.is_empty() { "\"\"".into() } else { value.replace('\n', "\\n") };
        let mut command =
            with(&lab, &maps, &format!("bpf-map set {map} 0 \"$1\"; bpf-map get {map} 0"));
        let run = run(command.args(["sh", value]));
        assert_eq!(run.stderr, format!("bpf-map: {map}: value {shown}: {message}\n"));
        let untouched = ["0", "0", "0.0.0.0", "\"\"", "a=0 b.c=0", "DROP", ""].iter();
        assert!(untouched.into_iter().any(|zero| run.stdout == format!("{zero}\n")), "{run:?}");
    }
    for (key, message) in [
        ("10.0.0.0/33", "33 is out of range for a prefix length (0 to 32)"),
        ("10.0.0.0/-1", "expected an IPv4 prefix such as 10.0.0.0/8, found \"10.0.0.0/-1\""),
        ("10.0.0.0/", "expected an IPv4 prefix such as 10.0.0.0/8, found \"10.0.0.0/\""),
        ("10.0.0.256/8", "expected an IPv4 prefix such as 10.0.0.0/8, found \"10.0.0.256/8\""),
        ("33:0a000000", "33 is out of range for a prefix length (0 to 32)"),
    ] {
        for words in [format!("get t {key}"), format!("set t {key} 1"), format!("add t {key} 1")] {
            let message = format!("bpf-map: t: key {key}: {message}");
            fails(&mut with(&lab, &maps, &format!("bpf-map {words}")), 2, &message);
        }
    }
    // Not UTF-8, and a terminal's control sequence.
    let mut bytes = with(&lab, &maps, "bpf-map set u 0 \"$(printf '\\377')\"");
    fails(&mut bytes, 2, "bpf-map: u: value \\xff: not UTF-8");
    let mut escape = with(&lab, &maps, "bpf-map get u \"$(printf '\\033[2J')\"");
    let message = "bpf-map: u: key \\x1b[2J: expected a whole number (u32), found \"\\u001b[2J\"";
    fails(&mut escape, 2, message);
}

#[test]
fn unsuitable_options_are_usage_errors() {
    let lab = Lab::new();
    let maps = ["h=hash,key=u32,value=struct{a: u8},entries=1"];
    for (words, message) in [
        ("set h 1 a 5", "a: a field such as .NAME goes before the value (see bpf-map set --help)"),
        (
            "set h 1 packets=9 bytes=90",
            "packets=9: the words of a value are one argument: quote them (see bpf-map set --help)",
        ),
        (
            "set h 1 a=1 b=2 c=3",
            "a=1: the words of a value are one argument: quote them (see bpf-map set --help)",
        ),
        ("set h 1 .a 5 --if-absent", "h: --if-absent: a field can be set only if the key exists"),
        ("set h 1 .b 5", "h: no field \"b\"; fields: a"),
        ("set h 1 .a.b 5", "h: u8 has no fields"),
        ("get h 1 .b", "h: no field \"b\"; fields: a"),
        ("add h 1 5", "h: add: expected an integer, not a struct (name a field, as .NAME)"),
        ("add h 1 .a x", "h: expected a whole number to add, found x"),
        ("add h 1 .a 1e3", "h: expected a whole number to add, found 1e3"),
        ("add h 1 .a +-1", "h: expected a whole number to add, found +-1"),
        ("add h 1 a 5", "a: expected a field such as .NAME"),
        ("get h 1 --value u16", "h: layout: a value of 2 bytes, expected 1"),
    ] {
        let mut command = with(&lab, &maps, &format!("bpf-map {words}"));
        fails(&mut command, 2, &format!("bpf-map: {message}"));
    }
    for words in
        ["set h 1 2 --if-absent --if-present", "get h", "set h 1", "add h 1", "get h 1 --cpu x"]
    {
        let run = run(&mut with(&lab, &maps, &format!("bpf-map {words}")));
        assert_eq!(
            (run.status, run.stdout.as_str(), run.stderr.lines().count()),
            (2, "", 1),
            "{run:?}"
        );
    }
}

#[test]
fn unmet_condition_exits_1_and_writes_nothing() {
    let lab = Lab::new();
    for kind in ["hash", "lru_hash", "lpm_trie", "percpu_hash"] {
        let (key, one) = if kind == "lpm_trie" { ("lpm{ip4}", "10.0.0.0/8") } else { ("u32", "1") };
        // On Linux 6.1 a small lru_hash may lose its only key.
        let map = format!("h={kind},key={key},value=u32,entries=4k");
        let cpus = if kind == "percpu_hash" { "--sum" } else { "" };
        let script = format!(
            "put() {{ bpf-map set {cpus} h {one} \"$@\"; echo $?; }}
             put 5 --if-present; put 6 --if-absent; put 7 --if-absent; bpf-map get h {one}
             put 8 --if-present; bpf-map get h {one}"
        );
        let run = run(&mut with(&lab, &[&map], &script));
        let messages = format!("bpf-map: h: no key {one}\nbpf-map: h: key {one} exists already\n");
        assert_eq!((run.stdout.as_str(), run.stderr), ("1\n0\n1\n6\n0\n8\n", messages), "{kind}");
    }
    // All keys of an array are there, and none past its end.
    let array = ["a=array,value=u32,entries=2"];
    fails(
        &mut with(&lab, &array, "bpf-map set a 1 5 --if-absent"),
        1,
        "bpf-map: a: key 1 exists already",
    );
    fails(&mut with(&lab, &array, "bpf-map set a 2 5 --if-present"), 1, "bpf-map: a: no key 2");
    let past = "bpf-map: a: set: no room: the key is past its end (2 entries)";
    fails(&mut with(&lab, &array, "bpf-map set a 2 5"), 2, past);
    fails(&mut with(&lab, &array, "bpf-map set a 2 5 --if-absent"), 2, past);
    let full =
        ["h=hash,key=u32,value=u32,entries=1", "t=lpm_trie,key=lpm{ip4},value=u32,entries=1"];
    for (map, keys) in [("h", "1 2"), ("t", "10.0.0.0/8 11.0.0.0/8")] {
        let script = format!("for key in {keys}; do bpf-map set {map} $key 1; done");
        let message = format!("bpf-map: {map}: set: no room: the map is full (1 entries)");
        fails(&mut with(&lab, &full, &script), 2, &message);
    }
}

#[test]
fn default_is_printed_for_a_missing_key() {
    let lab = Lab::new();
    let maps = ["h=hash,key=i32,value=u32,entries=4"];
    let script =
        "bpf-map set h -6 5; bpf-map get h 1 -6 2 --default -; bpf-map get h 1 --default ''
        bpf-map get h 1 --default=-1 --json; bpf-map get h -6 --default 7";
    assert_eq!(stdout_of(&mut with(&lab, &maps, script)), "-\n5\n-\n\n-1\n5\n");
    let run = run(&mut with(&lab, &maps, "bpf-map set h -6 5; bpf-map get h 1 -6 2"));
    let messages = "bpf-map: h: no key 1\nbpf-map: h: no key 2\n";
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (1, "5\n", messages));
}

#[test]
fn field_is_set_and_the_others_are_unchanged() {
    let lab = Lab::new();
    let maps = [
        "h=hash,key=u32,value=struct{a: u8:3, b: u8:5, c: struct{d: ip4[2]}, e: char[4]},entries=1",
    ];
    let script = "bpf-map set h 1 .a 3; echo $?
        bpf-map set h 1 'a=1 b=2 c.d=[\"1.1.1.1\",\"2.2.2.2\"] e=xyz'; bpf-map set h 1 .b 31; bpf-map set h 1 .c.d[1] 3.3.3.3
        bpf-map set h 1 .e ''; bpf-map set h 1 .a 8; bpf-map get h 1 --json; bpf-map get h 1 .c.d[1]";
    let run = run(&mut with(&lab, &maps, script));
    let range = "bpf-map: h: value 8: 8 is out of range for u8:3 (0 to 7)";
    assert_eq!(run.stderr, format!("bpf-map: h: no key 1\n{range}\n"));
    let want =
        "1\n{\"a\":1,\"b\":31,\"c\":{\"d\":[\"1.1.1.1\",\"3.3.3.3\"]},\"e\":\"\"}\n3.3.3.3\n";
    assert_eq!((run.status, run.stdout.as_str()), (0, want));
}

#[test]
fn trie_reads_the_longest_match_and_writes_one_prefix() {
    let lab = Lab::new();
    // By the size of the data, without an option.
    let maps = ["t=lpm_trie,key=8,value=4,entries=4", "s=lpm_trie,key=20,value=1,entries=4"];
    let script = "bpf-map set t 10.0.0.0/8 1; bpf-map set t 10.1.0.0/16 2; bpf-map get t 10.1.2.3 10.2.2.3 10.1.0.0/12
        bpf-map add t 10.2.0.0/16 5; echo $?; bpf-map set t 10.2.0.0/16 . 5; echo $?
        bpf-map add t 10.2.0.0/16 5 --create; bpf-map get t 10.2.0.0 10.3.0.0 8:0a000000
        bpf-map set s 2001:db8::/32 7; bpf-map get s 2001:db8::1 2001:db9::1 --default none";
    let run = run(&mut with(&lab, &maps, script));
    let absent = "bpf-map: t: no key 10.2.0.0/16\n";
    assert_eq!(run.stderr, absent.repeat(2));
    assert_eq!(run.stdout, "2\n1\n1\n1\n1\n5\n5\n1\n1\n7\nnone\n");
}

#[test]
fn add_prints_the_new_value_and_refuses_overflow() {
    let lab = Lab::new();
    let value = "struct{a: u8, b: i16, c: be32, d: u8:3, e: i64, f: bool, g: f64, h: enum:u8{X=0}, i: u128}";
    for flags in ["", ",flags=MMAPABLE"] {
        let map = format!("m=array,value={value},entries=2{flags}");
        let way = |in_memory: bool| match in_memory {
            true => "bpf-map: m: changed in memory, atomically\n",
            false => "bpf-map: m: changed by a program in the kernel, atomically\n",
        };
        for (words, want) in [
            (".a 255", Ok("255")),
            (".a -0", Ok("0")),
            (".a 256", Err("add to 0: 256 is out of range for u8 (0 to 255)")),
            (".a -1", Err("add to 0: -1 is out of range for u8 (0 to 255)")),
            (".b -32768", Ok("-32768")),
            (".b -32769", Err("add to 0: -32769 is out of range for i16 (-32768 to 32767)")),
            (".b 0x7fff", Ok("32767")),
            (".c 4294967295", Ok("4294967295")),
            (".d +7", Ok("7")),
            (".d 8", Err("add to 0: 8 is out of range for u8:3 (0 to 7)")),
            (".e -9223372036854775808", Ok("-9223372036854775808")),
            (
                ".i 340282366920938463463374607431768211455",
                Ok("340282366920938463463374607431768211455"),
            ),
            (".f 1", Err("add: expected an integer, not bool")),
            (".g 1", Err("add: expected an integer, not f64")),
            (".h 1", Err("add: expected an integer, not an enum")),
        ] {
            let mut command = with(&lab, &[&map], &format!("bpf-map add --verbose m 1 {words}"));
            match want {
                Ok(number) => {
                    let run = run(&mut command);
                    let stderr = match words.starts_with(".i") {
                        true => {
                            "bpf-map: m: read, changed and written back, not atomically: the field \
                             is not inside of an aligned word of 4 or 8 bytes of the value\n"
                        }
                        false => way(!flags.is_empty()),
                    };
                    assert_eq!(
                        (run.status, run.stdout, run.stderr.as_str()),
                        (0, format!("{number}\n"), stderr),
                        "{words}"
                    );
                }
                Err(message) => fails(&mut command, 2, &format!("bpf-map: m: {message}")),
            }
        }
        fails(&mut with(&lab, &[&map], "bpf-map add m 2 .a 1"), 1, "bpf-map: m: no key 2");
        let neighbours = "for f in a b c d e i; do bpf-map add m 0 .$f 3; done; bpf-map add m 0 .d -2; bpf-map get m 0; bpf-map get m 1 .a";
        let want = "3\n3\n3\n3\n3\n3\n1\na=3 b=3 c=3 d=1 e=3 f=false g=0.0 h=X i=3\n0\n";
        assert_eq!(stdout_of(&mut with(&lab, &[&map], neighbours)), want);
    }
    let hash = ["h=hash,key=u32,value=i32,entries=4"];
    let script =
        "bpf-map add h 1 -6; echo $?; bpf-map add h 1 -6 --create; bpf-map add h 1 +4 --create";
    let run = run(&mut with(&lab, &hash, script));
    assert_eq!(
        (run.stdout.as_str(), run.stderr.as_str()),
        ("1\n-6\n-2\n", "bpf-map: h: no key 1\n")
    );
}

#[test]
fn concurrent_adds_in_mapped_memory_lose_nothing() {
    let lab = Lab::new();
    let maps = ["m=array,value=struct{a: u32, b: u16, c: u8:4},entries=1,flags=MMAPABLE"];
    let script = "for worker in 1 2 3 4; do
            ( i=0; while [ $i -lt 40 ]; do bpf-map add m 0 .a 1; bpf-map add m 0 .b 2; i=$((i+1)); done >/dev/null ) &
        done; wait; bpf-map get m 0";
    assert_eq!(stdout_of(&mut with(&lab, &maps, script)), "a=160 b=320 c=0\n");
}

#[test]
fn add_loses_no_concurrent_count() {
    use std::os::fd::AsRawFd;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
    let lab = Lab::new();
    let pin = "/sys/fs/bpf/m";
    let create = "map create /sys/fs/bpf/m type array key 4 value 8 entries 1 name m flags 0x400";
    bpftool(&create.split(' ').collect::<Vec<_>>());
    let fd = open_pin(pin.as_ref());
    // SAFETY: a new mapping of the one page that the map has.
    let page = unsafe {
        let both = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(std::ptr::null_mut(), 4096, both, libc::MAP_SHARED, fd.as_raw_fd(), 0)
    };
    assert_ne!(page, libc::MAP_FAILED);
    // SAFETY: aligned, mapped until the process ends, and shared with atomic users only.
    let counter = unsafe { AtomicU64::from_ptr(page.cast()) };
    let (stop, mut ours) = (AtomicBool::new(false), 0);
    let theirs = std::thread::scope(|scope| {
        let counting = scope.spawn(|| {
            let mut count = 0u64;
            while !stop.load(SeqCst) {
                counter.fetch_add(1, SeqCst);
                count += 1;
            }
            count
        });
        for _ in 0..50 {
            stdout_of(&mut lab.map(["add", pin, "0", "1000"]));
            ours += 1000;
        }
        stop.store(true, SeqCst);
        counting.join().unwrap()
    });
    assert_eq!(stdout_of(&mut lab.map(["get", pin, "0"])), format!("{}\n", ours + theirs));
}

#[test]
fn missing_access_is_reported_with_its_reason() {
    let lab = Lab::new();
    let pin = lab.array("a", 1);
    let pin = pin.to_str().unwrap();
    let why = |what: &str| format!("operation not permitted (the {what})");
    let mut read_only = lab.exec(["-r", "--pin", pin, "--", "bpf-map", "set", "a", "0", "1"]);
    fails(&mut read_only, 2, &format!("bpf-map: a: set: {}", why("descriptor is read-only")));
    let mut read_only = lab.exec(["-r", "--pin", pin, "--", "bpf-map", "add", "a", "0", "1"]);
    fails(&mut read_only, 2, &format!("bpf-map: a: add: {}", why("descriptor is read-only")));
    let write_only = ["w=array,value=u32,entries=1,flags=WRONLY"];
    for words in ["get w 0", "add w 0 1", "set w 0 . 1"] {
        let operation = words.split(' ').next().unwrap();
        let message = format!("bpf-map: w: {operation}: {}", why("descriptor is write-only"));
        fails(&mut with(&lab, &write_only, &format!("bpf-map {words}")), 2, &message);
    }
    stdout_of(&mut with(&lab, &write_only, "bpf-map set w 0 1"));
    bpftool(&["map", "freeze", "pinned", pin]);
    for words in ["set PIN 0 1", "set PIN 0 . 1", "add PIN 0 1"] {
        let operation = words.split(' ').next().unwrap();
        let message = format!("bpf-map: {pin}: {operation}: {}", why("map is frozen"));
        fails(&mut line(&lab, &words.replace("PIN", pin)), 2, &message);
    }
    assert_eq!(stdout_of(&mut line(&lab, &format!("get {pin} 0"))), "0\n");
}

#[test]
fn value_of_1_mib_is_accessed_by_field() {
    let lab = Lab::new();
    let maps = ["m=array,value=1048576,entries=1", "t=array,value=char[1048576],entries=1"];
    let layout = "--value 'struct{n: u32, s: char[16], rest: hex[1048556]}'";
    let script = format!(
        "bpf-map set m 0 .n 7 {layout}; bpf-map set m 0 .s hello {layout}; bpf-map add m 0 .n 1 {layout}
         bpf-map get m 0 .s {layout}; bpf-map get m 0 | wc -c; bpf-map set t 0 short; bpf-map get t 0
         bpf-map set m 0 hex:00"
    );
    let run = run(&mut with(&lab, &maps, &script));
    assert_eq!(run.stdout, "8\nhello\n2097153\nshort\n");
    let message = "bpf-map: m: value hex:00: expected 2097152 hex digits, found 2\n";
    assert_eq!((run.status, run.stderr.as_str()), (2, message));
}

#[test]
fn message_quotes_long_values_in_part() {
    let lab = Lab::new();
    let pin = lab.array("hits", 1);
    let run = run(&mut lab.map(["set", pin.to_str().unwrap(), "0", &"9".repeat(100_000)]));
    assert_eq!((run.status, run.stdout.as_str()), (2, ""));
    assert!(run.stderr.ends_with("99…\n") && run.stderr.len() < 4100, "{}", run.stderr.len());
}
