//! `bpf-map put --inherited` with a real agent: names, access, layouts, and refusals.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::played::*;
use std::process::Command;

/// Put by the command of every test, to the agent at `agent`.
const PUT: &str = "bpf-map put --inherited --socket agent";

/// `bpf-exec` with these sources, which runs a script.
fn handed(lab: &Lab, sources: &[&str], script: &str) -> Command {
    let mut command = lab.exec(sources);
    command.args(["--", "sh", "-c", script]);
    command
}

/// What the agent holds: `name class access layout` of each.
fn held(lab: &Lab) -> Vec<String> {
    let records = Client::connect(&lab.path("agent")).list();
    let brief = |r: Record| format!("{} {} {} {}", r.name, r.class, r.access, r.layout);
    records.into_iter().map(brief).collect()
}

#[test]
fn every_inherited_object_is_put_under_its_name() {
    let lab = Lab::new();
    let _agent = serve(&lab);
    lab.array("pinned", 1);
    pin_program("prog");
    pin_link("link");
    let sources = [
        "--create",
        "hits=array,value=struct{packets: u64},entries=1",
        "--pin=/sys/fs/bpf/pinned",
        "--prog=filter=/sys/fs/bpf/prog",
        "--link=/sys/fs/bpf/link",
    ];
    assert_eq!(stdout_of(&mut handed(&lab, &sources, PUT)), "");
    let want = ["filter 2 3 ", "hits 1 3 u32 -> struct{packets: u64}", "link 3 3 ", "pinned 1 3 "];
    assert_eq!(held(&lab), want);
}

#[test]
fn objects_without_a_name_are_named_by_their_variable() {
    let lab = Lab::new();
    let _agent = serve(&lab);
    lab.array("pinned", 1);
    pin_program("prog");
    pin_link("link");
    let sources = ["-r", "--pin", "/sys/fs/bpf/pinned"];
    let script = format!("unset BPF_MAP0_NAME; {PUT}");
    assert_eq!(stdout_of(&mut handed(&lab, &sources, &script)), "");
    // The access of the file descriptor is kept.
    assert_eq!(held(&lab), ["map0 1 1 "]);
    let sources = ["--prog", "/sys/fs/bpf/prog", "--link", "/sys/fs/bpf/link"];
    let script = format!("unset BPF_PROG0_NAME BPF_LINK0_NAME; {PUT}");
    assert_eq!(stdout_of(&mut handed(&lab, &sources, &script)), "");
    assert_eq!(held(&lab), ["link0 3 3 ", "map0 1 1 ", "prog0 2 3 "]);
}

#[test]
fn duplicate_and_unusable_names_are_refused_before_sending() {
    let lab = Lab::new();
    let _agent = serve(&lab);
    lab.array("a", 1);
    lab.array("b", 1);
    pin_program("prog");
    let sources =
        ["--pin", "x=/sys/fs/bpf/a", "--pin", "/sys/fs/bpf/b", "--prog", "p=/sys/fs/bpf/prog"];
    for (change, message) in [
        ("BPF_MAP1_NAME=x", "BPF_MAP0 and BPF_MAP1 have the same name, \"x\""),
        ("BPF_PROG0_NAME=b", "BPF_MAP1 and BPF_PROG0 have the same name, \"b\""),
        (
            "BPF_MAP0_NAME=map1; unset BPF_MAP1_NAME",
            "BPF_MAP0 and BPF_MAP1 have the same name, \"map1\"",
        ),
        ("BPF_PROG0_NAME=a,b", "BPF_PROG0: a,b: a name holds '/', '=', ',' or a control byte"),
    ] {
        let mut command = handed(&lab, &sources, &format!("export {change}; {PUT}"));
        fails(&mut command, 2, &format!("bpf-map: {message}"));
        assert_eq!(held(&lab), [""; 0], "{change}");
    }
}

#[test]
fn unusable_names_are_replaced_with_a_warning() {
    let lab = Lab::new();
    let _agent = serve(&lab);
    lab.array("b", 1);
    pin_program("prog");
    let sources = ["--pin", "x=/sys/fs/bpf/b", "--prog", "p=/sys/fs/bpf/prog"];
    let script = format!("export BPF_MAP0_NAME= BPF_PROG0_NAME=7; {PUT}");
    let stderr = "bpf-map: warning: BPF_MAP0: the name \"\" is empty: \"b\" is used\n\
                  bpf-map: warning: BPF_PROG0: the name \"7\" is a number: \
                  \"noop_socket\" is used\n";
    let want = Run { status: 0, stdout: String::new(), stderr: stderr.into() };
    assert_eq!(run(&mut handed(&lab, &sources, &script)), want);
    assert_eq!(held(&lab), ["b 1 3 ", "noop_socket 2 3 "]);
}

