//! `bpf-map show`: everything about one map.

use crate::common::*;
use serde_json::{Value, json};

/// A map of this specification, pinned.
fn made(lab: &Lab, spec: &str) -> String {
    let pin = format!("{BPFFS}/{}", spec.split('=').next().unwrap());
    stdout_of(&mut lab.map(["create", spec, "--pin", &pin]));
    pin
}

fn shown(lab: &Lab, words: &[&str]) -> Value {
    let json = stdout_of(&mut lab.map([&["show", "--json"], words].concat()));
    serde_json::from_str(&json).expect("JSON")
}

#[test]
fn failure_is_one_line() {
    let lab = Lab::new();
    for (map, line) in [
        ("/sys/fs/bpf/none", "bpf-map: /sys/fs/bpf/none: open pin: no such file or directory"),
        ("none", "bpf-map: none: no inherited map has this name"),
    ] {
        fails(&mut lab.map(["show", map]), 2, line);
    }
    let pin = made(&lab, "m=array,value=8,entries=1");
    let line = format!("bpf-map: {pin}: layout: a value of 4 bytes, expected 8");
    fails(&mut lab.map(["show", &pin, "--value", "u32"]), 2, &line);
}

#[test]
fn all_of_the_specification_is_shown_and_agrees_with_bpftool() {
    let lab = Lab::new();
    let flags = "NO_PREALLOC|RDONLY_PROG";
    let pin = made(&lab, &format!("spec=hash,key=4,value=16,entries=8,flags={flags}"));
    for key in ["1", "2"] {
        stdout_of(&mut lab.map(["set", &pin, key, "hex:00112233445566778899aabbccddeeff"]));
    }
    let theirs: Value =
        serde_json::from_str(&bpftool(&["-j", "map", "show", "pinned", &pin])).unwrap();
    let value = "struct{a: u64, b: u32, c: u16[2]}";
    let ours = shown(&lab, &[&pin, "--value", value]);
    for (field, of_bpftool) in
        [("id", "id"), ("type", "type"), ("name", "name"), ("memlock", "bytes_memlock")]
    {
        assert_eq!(ours[field], theirs[of_bpftool], "{field}");
    }
    for (field, want) in [
        ("key_size", json!(4)),
        ("value_size", json!(16)),
        ("max_entries", json!(8)),
        ("entries", json!(2)),
        ("percent", json!(25)),
        ("flags", json!(["NO_PREALLOC", "RDONLY_PROG"])),
        ("access", json!("rw")),
        ("frozen", json!(false)),
        ("btf_id", Value::Null),
        ("pins", json!([pin])),
        ("layout", json!(format!("u32 -> {value}"))),
    ] {
        assert_eq!(ours[field], want, "{field}");
    }
    let memlock = &ours["memlock"];
    let text = stdout_of(&mut lab.map(["show", &pin, "--value", value]));
    let want = format!(
        "name: spec\nid: {}\ntype: hash\nkey_size: 4\nvalue_size: 16\nmax_entries: 8\nentries: 2 (25 %)\n\
         flags: NO_PREALLOC RDONLY_PROG\naccess: rw\nfrozen: false\nmemlock: {memlock}\npin: {pin}\n\
         layout_source: size\nkey: u32\n\
         value: struct{{\n  a: u64,\n  b: u32,\n  c: u16[2]\n}}\n",
        ours["id"]
    );
    assert_eq!(text, want);
}

#[test]
fn type_specific_fields_are_shown_for_their_types() {
    let lab = Lab::new();
    for (spec, field, want) in [
        ("bloom=bloom_filter,value=4,entries=8,extra=3", "map_extra", json!(3)),
        // Nothing to count: always full, or without keys.
        ("arr=array,value=4,entries=8", "entries", Value::Null),
        ("q=queue,value=4,entries=8", "entries", Value::Null),
        ("ring=ringbuf,entries=4096", "entries", Value::Null),
        ("perf=perf_event_array,entries=4", "entries", Value::Null),
        ("sock=sockmap,entries=4", "entries", Value::Null),
        ("trie=lpm_trie,key=8,value=4,entries=8", "entries", json!(0)),
        ("jumps=prog_array,entries=8", "entries", json!(0)),
        ("cpus=percpu_hash,key=4,value=4,entries=8", "entries", json!(0)),
    ] {
        let pin = made(&lab, spec);
        assert_eq!(shown(&lab, &[&pin])[field], want, "{spec}");
        assert!(stdout_of(&mut lab.map(["show", &pin])).starts_with("name: "), "{spec}");
    }
}

