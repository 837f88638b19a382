//! Names and layouts from another process, a pin's file name or the process's own environment:
//! a bad name is replaced, a layout that does not fit is dropped, each with a warning.

use crate::common::child::{Running, Start};
use crate::common::*;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

/// Bad names, each with the reason in the warning.
const BAD: [(&str, &str, &str); 8] = [
    ("", "", "is empty"),
    ("12", "12", "is a number"),
    ("--help", "--help", "begins with a hyphen"),
    ("-x", "-x", "begins with a hyphen"),
    ("a:b", "a:b", "contains '/', ':', '=' or a control byte"),
    ("a=b", "a=b", "contains '/', ':', '=' or a control byte"),
    ("\x1b[2J", "\\x1b[2J", "contains '/', ':', '=' or a control byte"),
    ("x\nLD_PRELOAD=y", "x\\nLD_PRELOAD=y", "contains '/', ':', '=' or a control byte"),
];

fn bad_name(place: &str, escaped: &str, reason: &str, used: &str) -> String {
    format!("{place}the name \"{escaped}\" {reason}: \"{used}\" is used\n")
}

/// A command that inherits the array `hits` as map 0, with these variables changed.
fn holder(lab: &Lab, variables: &[&str], command: &[&str]) -> Command {
    let mut outer = lab.exec(["--pin", "/sys/fs/bpf/hits", "--", "env"]);
    outer.args(variables).args(command);
    outer
}

#[test]
fn bad_name_in_the_environment_is_replaced_by_the_kernels() {
    let lab = Lab::new();
    lab.array("hits", 1);
    for (name, escaped, reason) in BAD {
        let entry = format!("BPF_MAP0_NAME={name}");
        let run = run(&mut holder(&lab, &[&entry], &["bpf-exec", "env", "-0"]));
        let warning = bad_name("BPF_MAP0: ", escaped, reason, "hits");
        assert_eq!((run.status, run.stderr), (0, format!("bpf-exec: warning: {warning}")));
        let mut entries: Vec<&str> = run.stdout.split('\0').collect();
        entries.retain(|entry| is_contract(entry));
        assert_eq!(entries, ["BPF_NUM_MAPS=1", "BPF_MAP0=64", "BPF_MAP0_NAME=hits"]);
        // It goes by the name that list prints.
        let mut list = holder(&lab, &[&entry], &["bpf-map", "list", "--json"]);
        let list = crate::common::run(&mut list);
        assert_eq!(list.stderr, format!("bpf-map: warning: {warning}"));
        assert!(list.stdout.contains("\"name\": \"hits\""), "{list:?}");
        let mut get = holder(&lab, &[&entry], &["bpf-map", "get", "hits", "0"]);
        assert_eq!(stdout_of(&mut get), "0\n");
    }
}

#[test]
fn bad_name_in_another_process_is_replaced_by_the_kernels() {
    let lab = Lab::new();
    lab.array("hits", 1);
    for (name, escaped, reason) in BAD {
        let entry = format!("BPF_MAP0_NAME={name}");
        let holder = Running::cat(&Start::default(), &mut holder(&lab, &[&entry], &["cat"]));
        let run = run(&mut lab.exec(["--pid", &holder.pid().to_string(), "env"]));
        let warning = bad_name("BPF_MAP0: ", escaped, reason, "hits");
        assert_eq!((run.status, run.stderr), (0, format!("bpf-exec: warning: {warning}")));
        let want = ["BPF_NUM_MAPS=1", "BPF_MAP0=64", "BPF_MAP0_NAME=hits"];
        assert_eq!(contract(&run.stdout), want);
        holder.end();
    }
}

#[test]
fn bad_name_without_a_good_one_in_the_kernel_becomes_a_number() {
    let lab = Lab::new();
    // The kernel takes digits, and none at all.
    for kernel in ["7", ""] {
        let pin = format!("/sys/fs/bpf/pin{kernel}");
        let words = "type array key 4 value 8 entries 1 name";
        let mut create = vec!["map", "create", &pin];
        create.extend(words.split(' ').chain([kernel]));
        bpftool(&create);
        let mut command = lab.exec(["--pin", &pin, "--", "env", "BPF_MAP0_NAME=", "bpf-exec"]);
        let run = run(command.arg("env"));
        let warning = bad_name("BPF_MAP0: ", "", "is empty", "map0");
        assert_eq!((run.status, run.stderr), (0, format!("bpf-exec: warning: {warning}")));
        assert_eq!(variable(&run.stdout, "BPF_MAP0_NAME"), Some("map0"));
    }
    // The kernel's own name is checked as every other.
    let id = map_id("/sys/fs/bpf/pin7".as_ref()).to_string();
    let run = run(&mut lab.exec(["--id", &id, "env"]));
    let warning = bad_name("BPF_MAP0: ", "7", "is a number", "map0");
    assert_eq!((run.status, run.stderr), (0, format!("bpf-exec: warning: {warning}")));
    assert_eq!(variable(&run.stdout, "BPF_MAP0_NAME"), Some("map0"));
}

