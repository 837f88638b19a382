//! Maps out of object files, beside what libbpf's loader makes of the same files.

use crate::common::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Pins everything that is handed over below `$1`, by name; as libbpf does, without dots.
const PIN_ALL: &str = r#"
    mkdir "$1"
    for fd in $(env | sed -n 's/^BPF_MAP\([0-9]*\)=.*/\1/p'); do
        eval "name=\$BPF_MAP${fd}_NAME number=\$BPF_MAP$fd"
        bpf-map pin fd:$number "$1/$(printf %s "$name" | tr . _)" || exit
    done
"#;

/// Creates the maps of an object, with what `options` say, and pins all at `directory`.
fn pin_all(lab: &Lab, options: &[&str], directory: &str) {
    let words = [options, &["--", "sh", "-c", PIN_ALL, "sh", directory]].concat();
    assert_eq!(
        run(&mut lab.exec(words)),
        Run { status: 0, stdout: String::new(), stderr: String::new() }
    );
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Describes each pin in a directory, without the members that differ between two equal maps.
fn described(lab: &Lab, directory: &str) -> BTreeMap<PathBuf, Value> {
    let describe = |pin: PathBuf| {
        let path = pin.to_str().unwrap();
        let mut shown = json(&bpftool(&["-j", "map", "show", "pinned", path]));
        let members = shown.as_object_mut().unwrap();
        for member in ["id", "pids", "owner_prog_type", "owner_jited"] {
            members.remove(member);
        }
        let typed = members.remove("btf_id").is_some();
        members.insert("typed".into(), typed.into());
        let holds_maps = members["type"].as_str().unwrap().ends_with("_of_maps");
        // Contents with fields by name; some types have none that can be read.
        let dump =
            run(std::process::Command::new("bpftool").args(["-j", "map", "dump", "pinned", path]));
        if dump.status == 0 && !holds_maps {
            members.insert("contents".into(), json(&dump.stdout));
        }
        let layout = json(&stdout_of(&mut lab.map(["show", "--json", path])));
        members.insert("layout".into(), layout["layout"].clone());
        if holds_maps {
            members.insert("count".into(), layout["entries"].clone());
        }
        (pin.file_name().unwrap().into(), shown)
    };
    std::fs::read_dir(directory).unwrap().map(|entry| describe(entry.unwrap().path())).collect()
}

#[test]
fn maps_of_an_object_equal_those_that_bpftool_loads() {
    for (object, count) in [("declared", 19), ("types", 15), ("tail", 2)] {
        let lab = Lab::new();
        let file = fixture(&format!("{object}.bpf.o"));
        std::fs::create_dir(format!("{BPFFS}/programs")).unwrap();
        let [theirs, ours] = ["theirs", "ours"].map(|name| format!("{BPFFS}/{name}"));
        bpftool(&[
            "prog",
            "loadall",
            &file,
            &format!("{BPFFS}/programs"),
            "type",
            "tc",
            "pinmaps",
            &theirs,
        ]);
        pin_all(&lab, &["--object", &file], &ours);
        let (mut theirs, ours) = (described(&lab, &theirs), described(&lab, &ours));
        assert!(ours.len() >= count, "{object}: {}", ours.len());
        // bpftool 7.1 leaves its types out.
        if let Some(bloom) = theirs.get_mut(Path::new("seen")) {
            for member in ["typed", "layout"] {
                bloom[member] = ours[Path::new("seen")][member].clone();
            }
        }
        assert_eq!(ours, theirs, "{object}");
    }
}

#[test]
fn linked_object_gives_the_same_maps() {
    let lab = Lab::new();
    let linked = lab.path("declared.linked.o");
    let linked = linked.to_str().unwrap();
    bpftool(&["gen", "object", linked, &fixture("declared.bpf.o")]);
    let [one, two] = ["one", "two"].map(|name| format!("{BPFFS}/{name}"));
    pin_all(&lab, &["--object", &fixture("declared.bpf.o")], &one);
    pin_all(&lab, &["--object", linked], &two);
    assert_eq!(described(&lab, &two), described(&lab, &one));
}

#[test]
fn names_after_the_file_select_maps_in_their_order() {
    let lab = Lab::new();
    let file = fixture("declared.bpf.o");
    for (names, want) in [
        ("#flows", &["flows"][..]),
        ("#verdicts,flows,flows", &["verdicts", "flows"]),
        // A section, and the kernel's name of its map.
        ("#.bss,declared.rodata", &["declared.bss", "declared.rodata"]),
        // The maps in its slots exist without being handed over.
        ("#tables", &["tables"]),
    ] {
        let object = format!("{file}{names}");
        let list = stdout_of(&mut lab.exec(["--object", &object, "--dry-run", "--json"]));
        let found: Vec<_> =
            json(&list).as_array().unwrap().iter().map(|map| map["name"].clone()).collect();
        assert_eq!(found, want, "{names}");
    }
    let named = format!("m={file}#flows");
    let environment = stdout_of(&mut lab.exec(["--object", &named, "--", "env"]));
    let want = [
        "BPF_NUM_MAPS=1",
        "BPF_MAP0=64",
        "BPF_MAP0_NAME=m",
        "BPF_MAP0_LAYOUT=struct{source: be32, destination: be32, port: be16, protocol: u8, \
         pad: u8} -> struct{packets: u64, bytes: u64}",
    ];
    assert_eq!(contract(&environment), want);
    for (object, line) in [
        (format!("{file}#no"), format!("bpf-exec: {file}: read object: it declares no map \"no\"")),
        (format!("{file}#"), format!("bpf-exec: --object {file}#: an empty name after #")),
        (
            format!("m={file}"),
            format!("bpf-exec: m: assign name: {file}: 19 maps found, NAME= needs exactly one"),
        ),
    ] {
        fails(&mut lab.exec(["--object", &object, "--", "touch", "ran"]), 125, &line);
    }
    assert!(!lab.path("ran").exists());
}

#[test]
fn variables_are_set_before_they_are_frozen() {
    let lab = Lab::new();
    let file = fixture("declared.bpf.o");
    let script =
        "for map in declared.rodata declared.data declared.bss; do bpf-map dump $map; done";
    let words = [
        "--object",
        &file,
        "--var",
        "config.limit=7",
        "--var",
        "config.otherwise=REDIRECT",
        "--var",
        "mode=slow",
        "--var",
        "hits=5",
        "--var=level=-8",
        "--",
        "sh",
        "-c",
        script,
    ];
    let want = "0\tenabled=true mode=slow config.limit=7 config.otherwise=REDIRECT\n\
                0\tlevel=-8\n0\thits=5 last=0\n";
    assert_eq!(stdout_of(&mut lab.exec(words)), want);
    for (variable, line) in [
        ("none=1", format!("{file}: none: set variable: no variable \"none\"")),
        ("=1", format!("{file}: \"\": set variable: no variable \"\"")),
        (
            "level=x",
            format!("{file}: level: set variable: expected a whole number (i32), found \"x\""),
        ),
        (
            "config.no=1",
            format!("{file}: config.no: set variable: no field \"no\"; fields: limit, otherwise"),
        ),
        ("level", "--var level: NAME=VALUE is needed".into()),
    ] {
        let words = ["--object", &file, "--var", variable, "--", "touch", "ran"];
        let run = run(&mut lab.exec(words));
        assert_eq!((run.status, run.stderr), (125, format!("bpf-exec: {line}\n")), "{variable}");
    }
    let selected = format!("{file}#declared.bss");
    let words = ["--object", &selected, "--var", "level=1", "--", "touch", "ran"];
    let cause = "its section \".data\" is not selected after #";
    fails(&mut lab.exec(words), 125, &format!("bpf-exec: {file}: level: set variable: {cause}"));
    let words = ["--object", &file, "--var=hits=1", "--var=hits=2", "--", "touch", "ran"];
    let line = format!("bpf-exec: {file}: hits: set variable: given twice");
    fails(&mut lab.exec(words), 125, &line);
    let words = ["--object", &selected, "--var=hits=5", "bpf-map", "dump", "declared.bss"];
    assert_eq!(stdout_of(&mut lab.exec(words)), "0\thits=5 last=0\n");
    let words = ["--var", "level=1", "--object", &file, "--", "touch", "ran"];
    fails(&mut lab.exec(words), 125, "bpf-exec: --var level=1: no --object before it");
    assert!(!lab.path("ran").exists());
}

#[test]
fn legacy_maps_have_their_declared_ids_as_numbers() {
    let lab = Lab::new();
    let words = ["--object", &fixture("legacy.bpf.o"), "--", "env"];
    let environment = stdout_of(&mut lab.exec(words));
    let want = [
        "BPF_NUM_MAPS=4",
        "BPF_MAP0=67",
        "BPF_MAP0_NAME=outer",
        "BPF_MAP3=65",
        "BPF_MAP3_NAME=own",
        "BPF_MAP7=64",
        "BPF_MAP7_NAME=shared",
        "BPF_MAP7_LAYOUT=u32 -> struct{left: u32, right: u32}",
        "BPF_MAP42=66",
        "BPF_MAP42_NAME=inner",
    ];
    assert_eq!(contract(&environment), want);
    let words = ["--object", &fixture("sections.bpf.o"), "--dry-run", "--json"];
    let list = json(&stdout_of(&mut lab.exec(words)));
    let want = [
        ("hashed", "hash", 4, 8, 16),
        ("listed", "array", 4, 4, 2),
        ("tcp_event", "array", 4, 16, 3),
    ];
    for (map, (name, map_type, key, value, entries)) in list.as_array().unwrap().iter().zip(want) {
        let found =
            (&map["name"], &map["type"], &map["key_size"], &map["value_size"], &map["max_entries"]);
        assert_eq!(
            found,
            (&name.into(), &map_type.into(), &key.into(), &value.into(), &entries.into())
        );
    }
}

#[test]
fn files_that_are_not_objects_are_refused_with_one_line() {
    let lab = Lab::new();
    let object = std::fs::read(fixture("declared.bpf.o")).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(lab.path(name), bytes).unwrap();
    };
    let changed = |at: usize, byte: u8| {
        let mut bytes = object.clone();
        bytes[at] = byte;
        bytes
    };
    write("text", b"#!/bin/sh\n");
    write("empty", b"");
    write("narrow", &changed(4, 1));
    write("big", &changed(5, 2));
    write("foreign", &changed(18, 62));
    nix::unistd::mkfifo(&lab.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let before = lab.files();
    for (name, cause) in [
        ("text", "not an ELF file"),
        ("empty", "not an ELF file"),
        ("narrow", "a 32-bit ELF file: BPF objects have 64 bits"),
        ("big", "compiled for big-endian machines, unlike this machine"),
        ("foreign", "an ELF file of another machine (62), not of BPF"),
        ("fifo", "not a regular file"),
        (".", "not a regular file"),
        ("missing", "no such file or directory"),
    ] {
        let line = format!("bpf-exec: {name}: read object: {cause}");
        fails(&mut lab.exec(["--object", name, "--", "touch", "ran"]), 125, &line);
    }
    for len in (0..object.len()).step_by(64) {
        write("cut", &object[..len]);
        let run = run(&mut lab.exec(["--object", "cut", "--", "touch", "ran"]));
        assert_eq!((run.status, run.stderr.lines().count()), (125, 1), "{len}: {}", run.stderr);
    }
    std::fs::remove_file(lab.path("cut")).unwrap();
    assert_eq!(lab.files(), before);
}

#[test]
fn awkward_objects_give_the_maps_that_are_possible() {
    let lab = Lab::new();
    let file = fixture("awkward.bpf.o");
    // External variables and a section of an unknown type do not prevent a map and its types.
    let object = format!("{file}#plain");
    let script = "bpf-map show plain | grep -e ^btf_id -e ^layout -e ^value: | cut -d: -f1; env";
    let run = run(&mut lab.exec(["--object", &object, "--", "sh", "-c", script]));
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    assert!(run.stdout.starts_with("btf_id\nlayout_source\nvalue\n"), "{}", run.stdout);
    assert_eq!(variable(&run.stdout, "BPF_MAP0_LAYOUT"), Some("u32 -> u64"));
    let name = format!("a_name_of_300_bytes_{}", "x".repeat(280));
    let object = format!("{file}#{name}");
    let line = format!("bpf-exec: {BPFFS}/{name}: open pin: file name too long");
    fails(&mut lab.exec(["--object", &object, "--", "touch", "ran"]), 125, &line);
    // The type of its records is not one of values.
    let object = format!("{file}#records");
    let list = stdout_of(&mut lab.exec(["--object", &object, "--dry-run", "--json"]));
    assert_eq!(
        (&json(&list)[0]["type"], &json(&list)[0]["value_size"]),
        (&"ringbuf".into(), &0.into())
    );
    // Fewer file descriptors than maps.
    let many = fixture("many.bpf.o");
    let command = lab.exec(["--object", &many, "--", "touch", "ran"]);
    let few = wrapped(&["prlimit", "--nofile=40"], &command);
    let run = crate::common::run(&mut { few });
    assert_eq!((run.status, run.stderr.lines().count()), (125, 1), "{}", run.stderr);
    assert!(run.stderr.ends_with(": create map: too many open files\n"), "{}", run.stderr);
    assert!(!lab.path("ran").exists());
}
