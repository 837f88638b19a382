//! Keys and values with padding that is not zero, as programs write them that do not clear it: every
//! format prints the padding, and every input accepts it.

use crate::common::{BPFFS, Lab, Run, bpftool, fails, run, stdout_of, wrapped};
use std::process::Command;

const KEY: &str = "--key=struct{a: u8, b: u32, in: struct{c: u16, d: u8}}";
const VALUE: &str = "--value=struct{n: u32:4, pad:8, m: u32:20, t: u8}";

/// A map of three elements, of which two have keys that differ in padding alone, by bpftool.
fn dirty(name: &str) -> String {
    let pin = format!("{BPFFS}/{name}");
    let words = format!("map create {pin} type hash key 12 value 8 entries 8 name dirty");
    bpftool(&words.split(' ').collect::<Vec<_>>());
    for (key, value) in [
        ("01 00 00 00 02 00 00 00 03 00 04 00", "05 00 00 00 07 00 00 00"),
        ("01 aa 00 bb 02 00 00 00 03 00 04 cc", "15 00 00 00 07 00 00 dd"),
        ("02 00 00 00 02 00 00 00 03 00 04 00", "05 08 00 00 07 00 00 00"),
    ] {
        let words = format!("map update pinned {pin} key hex {key} value hex {value}");
        bpftool(&words.split(' ').collect::<Vec<_>>());
    }
    pin
}

/// All bytes of a map, as bpftool prints them.
fn bytes(pin: &str) -> Vec<String> {
    let json = bpftool(&["-j", "map", "dump", "pinned", pin]);
    let all: Vec<serde_json::Value> = serde_json::from_str(&json).expect("JSON");
    let mut all: Vec<String> = all.iter().map(|one| one.to_string()).collect();
    all.sort();
    all
}

fn map(lab: &Lab, arguments: &[&str]) -> Command {
    lab.map([arguments, &[KEY, VALUE]].concat())
}

const WORDS: [&str; 3] = [
    "a=1 b=2 in.c=3 in.d=4\tn=5 m=0 t=7",
    "a=1 b=2 in.c=3 in.d=4 in.@3=hex:cc @1=hex:aa00bb\tn=5 m=0 t=7 @0=hex:1000 @5=hex:0000dd",
    "a=2 b=2 in.c=3 in.d=4\tn=5 m=0 t=7 @0=hex:0008",
];

#[test]
fn keys_that_differ_in_padding_print_apart_and_are_found_again() {
    let lab = Lab::new();
    let pin = dirty("m");
    let text = stdout_of(&mut map(&lab, &["dump", &pin, "--sort", "key.a"]));
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort();
    let mut want = WORDS;
    want.sort();
    if cfg!(target_endian = "little") {
        assert_eq!(lines, want);
    }
    for line in &lines {
        let (key, value) = line.split_once('\t').expect("a key and a value");
        assert_eq!(stdout_of(&mut map(&lab, &["get", &pin, key])), format!("{value}\n"));
    }
    let dirty = lines.iter().find(|line| line.contains("in.@3")).expect("padding");
    let key = dirty.split('\t').next().expect("a key");
    assert_eq!(stdout_of(&mut map(&lab, &["del", &pin, key])), "");
    assert_eq!(stdout_of(&mut map(&lab, &["count", &pin])), "2\n");
    let missing = format!("bpf-map: {pin}: no key {key}");
    fails(&mut map(&lab, &["get", &pin, key]), 1, &missing);
    // The other one is still there.
    assert_eq!(stdout_of(&mut map(&lab, &["get", &pin, "a=1 b=2 in.c=3 in.d=4", ".t"])), "7\n");
}

#[test]
fn every_format_that_load_reads_gives_the_same_bytes() {
    let lab = Lab::new();
    let (pin, other) = (dirty("m"), dirty("other"));
    let before = bytes(&pin);
    for (format, reading) in [("--jsonl", &[][..]), ("--csv", &["--csv"]), ("--tsv", &["--tsv"])] {
        let file = lab.path("dump");
        std::fs::write(&file, stdout_of(&mut map(&lab, &["dump", &pin, format]))).expect("a file");
        let file = file.to_str().expect("UTF-8");
        // Into a map that has them, and into an empty one.
        for target in [&pin, &other] {
            let arguments = [&["load", "--replace", target, file], reading].concat();
            assert_eq!(stdout_of(&mut map(&lab, &arguments)), "", "{format}");
            assert_eq!(bytes(target), before, "{format}");
            stdout_of(&mut lab.map(["clear", &other]));
        }
    }
    // The words, as arguments.
    for line in stdout_of(&mut map(&lab, &["dump", &pin])).lines() {
        let (key, value) = line.split_once('\t').expect("a key and a value");
        assert_eq!(stdout_of(&mut map(&lab, &["set", &other, key, value])), "");
    }
    assert_eq!(bytes(&other), before);
    // And as JSON, in the lines of a batch.
    stdout_of(&mut lab.map(["clear", &other]));
    let json: Vec<serde_json::Value> =
        serde_json::from_str(&stdout_of(&mut map(&lab, &["dump", &pin, "--json"]))).expect("JSON");
    let line = |element: &serde_json::Value| {
        format!("set {other} '{}' '{}' '{KEY}' '{VALUE}'\n", element["key"], element["value"])
    };
    std::fs::write(lab.path("batch"), json.iter().map(line).collect::<String>()).expect("a file");
    assert_eq!(stdout_of(&mut lab.map(["batch", "batch"])), "\n\n\n");
    assert_eq!(bytes(&other), before);
}