#[test]
fn bad_file_name_of_a_pin_is_replaced_by_the_kernels() {
    let lab = Lab::new();
    let hits = lab.array("hits", 1);
    std::fs::create_dir("/sys/fs/bpf/d").unwrap();
    let (hits, pins) = (hits.to_str().unwrap(), BAD.iter().filter(|bad| !bad.0.is_empty()));
    for (name, escaped, reason) in pins {
        let pin = format!("/sys/fs/bpf/d/{name}");
        stdout_of(&mut lab.map(["pin", hits, &pin]));
        for path in [&pin, "/sys/fs/bpf/d"] {
            let run = run(&mut lab.exec(["--pin", path, "env"]));
            let warning = bad_name("BPF_MAP0: ", escaped, reason, "hits");
            assert_eq!((run.status, run.stderr), (0, format!("bpf-exec: warning: {warning}")));
            let want = ["BPF_NUM_MAPS=1", "BPF_MAP0=64", "BPF_MAP0_NAME=hits"];
            assert_eq!(contract(&run.stdout), want);
        }
        // A name on the command line spares the warning.
        let environment = stdout_of(&mut lab.exec([&format!("--pin=good={pin}"), "env"]));
        assert_eq!(variable(&environment, "BPF_MAP0_NAME"), Some("good"));
        stdout_of(&mut lab.map(["unpin", &pin]));
    }
}

#[test]
fn bad_name_on_the_command_line_is_refused() {
    let lab = Lab::new();
    lab.array("hits", 1);
    let line = "bpf-exec: --pin --help=/sys/fs/bpf/hits: the name begins with a hyphen";
    fails(&mut lab.exec(["--pin", "--help=/sys/fs/bpf/hits", "true"]), 125, line);
}

/// Loads maps with BTF; returns the path of a map whose layout is `u8 -> u8`.
fn typed(lab: &Lab) -> String {
    std::fs::create_dir("/sys/fs/bpf/maps").unwrap();
    let (object, progs) = (fixture("types.bpf.o"), "/sys/fs/bpf/progs");
    let words = ["prog", "loadall", &object, progs, "type", "tc", "pinmaps", "/sys/fs/bpf/maps"];
    bpftool(&words);
    stdout_of(&mut lab.map(["set", "/sys/fs/bpf/maps/t_u8", "1", "255"]));
    "/sys/fs/bpf/maps/t_u8".into()
}

const DROPPED: &str = "layout: a value of 4 bytes, expected 1: the layout is dropped";

#[test]
fn btf_wins_over_the_layout_of_another_process() {
    let lab = Lab::new();
    let typed = typed(&lab);
    let u8s = lab.map(["create", "u8s=hash,key=1,value=1,entries=4", "--pin", "/sys/fs/bpf/u8s"]);
    stdout_of(&mut { u8s });
    let fits = "u8 -> i8";
    let misfit = "u8 -> u32";
    for (pin, layout, want, warned) in [
        (typed.as_str(), fits, Some("u8 -> u8"), false),
        (&typed, misfit, Some("u8 -> u8"), true),
        ("/sys/fs/bpf/u8s", fits, Some(fits), false),
        ("/sys/fs/bpf/u8s", misfit, None, true),
    ] {
        let mut command = lab.exec(["--pin", pin, "--", "env"]);
        command.args([&format!("BPF_MAP0_LAYOUT={layout}"), "cat"]);
        let holder = Running::cat(&Start::default(), &mut command);
        let pid = holder.pid();
        let run = run(&mut lab.exec(["--pid", &pid.to_string(), "env"]));
        let warning = format!("bpf-exec: warning: process {pid}: BPF_MAP0_LAYOUT: {DROPPED}\n");
        let stderr = if warned { warning } else { String::new() };
        assert_eq!((run.status, run.stderr), (0, stderr), "{pin} {layout}");
        assert_eq!(variable(&run.stdout, "BPF_MAP0_LAYOUT"), want, "{pin} {layout}");
        holder.end();
    }
}

#[test]
fn own_environment_wins_over_btf_only_if_it_fits() {
    let lab = Lab::new();
    let typed = typed(&lab);
    let with = |layout: &str, words: &[&str]| {
        let mut command = lab.exec(["--pin", &typed, "--", "env"]);
        run(command.arg(format!("BPF_MAP0_LAYOUT={layout}")).args(words))
    };
    let get = ["bpf-map", "get", "t_u8", "1"];
    let clean = |stdout: &str| Run { status: 0, stdout: stdout.into(), stderr: String::new() };
    assert_eq!(with("u8 -> i8", &get), clean("-1\n"));
    for (layout, why) in [
        ("u8 -> u32", DROPPED),
        (
            "nonsense",
            "layout: column 1: expected a type, found \"nonsense\": the layout is dropped",
        ),
    ] {
        let stderr = |program: &str| format!("{program}: warning: BPF_MAP0_LAYOUT: {why}\n");
        let run = with(layout, &get);
        assert_eq!(run, Run { stderr: stderr("bpf-map"), ..clean("255\n") }, "{layout}");
        let run = with(layout, &["bpf-exec", "printenv", "BPF_MAP0_LAYOUT"]);
        assert_eq!(run, Run { stderr: stderr("bpf-exec"), ..clean("u8 -> u8\n") }, "{layout}");
        let run = with(layout, &["bpf-map", "list", "--json"]);
        assert_eq!((run.status, run.stderr), (0, stderr("bpf-map")), "{layout}");
        assert!(run.stdout.contains("\"layout\": \"u8 -> u8\""), "{}", run.stdout);
    }
    let bytes = std::ffi::OsStr::from_bytes(b"BPF_MAP0_LAYOUT=\xff");
    let mut command = lab.exec(["--pin", &typed, "--", "env"]);
    let run = run(command.arg(bytes).args(get));
    let why = "a layout that is not UTF-8: the layout is dropped";
    let stderr = format!("bpf-map: warning: BPF_MAP0_LAYOUT: {why}\n");
    assert_eq!(run, Run { stderr, ..clean("255\n") });
}
