//! The source of a map's layout, and operations that are refused if it is a guess.

use crate::common::fds::{id_of, new_struct_ops};
use crate::common::*;
use serde_json::Value;
use std::process::Command;

#[test]
fn struct_ops_value_has_the_type_of_the_kernels_structure() {
    let lab = Lab::new();
    let map = new_struct_ops("bpf_struct_ops_tcp_congestion_ops").expect("TCP in this kernel");
    let reference = format!("id:{}", id_of(&map));
    let show = stdout_of(&mut lab.map(["show", "--json", &reference]));
    let show: Value = serde_json::from_str(&show).unwrap();
    let layout = show["layout"].as_str().unwrap();
    // The kernel moved the state into a struct of its own, `common`, in Linux 6.9.
    let starts = ["u32 -> struct{common: struct{refcnt: ", "u32 -> struct{refcnt: "];
    assert!(starts.iter().any(|start| layout.starts_with(start)), "{layout}");
    assert!(layout.contains(", name: char[16], "), "{layout}");
    // As bpftool prints it: the same members, and the state by its name.
    let ours = stdout_of(&mut lab.map(["get", "--json", &reference, "0"]));
    let ours: Value = serde_json::from_str(&ours).unwrap();
    let state = ours.get("common").unwrap_or(&ours);
    assert_eq!(state["state"], "BPF_STRUCT_OPS_STATE_INIT");
    let theirs = bpftool(&["-j", "map", "dump", "id", &reference[3..]]);
    let theirs: Value = serde_json::from_str(&theirs).unwrap();
    let value = &theirs[0]["formatted"]["value"];
    let names = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours["data"]), names(&value["data"]), "{theirs}");
}

/// The maps of types.bpf.o, pinned, readable and writable for all.
fn typed(lab: &Lab) {
    std::fs::create_dir("/sys/fs/bpf/maps").unwrap();
    let object = fixture("types.bpf.o");
    let words = ["prog", "loadall", &object, "/sys/fs/bpf/progs", "type", "tc", "pinmaps"];
    bpftool(&[&words[..], &["/sys/fs/bpf/maps"]].concat());
    for pin in std::fs::read_dir("/sys/fs/bpf/maps").unwrap() {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(pin.unwrap().path(), mode).unwrap();
    }
    stdout_of(&mut lab.map(["set", &pin("t_enum"), "PASS", "REDIRECT"]));
}

fn pin(name: &str) -> String {
    format!("/sys/fs/bpf/maps/{name}")
}

/// bpf-map as a user that may not read BTF.
fn nobody(lab: &Lab, words: &[&str]) -> Command {
    let program = lab.reachable("bpf-map");
    lab.program(NOBODY[0], [&NOBODY[1..], &[program.as_str()], words].concat())
}

fn unknown(what: &str) -> String {
    format!(
        "the type of the {what} is not known (its BTF needs CAP_SYS_ADMIN): \
         give --{what} LAYOUT or hex:BYTES"
    )
}

#[test]
fn text_is_refused_if_btf_cannot_be_read() {
    let lab = Lab::new();
    typed(&lab);
    let map = &pin("t_enum");
    for (words, part, text) in [
        (&["get", map, "1"][..], "key", "1"),
        (&["get", map, "--json", "1"], "key", "1"),
        (&["set", map, "1", "7"], "key", "1"),
        (&["set", map, "hex:01000000", "7"], "value", "7"),
        (&["set", map, "--key", "u32", "1", "7"], "value", "7"),
        (&["add", map, "hex:01000000", "1"], "value", "1"),
        (&["del", map, "1"], "key", "1"),
        (&["watch", map, "1", "--count", "1"], "key", "1"),
    ] {
        let line = format!("bpf-map: {}: {part} {text}: {}", words[1], unknown(part));
        fails(&mut nobody(&lab, words), 2, &line);
    }
    for (file, options, part, line) in [
        ("{\"key\":1,\"value\":1}\n", &[][..], "key", 1),
        ("{\"key\":\"hex:01000000\",\"value\":1}\n", &[], "value", 1),
        ("key,value\n1,1\n", &["--csv"], "key", 2),
    ] {
        let path = lab.path("file");
        std::fs::write(&path, file).unwrap();
        let words = [&["load", map, path.to_str().unwrap()][..], options].concat();
        let place = format!("{}: line {line}", path.display());
        let message = format!("bpf-map: {map}: {place}: {part}: {}", unknown(part));
        fails(&mut nobody(&lab, &words), 2, &message);
    }
    let path = lab.path("batch");
    std::fs::write(&path, format!("get {map} 1\nset {map} 1 7\n")).unwrap();
    let run = run(&mut nobody(&lab, &["batch", "--keep-going", path.to_str().unwrap()]));
    let message = |line| format!("bpf-map: line {line}: {map}: key 1: {}\n", unknown("key"));
    assert_eq!((run.status, run.stderr), (2, message(1) + &message(2)));
    assert_eq!(stdout_of(&mut lab.map(["dump", map])), "PASS\tREDIRECT\n");
}

