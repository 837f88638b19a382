//! Values with a `bpf_spin_lock` are copied under it by every command; fields that belong to the kernel
//! are neither required nor written.

use crate::common::child::Start;
use crate::common::{BPFFS, Lab, NOBODY, bpftool, fails, fixture, run, stdout_of, wrapped};
use bpf_inherit::Map;
use serde_json::Value;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

/// The maps of guarded.bpf.o: the path of one of them.
fn pin(name: &str) -> String {
    format!("{BPFFS}/maps/{name}")
}

fn lab() -> Lab {
    let lab = Lab::new();
    let (object, programs, maps) =
        (fixture("guarded.bpf.o"), format!("{BPFFS}/programs"), format!("{BPFFS}/maps"));
    bpftool(&["prog", "loadall", &object, &programs, "pinmaps", &maps]);
    lab
}

/// A value all of whose words are `number`.
fn value(number: u64) -> String {
    format!("id=1 words={:?}", [number; 64]).replace(", ", ",")
}

/// The bpf(2) calls on elements that a command makes, as strace prints them. The command succeeds.
#[track_caller]
fn calls(lab: &Lab, command: &Command) -> Vec<String> {
    calls_from(&Start::default(), lab, command)
}

/// Likewise, of a command that starts so.
fn calls_from(start: &Start, lab: &Lab, command: &Command) -> Vec<String> {
    let trace = lab.path("trace");
    let file = trace.to_str().expect("UTF-8");
    let strace = ["strace", "-f", "-e", "trace=bpf", "-e", "signal=none", "-o", file];
    let run = run(start.apply(&mut wrapped(&strace, command)));
    assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{command:?}");
    let text = std::fs::read_to_string(&trace).expect("strace's output");
    let on_values =
        |line: &&str| ["BPF_MAP_LOOKUP", "BPF_MAP_UPDATE"].iter().any(|name| line.contains(name));
    text.lines().filter(on_values).map(String::from).collect()
}

/// Whether a call asks for the lock: BPF_F_LOCK is 4, and some versions of strace have no name for
/// it beside BPF_NOEXIST (1) or BPF_EXIST (2).
fn locks(call: &str) -> bool {
    call.contains("BPF_F_LOCK") || call.contains("flags=0x5") || call.contains("flags=0x6")
}

#[test]
fn every_read_and_write_takes_the_lock() {
    let lab = lab();
    let (slots, table) = (pin("slots"), pin("table"));
    stdout_of(&mut lab.map(["set", &slots, "0", &value(7)]));
    for (name, map) in [("slots.json", &slots), ("table.json", &table)] {
        let dump = stdout_of(&mut lab.map(["dump", "--jsonl", &slots]));
        std::fs::write(lab.path(name), dump).expect("a file");
        stdout_of(&mut lab.map(["load", map, name]));
    }
    // load --replace writes what differs.
    stdout_of(&mut lab.map(["set", &table, "1", &value(3)]));
    let value = value(9);
    std::fs::write(lab.path("batch"), format!("get {slots} 0\nset {table} 0 '{value}'\n"))
        .expect("a file");
    for (map, words, name) in [
        (&slots, &["get", &slots, "0"][..], "LOOKUP_ELEM"),
        (&slots, &["get", &slots, "0", ".words[3]"], "LOOKUP_ELEM"),
        (&slots, &["set", &slots, "0", &value], "UPDATE_ELEM"),
        (&table, &["set", "--if-absent", &table, "5", &value], "UPDATE_ELEM"),
        (&table, &["set", "--if-present", &table, "5", &value], "UPDATE_ELEM"),
        (&slots, &["dump", &slots], "LOOKUP_BATCH"),
        (&table, &["dump", "--csv", &table], "LOOKUP_BATCH"),
        (&table, &["watch", "--count", "1", &table], "LOOKUP_BATCH"),
        (&table, &["watch", "--count", "1", &table, "0"], "LOOKUP_ELEM"),
        (&slots, &["load", &slots, "slots.json"], "UPDATE_BATCH"),
        (&table, &["load", "--replace", &table, "table.json"], "UPDATE_BATCH"),
        (&table, &["batch", "batch"], "UPDATE_ELEM"),
        (&slots, &["clear", &slots], "UPDATE_BATCH"),
        (&table, &["clear", &table], "LOOKUP_AND_DELETE_BATCH"),
    ] {
        let calls = calls(&lab, &lab.map(words));
        assert!(calls.iter().any(|call| call.contains(name)), "{map} {words:?}: {calls:#?}");
        assert!(calls.iter().all(|call| locks(call)), "{map} {words:?}: {calls:#?}");
    }
}

