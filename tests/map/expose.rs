//! `bpf-map expose`: pins through which any user reads the entries of a map.

use super::preload::kill_at_each_call;
use crate::common::features::Feature;
use crate::common::*;
use crate::needs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Types that the kernel iterates over.
const TYPES: [&str; 6] =
    ["hash", "array", "lru_hash", "percpu_hash", "percpu_array", "lru_percpu_hash"];
const FORMATS: [&[&str]; 4] = [&[], &["--csv"], &["--tsv"], &["--jsonl"]];
const VALUE: &str = "struct{a: u64, b: i64, c: char[16], d: ip6, e: enum:u32{ON=1}, f: u8:3, g: u8:5, h: mac, i: bool, j: be16[3]}";
const VALUES: [&str; 5] = [
    "a=18446744073709551615 b=-9223372036854775808 c=\"two words\" d=2001:db8::1 e=ON f=7 g=31 h=01:02:03:04:05:06 i=true j=[1,2,65535]",
    "a=1 b=-1 c=\"\\u001b[2J\" d=::ffff:10.0.0.1 e=5 f=0 g=1 h=00:00:00:00:00:00 i=false j=[0,0,0]",
    "a=2 b=3 c=\"a,\\\"b\" d=:: e=0 f=1 g=2 h=ff:ff:ff:ff:ff:ff i=true j=[256,1,0]",
    "a=0 b=0 c=\"\\u202e\u{e9}\" d=1:0:0:2:0:0:0:3 e=ON f=3 g=4 h=00:00:00:00:00:01 i=false j=[7,8,9]",
    "a=0 b=0 c=\"-\" d=fe80::1 e=ON f=3 g=4 h=00:00:00:00:00:01 i=false j=[7,8,9]",
];

fn unprivileged(words: &[&str]) -> String {
    let mut command = Command::new(NOBODY[0]);
    stdout_of(command.args(&NOBODY[1..]).args(words))
}

/// A map of this type, key and value, pinned.
fn create(lab: &Lab, map_type: &str, key: &str, value: &str) -> String {
    let name = unique("m");
    let pin = format!("{BPFFS}/{name}");
    let spec = format!("{name}={map_type},key={key},value={value},entries=16");
    assert_eq!(stdout_of(&mut lab.map(["create", &spec, "--pin", &pin])), "");
    pin
}

