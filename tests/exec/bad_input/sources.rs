//! Names, ids, processes and specifications of new maps.

use super::*;
use crate::common::fds::*;
use crate::common::*;
use std::process::{Command, Stdio};

#[test]
fn ambiguous_name_is_refused() {
    let lab = Lab::new();
    let id = map_id(&lab.array("map", 1));
    let held = "the name contains '/', ':', '=' or a control byte";
    for (name, shown, reason) in [
        ("", "", "the name is empty"),
        ("7", "7", "the name is a number"),
        ("007", "007", "the name is a number"),
        ("a:b", "a:b", held),
        ("a\nb", "a\\nb", held),
        ("\x1b[2J", "\\x1b[2J", held),
        ("a\x7f", "a\\x7f", held),
    ] {
        for (option, value) in [
            ("pin", "/sys/fs/bpf/map".to_string()),
            ("id", id.to_string()),
            ("name", "map".into()),
            ("import", "uds".into()),
            ("pid", "1".into()),
            ("create", "array,value=4,entries=1".into()),
        ] {
            let argument = format!("--{option}={name}={value}");
            own_failure(&lab, &[argument], &format!("--{option} {shown}={value}: {reason}"));
        }
    }
    // NAME= is recognised only if no slash precedes the first `=`; the rest is not split.
    for path in ["a/b=/sys/fs/bpf/map", "./a=/sys/fs/bpf/map"] {
        own_failure(
            &lab,
            &["--pin", path],
            &format!("{path}: open pin: no such file or directory"),
        );
    }
    let message = "b=/sys/fs/bpf/map: open pin: no such file or directory";
    own_failure(&lab, &["--pin", "a=b=/sys/fs/bpf/map"], message);
    own_failure(
        &lab,
        &["--create", "a/b=array,value=4,entries=1"],
        &format!("--create a/b=array,value=4,entries=1: {held}"),
    );
    lab.array("second", 1);
    own_failure(
        &lab,
        &["--pin=hits=/sys/fs/bpf"],
        "hits: assign name: /sys/fs/bpf: 2 maps found, NAME= needs exactly one",
    );
}

#[test]
fn process_without_maps_is_an_error() {
    let lab = Lab::new();
    for pid in ["0", "-1", "abc", "", "1x", "+1", " 1", "1 ", "0x1", "2147483648"] {
        own_failure(&lab, &["--pid", pid], &format!("--pid {}: not a process id", shown(pid)));
    }
    own_failure(&lab, &["--pid=2147483647"], "process 2147483647: open: no such process");
    let mut ended = Command::new("true").spawn().unwrap();
    let pid = ended.id();
    let open = format!("/proc/{pid}/stat");
    eventually("the end", || std::fs::read_to_string(&open).unwrap().contains(") Z "));
    let arguments = ["--pid".to_string(), pid.to_string()];
    own_failure(&lab, &arguments, &format!("process {pid}: list descriptors: no map is open"));
    ended.wait().unwrap();
    own_failure(&lab, &arguments, &format!("process {pid}: open: no such process"));
    let mut idle = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let pid = idle.id().to_string();
    own_failure(
        &lab,
        &["--pid", &pid],
        &format!("process {pid}: list descriptors: no map is open"),
    );
    drop(idle.stdin.take());
    idle.wait().unwrap();
    // A thread of this process, which has maps.
    let (map, thread) = (new_map("held"), nix::unistd::gettid().to_string());
    own_failure(&lab, &["--pid", &thread], &format!("process {thread}: open: no such process"));
    drop(map);
}

#[test]
fn unknown_id_is_an_error() {
    let lab = Lab::new();
    for id in ["0", "4294967295"] {
        own_failure(&lab, &["--id", id], &format!("id {id}: open map by id: no such map"));
    }
    for id in ["4294967296", "abc", "-1", "", "1x", "+1", "0x1", "99999999999999999999"] {
        own_failure(&lab, &["--id", id], &format!("--id {}: not a map id", shown(id)));
    }
}

#[test]
fn long_unknown_or_ambiguous_kernel_name_is_an_error() {
    let lab = Lab::new();
    let find = "find map by name";
    let (long, most) = ("sixteen_bytes_xx", "fifteen_bytes_x");
    let too_long = format!("{long}: {find}: 16 bytes: a kernel name has at most 15");
    own_failure(&lab, &["--name", long], &too_long);
    own_failure(&lab, &["--name", most], &format!("{most}: {find}: no map has this name"));
    own_failure(&lab, &["--name", ""], &format!("\"\": {find}: the name is empty"));
    // A part of a name is not found.
    let maps = [new_map("bad_input_twice"), new_map("bad_input_twice"), new_map("bad_input_onc")];
    let mut ids = [id_of(&maps[0]), id_of(&maps[1])];
    ids.sort();
    let [a, b] = ids;
    let twice = format!("bad_input_twice: {find}: 2 maps have this name: ids {a}, {b}");
    own_failure(&lab, &["--name", "bad_input_twice"], &twice);
    let unknown = format!("bad_input_once: {find}: no map has this name");
    own_failure(&lab, &["--name", "bad_input_once"], &unknown);
    assert_eq!(stdout_of(&mut lab.exec(["--name=bad_input_onc", "echo", "ran"])), "ran\n");
}