#[test]
fn object_that_cannot_be_put_does_not_stop_the_others() {
    let lab = Lab::new();
    let _agent = serve(&lab);
    for name in ["a", "b", "c", "d"] {
        lab.array(name, 1);
    }
    stdout_of(&mut lab.map(["put", "b=/sys/fs/bpf/d", "--socket=agent"]));
    let sources = ["--pin", "/sys/fs/bpf/a", "--pin", "/sys/fs/bpf/b", "--pin", "/sys/fs/bpf/c"];
    let run_with = |script: &str, status| {
        let run = run(&mut handed(&lab, &sources, script));
        assert_eq!((run.status, run.stdout.as_str()), (status, ""), "{run:?}");
        run.stderr
    };
    // A taken name and a closed file descriptor.
    let stderr = run_with(&format!("export BPF_MAP0=999; {PUT}"), 2);
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines[0], "bpf-map: warning: BPF_MAP0: descriptor 999 is closed, dropped");
    assert!(lines[1].starts_with("bpf-map: agent#b: put: "), "{stderr}");
    assert_eq!((lines.len(), held(&lab)), (2, vec!["b 1 3 ".into(), "c 1 3 ".into()]));
    let id = |name: &str| {
        let records = Client::connect(&lab.path("agent")).list();
        records.into_iter().find(|r| r.name == name).unwrap().id
    };
    assert_eq!(id("b"), map_id(std::path::Path::new("/sys/fs/bpf/d")));
    // A layout of another size is dropped, and the map is put without it.
    let stderr = run_with(&format!("export BPF_MAP1_LAYOUT='u32 -> u32'; {PUT} --replace"), 0);
    let why = "layout: a value of 4 bytes, expected 8: the layout is dropped";
    assert_eq!(stderr, format!("bpf-map: warning: BPF_MAP1_LAYOUT: {why}\n"));
    assert_eq!(held(&lab), ["a 1 3 ", "b 1 3 ", "c 1 3 "]);
    assert_eq!(id("b"), map_id(std::path::Path::new("/sys/fs/bpf/b")));
}

#[test]
fn status_is_2_only_if_an_object_is_not_stored() {
    let lab = Lab::new();
    let _agent = serve(&lab);
    for name in ["a", "b"] {
        lab.array(name, 1);
    }
    let sources = ["--pin", "/sys/fs/bpf/a", "--pin", "/sys/fs/bpf/b"];
    for (change, status, warning, stored) in [
        ("BPF_NUM_MAPS=3", 0, "BPF_NUM_MAPS is 3 (found 2 maps)", &["a", "b"][..]),
        ("BPF_NUM_MAPS=", 0, "BPF_NUM_MAPS: \"\" is not a number", &["a", "b"]),
        ("BPF_MAP01=9", 2, "BPF_MAP01: not a number for a map, dropped", &["a", "b"]),
        (
            "BPF_NUM_MAPS=1 BPF_MAP0=x",
            2,
            "BPF_MAP0: \"x\" is not a descriptor number, dropped",
            &["b"],
        ),
        (
            "BPF_NUM_MAPS=1 BPF_MAP0_ID=x",
            2,
            "BPF_MAP0_ID: \"x\" is not an id, BPF_MAP0 is dropped",
            &["b"],
        ),
        ("BPF_MAP0=9", 2, "BPF_MAP0: descriptor 9 is a file, not a map, dropped", &["b"]),
    ] {
        let script = format!("exec 9</dev/null; export {change}; {PUT}");
        let stderr = format!("bpf-map: warning: {warning}\n");
        let want = Run { status, stdout: String::new(), stderr };
        assert_eq!(run(&mut handed(&lab, &sources, &script)), want, "{change}");
        let client = Client::connect(&lab.path("agent"));
        let records = client.list();
        assert_eq!(crate::common::agent::names(&records), stored, "{change}");
        client.remove(stored);
    }
}

#[test]
fn warnings_are_printed_before_a_duplicate_name_is_refused() {
    let lab = Lab::new();
    let _agent = serve(&lab);
    let sources = ["a", "b"].map(|name| format!("--pin={}", lab.array(name, 1).display()));
    let sources = [sources[0].as_str(), &sources[1]];
    let script = format!("export BPF_NUM_MAPS=3 BPF_MAP1_NAME=a; {PUT}");
    let stderr = "bpf-map: warning: BPF_NUM_MAPS is 3 (found 2 maps)\n\
                  bpf-map: BPF_MAP0 and BPF_MAP1 have the same name, \"a\"\n";
    let want = Run { status: 2, stdout: String::new(), stderr: stderr.into() };
    assert_eq!(run(&mut handed(&lab, &sources, &script)), want);
    assert_eq!(held(&lab), [""; 0]);
}

#[test]
fn objects_without_a_connection_are_reported() {
    let lab = Lab::new();
    let sources = ["a", "b", "c"].map(|name| format!("--pin={}", lab.array(name, 1).display()));
    let sources = [sources[0].as_str(), &sources[1], &sources[2]];
    let none = "bpf-map: agent: connect: no such file or directory: \
                none of the 3 objects was stored";
    fails(&mut handed(&lab, &sources, PUT), 2, none);
    let path = lab.path("agent");
    let run = play(&path, &mut handed(&lab, &sources, PUT), |played| {
        let client = played.accept();
        client.receive().unwrap();
        std::fs::remove_file(&path).unwrap();
    });
    let stderr = "bpf-map: agent#a: put: connect again: no such file or directory: \
                  whether it was done is not known\n\
                  bpf-map: BPF_MAP1: not sent to the agent\n\
                  bpf-map: BPF_MAP2: not sent to the agent\n";
    assert_eq!(run, Run { status: 2, stdout: String::new(), stderr: stderr.into() });
}

#[test]
fn put_without_inherited_objects_or_an_agent_fails() {
    let lab = Lab::new();
    let nothing = "bpf-map: --inherited: no map, program or link is inherited";
    fails(&mut lab.map(["put", "--inherited", "--socket=agent"]), 2, nothing);
    let mut command = handed(&lab, &["--create", "a=array,value=8,entries=1"], PUT);
    fails(&mut command, 2, "bpf-map: agent: connect: no such file or directory");
    for words in [&["put", "--inherited", "a"][..], &["put", "--inherited", "-r"]] {
        let run = run(&mut lab.map(words));
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{words:?}");
        assert!(run.stderr.contains("cannot be used with"), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    }
    let run = run(&mut lab.map(["put", "--socket=agent"]));
    assert_eq!(
        (run.status, run.stdout.as_str(), run.stderr.lines().count()),
        (2, "", 1),
        "{run:?}"
    );
}