#[test]
fn lock_is_probed_once_and_only_with_btf() {
    let lab = lab();
    let seen = pin("seen");
    let calls_of = |words: &[&str]| calls(&lab, &lab.map(words));
    let with_btf = calls_of(&["get", &seen, "0", "1", "0"]);
    let refused = |call: &&String| call.contains("EINVAL");
    assert_eq!(with_btf.len(), 4, "{with_btf:#?}");
    assert_eq!(with_btf.iter().filter(|call| locks(call)).count(), 1, "{with_btf:#?}");
    assert_eq!(with_btf.iter().filter(refused).count(), 1, "{with_btf:#?}");
    let plain = lab.array("plain", 1);
    let without = calls_of(&["get", plain.to_str().expect("UTF-8"), "0"]);
    assert_eq!(without.len(), 1, "{without:#?}");
    assert!(!locks(&without[0]), "{without:#?}");
}

#[test]
fn lock_is_taken_without_access_to_btf() {
    let lab = lab();
    let (slots, dir) = (pin("slots"), format!("{BPFFS}/maps"));
    stdout_of(&mut lab.map(["set", &slots, "0", &value(7)]));
    stdout_of(Command::new("chmod").args(["755", &dir]));
    stdout_of(Command::new("chmod").args(["666", &slots]));
    // The trace is in a file that is root's.
    std::fs::write(lab.path("trace"), "").expect("a file");
    let map = lab.reachable("bpf-map");
    let layout = "--value=struct{id: u32, pad[4], words: u64[64]}";
    let new = value(8);
    for words in [
        &["get", "--key=u32", layout, &slots, "0", ".words[63]"][..],
        &["set", "--key=u32", layout, &slots, "0", &new],
    ] {
        let calls = calls(&lab, &wrapped(&NOBODY, &lab.program(&map, words)));
        assert!(!calls.is_empty() && calls.iter().all(|call| locks(call)), "{calls:#?}");
    }
    let first = stdout_of(&mut lab.map(["get", &slots, "0", ".words[0]"]));
    assert_eq!(first, "8\n");
}

#[test]
fn lock_is_taken_through_a_write_only_fd() {
    let lab = lab();
    let slots = pin("slots");
    let fd = crate::common::open_pin_with(slots.as_ref(), 16);
    let start = Start { given: vec![fd.as_raw_fd()], ..Start::default() };
    let calls = calls_from(&start, &lab, &lab.map(["set", "fd:3", "0", &value(3)]));
    let update = calls.last().expect("a write");
    assert!(update.contains("BPF_MAP_UPDATE_ELEM") && locks(update), "{calls:#?}");
}

/// Storage maps have no batches, by which another probe would be possible.
#[test]
fn lock_is_taken_through_a_write_only_fd_of_a_storage_map() {
    let lab = lab();
    let map = crate::common::open_pin_with(pin("sockets").as_ref(), 16);
    let (socket, _other) = UnixDatagram::pair().expect("sockets");
    let start = Start { given: vec![map.as_raw_fd(), socket.as_raw_fd()], ..Start::default() };
    let calls = calls_from(&start, &lab, &lab.map(["set", "fd:3", "4", &value(3)]));
    let update = calls.last().expect("a write");
    assert!(update.contains("BPF_MAP_UPDATE_ELEM") && locks(update), "{calls:#?}");
    let start = Start { given: vec![socket.as_raw_fd()], ..Start::default() };
    let mut get = lab.map(["get", &pin("sockets"), "3", ".words[63]"]);
    assert_eq!(stdout_of(start.apply(&mut get)), "3\n");
}

#[test]
fn take_returns_and_deletes_a_value_with_a_lock() {
    let _lab = lab();
    let map = Map::new(crate::common::open_pin(pin("table").as_ref())).expect("a map");
    let (key, mut value) = (0u32.to_ne_bytes(), vec![0; map.value_len()]);
    assert_eq!(map.update(&key, &vec![1; map.value_len()], 0), Ok(()));
    assert_eq!(map.take(&key, &mut value), Ok(true));
    assert_eq!(value.last(), Some(&1));
    assert_eq!(map.take(&key, &mut value), Ok(false));
}