fn let_all_search() {
    std::fs::set_permissions(BPFFS, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Exposes a map, compares what any user reads with what dump prints, and removes the pin.
#[track_caller]
fn compare(lab: &Lab, map: &str, options: &[&str]) {
    let pin = format!("{map}_text");
    let words = [&["expose", map, &pin][..], options].concat();
    assert_eq!(stdout_of(&mut lab.map(&words)), "", "{words:?}");
    let words = [&["dump", map][..], options].concat();
    let text = unprivileged(&["cat", &pin]);
    assert_eq!(text, stdout_of(&mut lab.map(&words)), "{words:?}");
    std::fs::remove_file(&pin).unwrap();
}

#[test]
fn maps_of_every_iterated_type_read_as_dump_prints_them() {
    needs!(Feature::ElementIterator);
    let lab = Lab::new();
    let_all_search();
    for map_type in TYPES {
        let map = create(&lab, map_type, "u32", "hex[72]");
        let layout = ["--value", VALUE];
        let is_per_cpu = map_type.contains("percpu");
        let written: &[&str] = if is_per_cpu { &["--all-cpus"] } else { &[] };
        for (key, value) in VALUES.iter().enumerate() {
            let key = key.to_string();
            let words = [&["set", &map, &key, value][..], &layout, written].concat();
            assert_eq!(stdout_of(&mut lab.map(words)), "");
        }
        if is_per_cpu {
            let words = [&["set", &map, "0", VALUES[1], "--cpu", "0"][..], &layout].concat();
            assert_eq!(stdout_of(&mut lab.map(words)), "");
        }
        for format in FORMATS {
            for fields in [&[][..], &["--fields", "b,c"], &["--fields", ".h"]] {
                compare(&lab, &map, &[&layout[..], format, fields].concat());
                if is_per_cpu {
                    compare(&lab, &map, &[&layout[..], format, fields, &["--per-cpu"]].concat());
                }
            }
        }
    }
}

#[test]
fn keys_of_all_kinds_and_empty_maps_read_as_dump_prints_them() {
    needs!(Feature::ElementIterator);
    let lab = Lab::new();
    let_all_search();
    for (key, size, keys) in [
        ("ip4", 4, &["10.0.0.1", "255.255.255.255"][..]),
        ("ip6", 16, &["::1", "2001:db8::", "::ffff:1.2.3.4"]),
        (
            "char[12]",
            12,
            &["a", "\"\"", "\"a b\"", "\"-\"", "\"hex:\"", "\"a,b\"", "\"\\u00e9\\u3000\""],
        ),
        (
            "struct{a: char[8], b: u32, c: u16[2]}",
            16,
            &["a=\" x\" b=1 c=[1,2]", "a=\"\\\\\" b=2 c=[0,0]"],
        ),
        ("enum:i32{LOW=-1, HIGH=1}", 4, &["LOW", "HIGH", "5"]),
        ("mac", 6, &["01:02:03:04:05:06"]),
        ("i64", 8, &["-5", "9223372036854775807"]),
        ("hex[5]", 5, &["hex:0102030405"]),
    ] {
        let map = create(&lab, "hash", &format!("hex[{size}]"), "u64");
        let layout = ["--key", key, "--value", "u64"];
        for format in FORMATS {
            compare(&lab, &map, &[&layout[..], format].concat());
        }
        for key in keys {
            let words = [&["set", &map, key, "7"][..], &layout].concat();
            assert_eq!(stdout_of(&mut lab.map(words)), "", "{key}");
        }
        for format in FORMATS {
            compare(&lab, &map, &[&layout[..], format].concat());
        }
    }
}

#[test]
fn sums_of_all_cpus_beyond_64_bits_are_exact() {
    needs!(Feature::ElementIterator);
    let lab = Lab::new();
    let_all_search();
    for layout in ["u64", "i64", "be64", "struct{a: u64:63, b: i64:60}"] {
        let size = if layout.starts_with("struct") { 16 } else { 8 };
        let map = create(&lab, "percpu_array", "u32", &format!("hex[{size}]"));
        for (key, value) in [
            ("0", "ffffffffffffffff"),
            ("1", "0000000000000080"),
            ("2", "0100000000000080"),
            ("3", "ffffffffffffff7f"),
        ] {
            let value = format!("hex:{}", value.repeat(size / 8));
            let words = ["set", "--all-cpus", &map, key, &value];
            assert_eq!(stdout_of(&mut lab.map(words)), "");
        }
        for format in FORMATS {
            let layout = ["--value", layout];
            let words = [&["dump", &map][..], &layout, format].concat();
            let dump = stdout_of(&mut lab.map(words));
            // Padding of a struct is not printed.
            if !dump.contains('@') {
                compare(&lab, &map, &[&layout[..], format].concat());
            }
        }
    }
}

#[test]
fn pin_is_read_by_other_users_while_entries_change() {
    needs!(Feature::ElementIterator);
    let lab = Lab::new();
    let_all_search();
    let map = create(&lab, "array", "u32", "u64");
    let pin = format!("{map}_text");
    let words = ["expose", "--mode", "0440", "--owner", "0:65534", "--csv", &map, &pin];
    assert_eq!(stdout_of(&mut lab.map(words)), "");
    let stat = stdout_of(Command::new("stat").args(["-c", "%a %u %g", &pin]));
    assert_eq!(stat, "440 0 65534\n");
    // No process of the test holds the map any more: only the pin does.
    std::fs::remove_file(&map).unwrap();
    assert_eq!(unprivileged(&["sed", "-n", "1,2p", &pin]), "key,value\n0,0\n");
    assert_eq!(unprivileged(&["grep", "-c", ",0", &pin]), "16\n");
    assert_eq!(unprivileged(&["awk", "-F,", "NR>1{n+=$1} END{print n}", &pin]), "120\n");
    let other = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "cat", &pin];
    let refused = run(Command::new(other[0]).args(&other[1..]));
    assert_eq!(refused.stderr, format!("cat: {pin}: Permission denied\n"));
}

#[test]
fn values_that_programs_count_are_read_as_they_grow() {
    needs!(Feature::ElementIterator);
    let lab = Lab::new();
    let_all_search();
    let map = create(&lab, "array", "u32", "u64");
    let pin = format!("{map}_text");
    assert_eq!(stdout_of(&mut lab.map(["expose", &map, &pin])), "");
    let mut last = 0;
    for round in 1..=20u64 {
        assert_eq!(stdout_of(&mut lab.map(["add", &map, "3", "5"])), format!("{}\n", 5 * round));
        let text = unprivileged(&["cat", &pin]);
        let line = text.lines().find(|line| line.starts_with("3\t")).unwrap();
        let number: u64 = line[2..].parse().unwrap();
        assert!(number > last, "{number} {last}");
        last = number;
    }
    assert_eq!(last, 100);
}

#[test]
fn removed_pin_leaves_no_object() {
    needs!(Feature::ElementIterator);
    let lab = Lab::new();
    let_all_search();
    let map = create(&lab, "hash", "u32", "u64");
    let id = map_id(Path::new(&map));
    let pin = format!("{map}_text");
    assert_eq!(stdout_of(&mut lab.map(["expose", &map, &pin])), "");
    let link = bpftool(&["-j", "link", "show", "pinned", &pin]);
    let link: serde_json::Value = serde_json::from_str(&link).unwrap();
    let (program, link) = (link["prog_id"].to_string(), link["id"].to_string());
    let shown: serde_json::Value =
        serde_json::from_str(&bpftool(&["-j", "prog", "show", "id", &program])).unwrap();
    assert_eq!(shown["btf_id"], serde_json::Value::Null);
    let constants = shown["map_ids"][0].as_u64().unwrap() as u32;
    std::fs::remove_file(&map).unwrap();
    assert!(map_exists(id), "the pin holds it");
    std::fs::remove_file(&pin).unwrap();
    eventually("the maps are gone", || !map_exists(id) && !map_exists(constants));
    for (kind, id) in [("prog", program), ("link", link)] {
        eventually("it is gone", || {
            run(Command::new("bpftool").args([kind, "show", "id", &id])).status != 0
        });
    }
}

#[test]
fn killed_expose_leaves_a_whole_pin_or_none() {
    needs!(Feature::ElementIterator);
    let lab = Lab::new();
    let map = create(&lab, "array", "u32", "u64");
    let pin = PathBuf::from(format!("{map}_text"));
    let files = lab.files();
    let seen = std::cell::Cell::new((0, 0));
    kill_at_each_call(
        || lab.map(["expose", "--mode", "0400", &map, pin.to_str().unwrap()]),
        |at| {
            let (none, one) = seen.get();
            if pin.exists() {
                assert_eq!(pin.metadata().unwrap().permissions().mode() & 0o7777, 0o400, "{at}");
                std::fs::remove_file(&pin).unwrap();
                seen.set((none, one + 1));
            } else {
                seen.set((none + 1, one));
            }
            assert_eq!(lab.files(), files, "{at}");
        },
    );
    let (none, one) = seen.get();
    assert!(none > 0 && one > 0, "{none} {one}");
    eventually("no link stays", || !bpftool(&["link", "show"]).contains("bpf_map_elem"));
}

#[test]
fn maps_that_cannot_be_exposed_are_refused_with_the_reason() {
    let lab = Lab::new();
    let out = format!("{BPFFS}/out");
    for (map_type, key, what) in [
        (
            "lpm_trie",
            "lpm{ip4}",
            "an lpm_trie: the kernel does not iterate over its entries (dump prints them)",
        ),
        (
            "queue",
            "",
            "a queue: the kernel does not iterate over its entries (peek prints its next value)",
        ),
    ] {
        let name = unique("m");
        let pin = format!("{BPFFS}/{name}");
        let key = if key.is_empty() { String::new() } else { format!(",key={key}") };
        let spec = format!("{name}={map_type}{key},value=u64,entries=4");
        assert_eq!(stdout_of(&mut lab.map(["create", &spec, "--pin", &pin])), "");
        let line = format!("bpf-map: {pin}: expose: {what}");
        fails(&mut lab.map(["expose", &pin, &out]), 2, &line);
    }
    let map = create(&lab, "array", "u32", "hex[16]");
    let files = lab.files();
    let cannot = "cannot be printed by a program in the kernel";
    let others = "(--fields selects other fields)";
    for (options, cause) in [
        (
            &["--value", "struct{a: u64, b: f64}"][..],
            format!("expose: b: floating-point numbers {cannot} {others}"),
        ),
        (
            &["--value", "struct{a: u64, b: lpm{ip4}}"],
            format!("expose: b: prefixes {cannot} {others}"),
        ),
        (&["--value", "u128"], format!("expose: value: integers of 128 bits {cannot} {others}")),
        (
            &["--value", "u64[2]", "--fields", "x"],
            "--fields: an array of 2 has no fields".to_owned(),
        ),
        (&["--per-cpu"], "--per-cpu: an array has one value for all CPUs".to_owned()),
    ] {
        let words = [&["expose", &map, &out][..], options].concat();
        fails(&mut lab.map(words), 2, &format!("bpf-map: {map}: {cause}"));
        assert_eq!(lab.files(), files);
    }
    let readable = lab.reachable("bpf-map");
    std::fs::set_permissions(&map, PermissionsExt::from_mode(0o644)).unwrap();
    let_all_search();
    let words = ["expose", "--key", "u32", "--value", "hex[16]", &map, &out];
    let nobody = wrapped(&NOBODY, &lab.program(&readable, words));
    let line = format!("bpf-map: {map}: expose: CAP_BPF and CAP_PERFMON are needed");
    fails(&mut { nobody }, 2, &line);
    assert_eq!(lab.files(), files);
}

#[test]
fn spin_lock_is_refused_unless_one_number_is_selected() {
    needs!(Feature::ElementIterator);
    let lab = Lab::new();
    let_all_search();
    let directory = format!("{BPFFS}/g");
    std::fs::create_dir(&directory).unwrap();
    bpftool(&[
        "prog",
        "load",
        &fixture("guarded.bpf.o"),
        &format!("{BPFFS}/p"),
        "pinmaps",
        &directory,
    ]);
    let (mut refused, mut numbers) = (0, 0);
    for entry in std::fs::read_dir(&directory).unwrap() {
        let map = entry.unwrap().path();
        let map = map.to_str().unwrap();
        let pin = format!("{BPFFS}/out");
        let done = run(&mut lab.map(["expose", map, &pin]));
        if done.status == 0 || !done.stderr.contains("spin lock") {
            let _ = std::fs::remove_file(&pin);
            continue;
        }
        refused += 1;
        let line = format!(
            "bpf-map: {map}: expose: values have a spin lock, which a program that prints them cannot take \
             (--fields with one aligned number is possible)\n"
        );
        assert_eq!((done.status, done.stderr), (2, line));
        let columns = stdout_of(&mut lab.map(["dump", "--csv", map]));
        let columns: Vec<&str> = columns.lines().next().unwrap().split(',').skip(1).collect();
        let accepted = columns.iter().filter(|field| {
            let words = ["expose", "--fields", field, map, &pin];
            let is_accepted = run(&mut lab.map(words)).status == 0;
            if is_accepted {
                std::fs::remove_file(&pin).unwrap();
                compare(&lab, map, &["--fields", field]);
            }
            is_accepted
        });
        numbers += accepted.count();
    }
    assert!(refused > 0 && numbers > 0, "{refused} {numbers}");
}

#[test]
fn key_with_padding_is_warned_of_once() {
    needs!(Feature::ElementIterator);
    let lab = Lab::new();
    let_all_search();
    let map = create(&lab, "hash", "hex[16]", "u64");
    let layout = ["--key", "struct{a: u64, b: u32}", "--value", "u64"];
    for key in ["hex:01000000000000000200000000000000", "hex:01000000000000000200000001000000"] {
        assert_eq!(stdout_of(&mut lab.map(["set", &map, key, "7"])), "");
    }
    let pin = format!("{map}_text");
    let done = run(&mut lab.map([&["expose", &map, &pin][..], &layout].concat()));
    let warning = format!(
        "bpf-map: warning: {map}: keys have padding, which is not printed: two entries may look alike\n"
    );
    assert_eq!((done.status, done.stdout, done.stderr), (0, String::new(), warning));
    assert_eq!(unprivileged(&["cat", &pin]), "a=1 b=2\t7\na=1 b=2\t7\n");
}

#[test]
fn kernel_that_refuses_element_iterators_is_reported() {
    let lab = Lab::new();
    let map = create(&lab, "array", "u32", "u64");
    let files = lab.files();
    let done = run(&mut lab.map(["expose", &map, &format!("{map}_text")]));
    let line = format!(
        "bpf-map: {map}: expose: the kernel refuses to load such an iterator, as hardened kernels do\n"
    );
    match done.status {
        0 => assert_eq!(lab.files().len(), files.len() + 1),
        _ => assert_eq!((done.status, done.stderr, lab.files()), (2, line, files)),
    }
}