#[test]
fn malformed_map_specification_is_an_error() {
    let lab = Lab::new();
    // In arguments, as they stand.
    for (spec, cause) in [
        ("", "expected NAME=TYPE,…"),
        ("array", "expected NAME=TYPE,…"),
        ("x=", "\"\" is not a map type"),
        ("x=hush,key=4,value=4,entries=1", "\"hush\" is not a map type"),
        ("x=hash,value=4,entries=1", "a hash needs key="),
        ("x=hash,key=4,entries=1", "a hash needs value="),
        ("x=hash,key=4,value=4", "a hash needs entries="),
        ("x=queue,key=4,value=4,entries=1", "a queue has no key"),
        ("x=array,value=8,entries=1,", "\"\": = is missing"),
        ("x=array,value=8,entries=1,value=4", "value is given twice"),
        (
            "x=array,value=8,entries=1,color=red",
            "color: not a field (key, value, entries, flags, extra, numa, inner)",
        ),
        ("x=array,value=8,entries=-1", "entries: \"-1\" is not a number in range"),
        ("x=array,value=8,entries=4g", "entries: \"4g\" is not a number in range"),
        ("x=array,value=8,entries=4096m", "entries: \"4096m\" is not a number in range"),
        ("x=array,value=8,entries=1,flags=FAST", "flags: \"FAST\" is not a flag"),
        ("x=array,value=4294967296,entries=1", "value: \"4294967296\" is not a size in bytes"),
        ("x=hash,key=u33,value=4,entries=1", "key: column 1: expected a type, found \"u33\""),
        (
            "x=struct_ops,value=4,entries=1",
            "a struct_ops map can be created only with its programs",
        ),
    ] {
        own_failure(&lab, &["--create", spec], &format!("--create {}: {cause}", shown(spec)));
    }
    // By the kernel.
    let refusal =
        "invalid argument (the kernel refuses these sizes, entries or flags for this type)";
    let ring = "invalid argument (entries must be a power of two of at least a page)";
    for (spec, cause) in [
        ("x=hash,key=4,value=4,entries=0", "invalid argument (entries must not be 0)"),
        ("x=array,key=8,value=8,entries=1", "invalid argument (the key of this type has 4 bytes)"),
        ("x=array,value=0,entries=1", refusal),
        ("x=ringbuf,entries=5", ring),
        ("x=user_ringbuf,entries=5000", ring),
        ("x=hash,key=4,value=4294967295,entries=1", "too large for the kernel"),
    ] {
        own_failure(&lab, &["--create", spec], &format!("x: create map: {cause}"));
    }
    for (inner, message) in [
        ("/none", "/none: open pin: no such file or directory"),
        ("id:4294967295", "id 4294967295: open map by id: no such map"),
    ] {
        let spec = format!("x=array_of_maps,entries=1,inner={inner}");
        own_failure(&lab, &["--create", &spec], message);
    }
}

#[test]
fn map_created_before_a_failure_is_removed() {
    let lab = Lab::new();
    let create = "--create=bad_input_made=array,value=4,entries=1";
    let exists = || {
        let maps = bpftool(&["-j", "map", "show"]);
        let maps: serde_json::Value = serde_json::from_str(&maps).unwrap();
        maps.as_array().unwrap().iter().any(|map| map["name"] == "bad_input_made")
    };
    // Seen while it lives.
    let seen = stdout_of(&mut lab.exec([
        create,
        "--",
        "bpftool",
        "map",
        "show",
        "name",
        "bad_input_made",
    ]));
    assert!(seen.contains("bad_input_made"), "{seen}");
    eventually("its end", || !exists());
    for (arguments, status, message) in [
        (
            &[create, "--pin=none", "--", "env"][..],
            125,
            "none: open pin: no such file or directory",
        ),
        (&[create, "--id=0", "--", "env"], 125, "id 0: open map by id: no such map"),
        (
            &[create, "--create=x=ringbuf,entries=5", "--", "env"],
            125,
            "x: create map: invalid argument (entries must be a power of two of at least a page)",
        ),
        (&[create, "--", "./none"], 127, "./none: execute: command not found"),
        (&[create, "--", "."], 126, ".: execute: permission denied"),
    ] {
        refused(&lab, &mut lab.exec(arguments), status, message);
        eventually(message, || !exists());
    }
}
