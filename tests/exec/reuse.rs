//! Reused file descriptors: every user of an fd compares `BPF_MAP<n>_ID` and similar variables, and
//! nothing is read from or written to another map.

use crate::common::child::{Running, Start};
use crate::common::fds::{id_of_pinned, pin_link, pin_program};
use crate::common::*;
use std::path::{Path, PathBuf};

/// Two arrays of zeros, `one` at 64 and `two` at 65, for `script`.
fn with(lab: &Lab, script: &str) -> (std::process::Command, u32, u32) {
    let (one, two) = (lab.array("one", 1), lab.array("two", 1));
    let (first, second) = (map_id(&one), map_id(&two));
    let words = ["--pin", one.to_str().unwrap(), "--pin", two.to_str().unwrap()];
    let mut command = lab.exec(words);
    command.args(["--", "bash", "-c", script]);
    (command, first, second)
}

fn value(lab: &Lab, pin: &str) -> String {
    stdout_of(&mut lab.map(["get", pin, "0"]))
}

#[test]
fn environment_has_the_id_of_each_object() {
    let lab = Lab::new();
    let map = lab.array("map", 1);
    let (prog, link) = (pin_program("prog"), pin_link("link"));
    let mut command = lab.exec(["--pin", map.to_str().unwrap()]);
    command.args(["--prog", prog.to_str().unwrap(), "--link", link.to_str().unwrap(), "env"]);
    let environment = stdout_of(&mut command);
    assert_eq!(variable(&environment, "BPF_MAP0_ID"), Some(&*map_id(&map).to_string()));
    assert_eq!(variable(&environment, "BPF_PROG0_ID"), Some(&*id_of_pinned("prog", &prog)));
    assert_eq!(variable(&environment, "BPF_LINK0_ID"), Some(&*id_of_pinned("link", &link)));
}

#[test]
fn bpf_map_refuses_a_number_that_is_another_map() {
    let lab = Lab::new();
    let script = "exec 64<&65
        for map in one 64 $BPF_MAP0 fd:64 env:one; do
            bpf-map set $map 0 7; echo $?
            bpf-map get $map 0; echo $?
        done";
    let (mut command, one, two) = with(&lab, script);
    let run = run(&mut command);
    assert_eq!(run.stdout, "2\n".repeat(10));
    let line = |map: &str, place: &str| {
        format!("bpf-map: {map}: {place}fd 64 is map {two}, not map {one}\n").repeat(2)
    };
    let want =
        [("one", "BPF_MAP0: "), ("64", ""), ("64", ""), ("fd:64", ""), ("env:one", "BPF_MAP0: ")];
    assert_eq!(run.stderr, want.map(|(map, place)| line(map, place)).concat());
    let pins = ["/sys/fs/bpf/one", "/sys/fs/bpf/two"];
    assert_eq!(pins.map(|pin| value(&lab, pin)), ["0\n", "0\n"]);
}

#[test]
fn bpf_map_list_and_bpf_exec_drop_a_number_that_is_another_map() {
    let lab = Lab::new();
    let script = "exec 64<&65; bpf-map list --json | grep -c kind; exec bpf-exec env";
    let (mut command, one, two) = with(&lab, script);
    let run = run(&mut command);
    let reason = format!("warning: BPF_MAP0: fd 64 is map {two}, not map {one}, dropped");
    assert_eq!(run.stderr, format!("bpf-map: {reason}\nbpf-exec: {reason}\n"));
    let (count, environment) = run.stdout.split_once('\n').unwrap();
    assert_eq!((run.status, count), (0, "1"));
    let want = ["BPF_NUM_MAPS=1", "BPF_MAP1=65", "BPF_MAP1_NAME=two"];
    assert_eq!(contract(environment), want);
    assert_eq!(variable(environment, "BPF_MAP1_ID"), Some(&*two.to_string()));
}

#[test]
fn library_omits_an_fd_of_another_map() {
    let lab = Lab::new();
    let script = format!("exec 64<&65; {} one 0 5", binary("counter").display());
    let (mut command, one, two) = with(&lab, &script);
    let stderr = format!(
        "counter: warning: BPF_MAP0: fd 64 is map {two}, not map {one}, dropped\n\
         counter: one: not inherited"
    );
    fails(&mut command, 2, &stderr);
    assert_eq!(value(&lab, "/sys/fs/bpf/two"), "0\n");
}

#[test]
fn number_of_another_program_is_not_put_into_a_program_array() {
    let lab = Lab::new();
    let (one, two) = (pin_program("one"), pin_program("two"));
    let mut command = lab.exec(["--create", "jumps=prog_array,entries=1"]);
    command.args(["--prog", one.to_str().unwrap(), "--prog", two.to_str().unwrap()]);
    let script = "exec 65<&66; bpf-map set jumps 0 prog:fd:$BPF_PROG0";
    let id = |pin: &Path| id_of_pinned("prog", pin);
    let line = format!(
        "bpf-map: jumps: prog:fd:65: fd 65 is program {}, not program {}",
        id(&two),
        id(&one)
    );
    fails(command.args(["--", "bash", "-c", script]), 2, &line);
}

#[test]
fn missing_id_is_accepted_and_malformed_id_drops_the_map() {
    let lab = Lab::new();
    let (mut command, ..) = with(&lab, "unset BPF_MAP0_ID; exec 64<&65; bpf-map set one 0 7");
    stdout_of(&mut command);
    assert_eq!(value(&lab, "/sys/fs/bpf/two"), "7\n");
    for map in ["one", "64", "fd:64", "env:one"] {
        let lab = Lab::new();
        let (mut command, ..) = with(&lab, &format!("BPF_MAP0_ID=x bpf-map set {map} 0 7"));
        fails(&mut command, 2, &format!("bpf-map: {map}: BPF_MAP0_ID is not an id"));
        assert_eq!(value(&lab, "/sys/fs/bpf/one"), "0\n");
    }
    let lab = Lab::new();
    let (mut command, ..) = with(&lab, "BPF_MAP0_ID=x BPF_NUM_MAPS=1 exec bpf-exec true");
    let run = run(&mut command);
    let stderr = "bpf-exec: warning: BPF_MAP0_ID: \"x\" is not an id, BPF_MAP0 is dropped\n";
    assert_eq!((run.status, run.stderr.as_str()), (0, stderr));
}

#[test]
fn reused_fd_of_a_process_gets_no_name() {
    let lab = Lab::new();
    let (one, two): (PathBuf, PathBuf) = (lab.array("one", 1), lab.array("two", 1));
    let mut command = lab.exec(["--pin", one.to_str().unwrap(), "--pin", two.to_str().unwrap()]);
    // Its environment still says that 64 is `one`.
    command.args(["--", "bash", "-c", "exec 64<&65; exec cat"]);
    let holder = Running::cat(&Start::default(), &mut command);
    let pid = holder.pid().to_string();
    let environment = stdout_of(&mut lab.exec(["--pid", &pid, "env"]));
    let want = ["BPF_NUM_MAPS=1", "BPF_MAP0=64", "BPF_MAP0_NAME=two"];
    assert_eq!(contract(&environment), want);
    holder.end();
}
