//! Pins that another map takes while a long-running command uses them.

use crate::common::*;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

/// Replaces the pin by that of a new array whose only value is `value`.
fn replace_pin(lab: &Lab, pin: &Path, value: &str) {
    let (path, new) = (pin.to_str().unwrap(), format!("{BPFFS}/new"));
    stdout_of(&mut lab.map(["create", "m=array,value=8,entries=1", "--pin", &new]));
    stdout_of(&mut lab.map(["set", &new, "0", value]));
    std::fs::rename(new, path).unwrap();
}

#[test]
fn batch_reopens_a_pin_that_refers_to_another_map() {
    let lab = Lab::new();
    let pin = lab.array("map", 1);
    let mut command = lab.map(["batch"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = child.stdin.take().unwrap();
    let mut ask = |line: &str| {
        writeln!(lines, "{line}").unwrap();
        answers.next().unwrap().unwrap()
    };
    assert_eq!(ask("get /sys/fs/bpf/map 0"), "0");
    assert_eq!(ask("set /sys/fs/bpf/map 0 3"), "");
    assert_eq!(ask("get /sys/fs/bpf/map 0"), "3");
    let first = open_pin(&pin);
    replace_pin(&lab, &pin, "7");
    assert_eq!(ask("get /sys/fs/bpf/map 0"), "7");
    assert_eq!(ask("get --json /sys/fs/bpf/map 0"), "7");
    assert_eq!(ask("set /sys/fs/bpf/map 0 8"), "");
    assert_eq!(ask("get /sys/fs/bpf/map 0"), "8");
    drop(lines);
    assert!(child.wait().unwrap().success());
    // Nothing was written to the map that was replaced.
    assert_eq!(crate::common::fds::lookup(&first), Ok(3));
}

#[test]
fn watch_continues_with_the_map_that_a_pin_refers_to() {
    let lab = Lab::new();
    let pin = lab.array("map", 1);
    let first = open_pin(&pin);
    let mut command = lab.map(["watch", "/sys/fs/bpf/map", "0", "--interval", "0.01"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut readings = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut messages = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(readings.next().unwrap().ends_with("\t0 0"));
    replace_pin(&lab, &pin, "7");
    let id = map_id(&pin);
    let line = format!("bpf-map: /sys/fs/bpf/map: watch: the pin refers to map {id} now");
    assert_eq!(messages.next(), Some(line));
    // Its first reading has no change.
    let next = readings.find(|reading| !reading.contains("\t0 0")).unwrap();
    assert!(next.ends_with("\t0 7"), "{next}");
    // A pin that is removed changes nothing.
    std::fs::remove_file(&pin).unwrap();
    assert!(readings.next().unwrap().contains("\t0 7"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(messages.next(), None);
    drop(first);
}