/// Had the flag been taken for an answer, the read itself would fail with EINVAL.
#[test]
fn failure_to_ask_for_the_lock_is_reported() {
    let lab = lab();
    let seen = pin("seen");
    let get = lab.map(["get", &seen, "0"]);
    let trace = lab.path("trace");
    let strace = |inject: &str| {
        let options = ["strace", "-f", "-e", "trace=bpf", "-e", "signal=none", "-e", inject, "-o"];
        let words = [&options[..], &[trace.to_str().expect("UTF-8")]].concat();
        wrapped(&words, &get)
    };
    assert_eq!(stdout_of(&mut strace("trace=bpf")), "0\n");
    let text = std::fs::read_to_string(&trace).expect("strace's output");
    let asked = 1 + text.lines().position(|line| line.contains("BPF_MAP_LOOKUP")).expect("a call");
    let line = format!("bpf-map: {seen}: get: cannot allocate memory");
    fails(&mut strace(&format!("inject=bpf:error=ENOMEM:when={asked}")), 2, &line);
}

#[test]
fn freeze_of_a_map_with_kernel_fields_names_them() {
    let lab = lab();
    for name in ["slots", "special"] {
        let map = pin(name);
        let run = run(&mut lab.map(["freeze", &map]));
        if (name, run.status) == ("slots", 0) {
            // Linux before 6.2 freezes a map with a lock, but none with a timer.
            assert!(stdout_of(&mut lab.map(["show", &map])).contains("frozen: true"));
            continue;
        }
        let line = format!(
            "bpf-map: {map}: freeze: the kernel refuses to freeze a map whose values contain a lock, \
             a timer or another kernel field\n"
        );
        assert_eq!((run.status, run.stderr), (2, line));
    }
    assert_eq!(stdout_of(&mut lab.map(["freeze", &pin("seen")])), "");
}

#[test]
fn concurrent_access_reads_no_torn_value() {
    let lab = lab();
    let (slots, table) = (pin("slots"), pin("table"));
    for map in [&slots, &table] {
        stdout_of(&mut lab.map(["set", map, "0", &value(1)]));
    }
    let packet = lab.path("packet");
    std::fs::write(&packet, [0; 64]).expect("a file");
    let mut writer = Command::new("bpftool")
        .args(["prog", "run", "pinned", &format!("{BPFFS}/programs/spin"), "repeat", "4000000"])
        .arg("data_in")
        .arg(&packet)
        .stdout(Stdio::null())
        .spawn()
        .expect("bpftool");
    let whole = |object: &Value| {
        let words = object["words"].as_array().expect("words");
        assert!(words.iter().all(|word| *word == words[0]), "{object}");
    };
    // Until the writer ends, and within a bound.
    let mut rounds = 0;
    while rounds < 200 && writer.try_wait().expect("bpftool").is_none() {
        for map in [&slots, &table] {
            whole(
                &serde_json::from_str(&stdout_of(&mut lab.map(["get", "--json", map, "0"])))
                    .expect("JSON"),
            );
            let dump = stdout_of(&mut lab.map(["dump", "--json", map]));
            let dump: Vec<Value> = serde_json::from_str(&dump).expect("JSON");
            dump.iter().for_each(|element| whole(&element["value"]));
            stdout_of(&mut lab.map(["set", map, "0", &value(rounds * 1_000_000)]));
        }
        rounds += 1;
    }
    assert!(rounds > 0, "the writer ended before the first reader");
    let _ = writer.kill();
    writer.wait().expect("bpftool");
    let seen = pin("seen");
    assert_ne!(stdout_of(&mut lab.map(["get", &seen, "0"])), "0\n", "the program ran");
    assert_eq!(stdout_of(&mut lab.map(["get", &seen, "1"])), "0\n", "values found half written");
}

#[test]
fn kernel_fields_are_neither_required_nor_written() {
    let lab = lab();
    let special = pin("special");
    stdout_of(&mut lab.map(["set", &special, "0", "before=1 after=2 plain=0x3"]));
    let printed = "before=1 after=2 plain=0x3\n";
    assert_eq!(stdout_of(&mut lab.map(["get", &special, "0"])), printed);
    let json = stdout_of(&mut lab.map(["get", "--json", &special, "0"]));
    assert_eq!(json, "{\"before\":1,\"timer\":{},\"lock\":{},\"after\":2,\"plain\":\"0x3\"}\n");
    stdout_of(&mut lab.map(["set", &special, "0", json.trim_end()]));
    assert_eq!(stdout_of(&mut lab.map(["get", &special, "0"])), printed);
    assert_eq!(
        stdout_of(&mut lab.map(["dump", "--csv", &special])),
        "key,before,after,plain\n0,1,2,0x3\n"
    );
    // The kernel keeps its own bytes whatever is given, and returns zeros in their place.
    let all = "ff".repeat(40);
    stdout_of(&mut lab.map(["set", &special, "0", &format!("hex:{all}")]));
    let shown = "before=18446744073709551615 after=4294967295 plain=0xffffffffffffffff\n";
    assert_eq!(stdout_of(&mut lab.map(["get", &special, "0"])), shown);
}
