//! Maps that have entries already: `--replace`, `--if-absent` and full maps.

use super::*;
use crate::common::*;
use std::fmt::Write as _;

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
                    ": standard input: line 10 (4{of} entries were written)\n"
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
    assert!(run.stderr.ends_with(": line 3 (2 of 3 entries were written)\n"), "{}", run.stderr);
    // An array's end is known beforehand.
    let array = lab.array("a", 4);
    let error =
        "bpf-map: /sys/fs/bpf/a: standard input: line 8: key: 4 is past the end of an array of 4";
    fails(&mut load(&lab, "", &array, lines(1, 4)), 2, error);
    assert_eq!(held(&array), [(0, 0), (1, 0), (2, 0), (3, 0)]);
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
fn if_absent_option_keeps_existing_entries() {
    let lab = Lab::new();
    let pin = lab.hash("h");
    let input = "{\"key\":1,\"value\":1}\n{\"key\":2,\"value\":2}\n{\"key\":2,\"value\":3}\n";
    let error = "bpf-map: /sys/fs/bpf/h: 2 of 3 keys exist already";
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

fn as_os(bytes: &[u8]) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(bytes.to_vec())
}