#[test]
fn hex_and_given_types_work_if_btf_cannot_be_read() {
    let lab = Lab::new();
    typed(&lab);
    let map = &pin("t_enum");
    let typed = ["--key", "u32", "--value", "u32"];
    let words = [&["get", map, "1"][..], &typed].concat();
    assert_eq!(stdout_of(&mut nobody(&lab, &words)), "7\n");
    // Nothing is printed by a guess.
    assert_eq!(stdout_of(&mut nobody(&lab, &["get", map, "--value=u32", "hex:01000000"])), "7\n");
    assert_eq!(stdout_of(&mut nobody(&lab, &["keys", map, "--key=u32"])), "1\n");
    for words in [&["get", map, "hex:01000000"][..], &["keys", map], &["dump", map, "--key=u32"]] {
        let run = run(&mut nobody(&lab, words));
        assert!(run.stderr.starts_with("bpf-map: warning: "), "{words:?} {run:?}");
        assert!(run.stderr.contains("the layout is a guess"), "{words:?} {run:?}");
    }
    stdout_of(&mut nobody(&lab, &["set", map, "hex:00000000", "hex:01000000"]));
    let path = lab.path("file");
    std::fs::write(&path, "{\"key\":\"hex:07000000\",\"value\":\"hex:00000000\"}\n").unwrap();
    stdout_of(&mut nobody(&lab, &["load", map, path.to_str().unwrap()]));
    let dump = stdout_of(&mut lab.map(["dump", map, "--sort", "key"]));
    assert_eq!(dump, "DROP\tPASS\nPASS\tREDIRECT\nREDIRECT\tDROP\n");
    // The index of an array is known without BTF.
    let run = run(&mut nobody(&lab, &["get", &pin("t_locked"), "0"]));
    assert_eq!((run.status, run.stdout.as_str()), (0, "0\n"), "{run:?}");
}

#[test]
fn hex_values_of_every_cpu_are_written_without_btf() {
    let lab = Lab::new();
    let (object, maps) = (fixture("percpu.bpf.o"), format!("{BPFFS}/maps"));
    let words = ["prog", "loadall", &object, "/sys/fs/bpf/p", "type", "tc", "pinmaps", &maps];
    bpftool(&words);
    let hits = &format!("{maps}/cpu_hits");
    stdout_of(Command::new("chmod").args(["777", BPFFS, &maps, hits]));
    let count = stdout_of(&mut lab.map(["get", "--per-cpu", hits, "0"])).lines().count();
    let size: usize = {
        let json = stdout_of(&mut lab.map(["show", "--json", hits]));
        serde_json::from_str::<Value>(&json).unwrap()["value_size"].as_u64().unwrap() as usize
    };
    let value = |byte: &str| format!("\"hex:{byte}{}\"", "00".repeat(size - 1));
    let all = |byte: &str| format!("[{}]", vec![value(byte); count].join(","));
    let values = format!("{{\"values\":{}}}", all("01"));
    assert_eq!(stdout_of(&mut nobody(&lab, &["set", hits, "0", &values])), "");
    assert_eq!(stdout_of(&mut lab.map(["get", hits, "0"])), format!("{count}\n"));
    let file = lab.path("file");
    std::fs::write(&file, format!("{{\"key\":0,\"values\":{}}}\n", all("02"))).unwrap();
    assert_eq!(stdout_of(&mut nobody(&lab, &["load", hits, file.to_str().unwrap()])), "");
    assert_eq!(stdout_of(&mut lab.map(["get", hits, "0"])), format!("{}\n", 2 * count));
    // Text is still refused.
    let values = format!("{{\"values\":[1{}]}}", ",1".repeat(count - 1));
    let line = format!("bpf-map: {hits}: value {values}: {}", unknown("value"));
    fails(&mut nobody(&lab, &["set", hits, "0", &values]), 2, &line);
}