#[test]
fn table_has_padding_columns_only_if_nonzero() {
    let lab = Lab::new();
    let pin = dirty("m");
    let table = stdout_of(&mut map(&lab, &["dump", &pin, "--csv", "--sort", "key.a"]));
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "a,b,in.c,in.d,in.@3,@1,n,m,t,@0,@5");
    assert!(lines.contains(&"1,2,3,4,\"\",\"\",5,0,7,\"\",\"\""), "{table}");
    if cfg!(target_endian = "little") {
        assert!(lines.contains(&"1,2,3,4,hex:cc,hex:aa00bb,5,0,7,hex:1000,hex:0000dd"), "{table}");
    }
    for key in ["a=1 b=2 in.c=3 in.d=4 in.@3=hex:cc @1=hex:aa00bb", "a=2 b=2 in.c=3 in.d=4"] {
        stdout_of(&mut map(&lab, &["del", &pin, key]));
    }
    assert_eq!(
        stdout_of(&mut map(&lab, &["dump", &pin, "--csv"])),
        "a,b,in.c,in.d,n,m,t\n1,2,3,4,5,0,7\n"
    );
    // A table without columns for it is of zeros.
    std::fs::write(lab.path("table"), "a,b,in.c,in.d,n,m,t\n9,2,3,4,5,0,7\n").expect("a file");
    stdout_of(&mut map(&lab, &["load", &pin, "table", "--csv"]));
    assert_eq!(stdout_of(&mut map(&lab, &["get", &pin, "a=9 b=2 in.c=3 in.d=4"])), "n=5 m=0 t=7\n");
}

#[test]
fn prometheus_series_are_unique() {
    let lab = Lab::new();
    let pin = dirty("m");
    let text = stdout_of(&mut map(&lab, &["dump", &pin, "--prometheus", "--name", "x"]));
    let series: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("x_t{"))
        .map(|line| line.rsplit_once(' ').expect("a number").0)
        .collect();
    let mut sorted = series.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            r#"x_t{a="1",b="2",in_c="3",in_d="4",in_padding_3="hex:cc",padding_1="hex:aa00bb"}"#,
            r#"x_t{a="1",b="2",in_c="3",in_d="4"}"#,
            r#"x_t{a="2",b="2",in_c="3",in_d="4"}"#,
        ]
    );
}

#[test]
fn padding_that_is_wrong_is_refused_and_nothing_written() {
    let lab = Lab::new();
    let pin = dirty("m");
    let before = bytes(&pin);
    let key = "a=1 b=2 in.c=3 in.d=4";
    for (padding, message) in [
        ("@2=hex:0000", "no padding at \"@2\"; padding: @1"),
        ("@1=hex:0000", "@1: expected 6 hex digits, found 4"),
        ("@1=aa00bb", "@1: expected hex: and its digits, found \"aa00bb\""),
        ("@1=", "@1: expected hex: and its digits, found \"\""),
        ("in.@4=hex:00", "no padding at \"@4\"; padding: @3"),
        ("@1=hex:aa00bb @1=hex:aa00bb", "@1: given twice"),
    ] {
        let key = format!("{key} {padding}");
        let message = format!("bpf-map: {pin}: key {key}: {message}");
        fails(&mut map(&lab, &["set", &pin, &key, "n=1 m=1 t=1"]), 2, &message);
    }
    std::fs::write(lab.path("table"), "a,b,in.c,in.d,in.@5,n,m,t\n").expect("a file");
    let message =
        format!("bpf-map: {pin}: table: line 1: column in.@5: no such column in the layout");
    fails(&mut map(&lab, &["load", &pin, "table", "--csv"]), 2, &message);
    std::fs::write(lab.path("table"), "a,b,in.c,in.d,@1,n,m,t\n1,2,3,4,aa00bb,5,6,7\n")
        .expect("a file");
    let why = "key: @1: expected hex: and its digits, found \"aa00bb\"";
    let message = format!("bpf-map: {pin}: table: line 2: {why}");
    fails(&mut map(&lab, &["load", &pin, "table", "--csv"]), 2, &message);
    let line =
        "{\"key\":{\"a\":1,\"b\":2,\"in\":{\"c\":3,\"d\":4},\"@1\":\"aa00bb\"},\"value\":{}}\n";
    std::fs::write(lab.path("lines"), line).expect("a file");
    let message = format!("bpf-map: {pin}: lines: line 1: {why}");
    fails(&mut map(&lab, &["load", &pin, "lines"]), 2, &message);
    assert_eq!(bytes(&pin), before);
}

#[test]
fn padding_that_appears_after_the_header_is_a_failure() {
    let lab = Lab::new();
    let pin = format!("{BPFFS}/m");
    let words = format!("map create {pin} type array key 4 value 8 entries 100000 name dirty");
    bpftool(&words.split(' ').collect::<Vec<_>>());
    let value = "--value=struct{a: u32, b: u8}";
    // The table is larger than a pipe: dump blocks in its second pass until the pipe is read.
    let dump = lab.map(["dump", &pin, value, "--csv"]);
    let change =
        format!("bpftool map update pinned {pin} key hex 9f 86 01 00 value hex 0 0 0 0 0 1 0 0");
    let script = format!("\"$@\" | {{ read header; {change}; echo $header; tail -n1; }}");
    let shell = ["bash", "-c", &format!("set -o pipefail; {script}"), "bash"];
    let Run { status, stdout, stderr } = run(&mut wrapped(&shell, &dump));
    let message = "padding has changed since the header was printed: dump it again";
    assert_eq!((status, stdout.as_str()), (2, "key,a,b\n99999,0,0\n"), "{stderr}");
    assert_eq!(stderr, format!("bpf-map: {pin}: dump: {message}\n"));
}