#[test]
fn per_cpu_map_shows_its_cpus_and_whether_values_are_sums() {
    let lab = Lab::new();
    let pin = made(&lab, "p=percpu_array,value=4,entries=2");
    let header = std::fs::read_to_string("/proc/softirqs").unwrap();
    let cpus = header.lines().next().unwrap().split_whitespace().count();
    for (value, sum) in [
        ("u32", true),
        ("struct{a: bool, b: u16}", true),
        ("u8[4]", true),
        ("struct{a: u32:31, b: u32:1}", true),
        ("struct{a: u32:1, b: u32:1}", false),
        ("enum{A, B}", false),
        ("ip4", false),
        ("char[4]", false),
        ("bool[4]", false),
    ] {
        let json = shown(&lab, &[&pin, "--value", value]);
        assert_eq!((&json["cpus"], &json["sum"]), (&json!(cpus), &json!(sum)), "{value}");
        let text = stdout_of(&mut lab.map(["show", &pin, "--value", value]));
        assert!(text.contains(&format!("\nmax_entries: 2\ncpus: {cpus}\nsum: {sum}\n")), "{text}");
    }
    let other = shown(&lab, &[&made(&lab, "a=array,value=4,entries=2")]);
    assert_eq!((&other["cpus"], &other["sum"]), (&Value::Null, &Value::Null));
}

#[test]
fn program_array_shows_used_slots_and_program_type() {
    let lab = Lab::new();
    let pin = made(&lab, "jumps=prog_array,entries=4");
    let prog = fds::pin_program("prog");
    let held = open_pin(pin.as_ref());
    let words = ["map", "update", "pinned", &pin, "key", "3", "0", "0", "0", "value", "pinned"];
    bpftool(&[&words[..], &[prog.to_str().unwrap()]].concat());
    let shown = shown(&lab, &[&pin]);
    assert_eq!((&shown["entries"], &shown["percent"]), (&json!(1), &json!(25)));
    assert_eq!(shown["owner_prog_type"], "socket_filter");
    drop(held);
}

#[test]
fn layout_from_btf_is_shown_in_notation() {
    let lab = Lab::new();
    std::fs::create_dir("/sys/fs/bpf/maps").unwrap();
    let object = fixture("types.bpf.o");
    let words = ["prog", "loadall", &object, "/sys/fs/bpf/progs", "type", "tc", "pinmaps"];
    bpftool(&[&words[..], &["/sys/fs/bpf/maps"]].concat());
    for map in ["t_outer", "t_address", "t_packed", "t_bits", "t_lpm", "t_array"] {
        let pin = format!("/sys/fs/bpf/maps/{map}");
        let json = shown(&lab, &[&pin]);
        assert!(json["btf_id"].is_u64(), "{map}");
        let text = stdout_of(&mut lab.map(["show", &pin]));
        let (_, layout) = text.split_once("\nkey: ").unwrap();
        let layout = layout.trim_end().replacen("\nvalue: ", " -> ", 1);
        let read: bpf_layout::Layout = layout.parse().unwrap_or_else(|e| panic!("{layout}: {e}"));
        assert_eq!(json["layout"], read.to_string(), "{map}");
    }
}

#[test]
fn access_is_that_of_the_fd_or_the_best_available() {
    let lab = Lab::new();
    let pin = made(&lab, "m=hash,key=4,value=4,entries=4");
    let below = |words: &[&str]| {
        let words = [words, &["--pin", &pin, "--", "bpf-map", "show", "--json", "m"]].concat();
        let json: Value = serde_json::from_str(&stdout_of(&mut lab.exec(words))).unwrap();
        json["access"].clone()
    };
    assert_eq!(below(&[]), "rw");
    assert_eq!(below(&["-r"]), "r");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&pin, mode).unwrap();
    let program = lab.reachable("bpf-map");
    let command = [&NOBODY[1..], &[program.as_str(), "show", "--json", &pin]].concat();
    let json: Value =
        serde_json::from_str(&stdout_of(&mut lab.program(NOBODY[0], command))).unwrap();
    assert_eq!((&json["access"], &json["entries"]), (&json!("r"), &json!(0)));
}