#[test]
fn reading_a_guess_warns_once() {
    let lab = Lab::new();
    typed(&lab);
    let map = &pin("t_enum");
    let warning = format!(
        "bpf-map: warning: {map}: the layout is a guess from sizes \
         (its BTF needs CAP_SYS_ADMIN)\n"
    );
    let path = lab.path("batch");
    std::fs::write(&path, format!("dump {map}\nget {map} hex:01000000\nkeys {map}\n")).unwrap();
    for (words, stdout) in [
        (&["dump", map][..], "1\t7\n"),
        (&["keys", map], "1\n"),
        (&["get", map, "hex:01000000"], "7\n"),
        (&["batch", path.to_str().unwrap()], "1\t7\n7\n1\n"),
    ] {
        let want = Run { status: 0, stdout: stdout.into(), stderr: warning.clone() };
        assert_eq!(run(&mut nobody(&lab, words)), want, "{words:?}");
    }
    assert_eq!(stdout_of(&mut nobody(&lab, &["count", map])), "1\n");
}

#[test]
fn layout_source_is_in_show_and_list() {
    let lab = Lab::new();
    typed(&lab);
    let source = |json: &str| -> Value {
        serde_json::from_str::<Value>(json).unwrap()["layout_source"].clone()
    };
    let map = &pin("t_enum");
    let show = ["show", "--json", map];
    assert_eq!(source(&stdout_of(&mut lab.map(show))), "btf");
    assert_eq!(source(&stdout_of(&mut nobody(&lab, &show))), "guess");
    let text = stdout_of(&mut nobody(&lab, &["show", map]));
    assert!(text.contains("\nlayout_source: guess\n"), "{text}");
    let given = ["show", "--json", map, "--key", "u32", "--value", "u32"];
    assert_eq!(source(&stdout_of(&mut nobody(&lab, &given))), "option");
    let half = ["show", "--json", map, "--value", "u32"];
    assert_eq!(source(&stdout_of(&mut nobody(&lab, &half))), "guess");
    assert_eq!(
        source(&stdout_of(&mut nobody(&lab, &["show", "--json", &pin("t_untyped")]))),
        "size"
    );
    let mut inherited = lab.exec(["--pin", map, "bpf-map", "show", "--json", "t_enum"]);
    assert_eq!(source(&stdout_of(&mut inherited)), "environment");
    // A list marks it too; a layout that is a guess is not printed there.
    let rows: Vec<Value> =
        serde_json::from_str(&stdout_of(&mut nobody(&lab, &["list", "--json"]))).unwrap();
    let row = rows.iter().find(|row| row["name"] == "t_enum").unwrap();
    assert_eq!((&row["layout"], &row["layout_source"]), (&Value::Null, &"guess".into()));
    let table = stdout_of(&mut nobody(&lab, &["list"]));
    let line = table.lines().find(|line| line.starts_with("t_enum ")).unwrap();
    assert!(line.ends_with("(BTF cannot be read)"), "{line}");
    let dry_run = stdout_of(&mut lab.exec(["--pin", map, "--dry-run", "--json"]));
    let rows: Vec<Value> = serde_json::from_str(&dry_run).unwrap();
    assert_eq!(rows[0]["layout_source"], "btf");
}
