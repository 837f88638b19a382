//! Options, map types and file descriptors that are refused.

use super::*;
use crate::common::{Lab, bpftool, fails, open_pin, run, stdout_of};
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::process::Stdio;

#[test]
fn options_that_make_no_sense_are_one_line_and_2() {
    let lab = Lab::new();
    let pin = hash("m");
    let usage = "(see bpf-map dump --help)";
    for (arguments, want) in [
        (
            &["--reverse"][..],
            format!(
                "the following required arguments were not provided: <--sort <FIELD>|--top <N> <FIELD>> {usage}"
            ),
        ),
        (
            &["--json", "--csv"],
            format!("the argument '--json' cannot be used with '--csv' {usage}"),
        ),
        (&["--top", "x", "value"], "--top: N is not a number".into()),
        (&["--sort", "nothing"], format!("{pin}: --sort: u64 has no fields")),
        (&["--sort", ""], format!("{pin}: --sort: an empty name")),
        (&["--sort", "value.x"], format!("{pin}: --sort: value: u64 has no fields")),
        (&["--sort", "key.x"], format!("{pin}: --sort: key: u32 has no fields")),
        (
            &["--top", "1", "key.x", "--key=struct{a: u16, b: u16}"],
            format!("{pin}: --top: key: no field \"x\"; fields: a, b"),
        ),
        (&["--per-cpu"], format!("{pin}: --per-cpu: a hash has one value for all CPUs")),
        (&["--cpu", "0"], format!("{pin}: --cpu: a hash has one value for all CPUs")),
        (
            &["--prometheus", "--name", "a-b"],
            "--name a-b: not a metric's name: [a-zA-Z_:][a-zA-Z0-9_:]*".into(),
        ),
        (
            &["--prometheus", "--value=hex[8]"],
            format!("{pin}: --prometheus: no number in a value: hex[8]"),
        ),
    ] {
        let run = run(&mut lab.map([&["dump", &pin], arguments].concat()));
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{arguments:?}");
        assert_eq!(run.stderr, format!("bpf-map: {want}\n"), "{arguments:?}");
    }
}

#[test]
fn type_without_iteration_is_refused_with_a_hint() {
    let lab = Lab::new();
    for (words, refusing, hint) in [
        (
            "queue key 0 value 4 entries 4",
            &["dump", "keys", "count"][..],
            "it has no keys: see peek and pop",
        ),
        (
            "stack key 0 value 4 entries 4",
            &["dump", "keys", "count"],
            "it has no keys: see peek and pop",
        ),
        (
            "bloom_filter key 0 value 4 entries 4",
            &["dump", "keys", "count"],
            "it only reports whether it may contain a value: see has",
        ),
        (
            "bloom_filter key 0 value 4 entries 4",
            &["clear"],
            "entries cannot be removed: recreate the map",
        ),
        (
            "ringbuf key 0 value 0 entries 4096",
            &["dump", "keys", "count", "clear"],
            "its records are read by mapping it into memory, as libbpf's ring_buffer__new does",
        ),
        (
            "perf_event_array key 4 value 4 entries 4",
            &["dump", "keys", "count"],
            "its entries cannot be read: read perf events with bpftool map event_pipe",
        ),
        (
            "cgroup_array key 4 value 4 entries 4",
            &["dump", "keys", "count"],
            "its entries cannot be read: only programs use them",
        ),
        (
            "xskmap key 4 value 4 entries 4",
            &["dump", "keys", "count"],
            "its entries cannot be read: see ss --xdp",
        ),
    ] {
        let pin = create("m", words);
        let kind = words.split(' ').next().unwrap();
        for subcommand in refusing {
            let article = if kind == "xskmap" { "an" } else { "a" };
            let want =
                format!("bpf-map: {pin}: {subcommand}: not possible with {article} {kind}: {hint}");
            fails(&mut lab.map([subcommand, pin.as_str()]), 2, &want);
        }
        std::fs::remove_file(&pin).unwrap();
    }
    // An empty map that can be iterated has no lines.
    for words in [
        "prog_array key 4 value 4 entries 4",
        "devmap key 4 value 4 entries 4",
        "devmap_hash key 4 value 4 entries 4",
        "cpumap key 4 value 4 entries 4",
        "stack_trace key 4 value 80 entries 4",
        "sockhash key 4 value 8 entries 4",
        "sockmap key 4 value 8 entries 4",
        "reuseport_sockarray key 4 value 8 entries 4",
        "lpm_trie key 8 value 8 entries 4 flags 1",
        "lru_percpu_hash key 4 value 8 entries 64",
    ] {
        let pin = create("m", words);
        for (subcommand, want) in [("dump", ""), ("keys", ""), ("count", "0\n"), ("clear", "")] {
            assert_eq!(stdout_of(&mut lab.map([subcommand, &pin])), want, "{subcommand} {words}");
        }
        std::fs::remove_file(&pin).unwrap();
    }
}

#[test]
fn missing_access_mode_of_an_fd_is_reported() {
    let lab = Lab::new();
    let pin = hash("m");
    set(&lab, &[&pin, "1", "10"]);
    // The test opens fds with access modes that a shell cannot open.
    let path = std::ffi::CString::new(pin.as_str()).unwrap();
    for (access, subcommands, what) in [
        (bpf_inherit::AccessMode::WriteOnly, &["dump", "keys", "count", "clear"][..], "write-only"),
        (bpf_inherit::AccessMode::ReadOnly, &["clear", "del"], "read-only"),
    ] {
        let fd = bpf_inherit::bpf::obj_get(&path, access).unwrap();
        for subcommand in subcommands {
            let key = (*subcommand == "del").then_some("1");
            let mut ours = lab.map([&[*subcommand, "70"][..], key.as_slice()].concat());
            let mut command = inheriting(fd.as_raw_fd(), &mut ours);
            let want = format!(
                "bpf-map: 70: {subcommand}: operation not permitted (the descriptor is {what})"
            );
            fails(&mut command, 2, &want);
        }
    }
    assert_eq!(dump(&lab, &[&pin]), "1\t10\n");
    bpftool(&["map", "freeze", "pinned", &pin]);
    for (arguments, subcommand) in [(&["clear", &pin][..], "clear"), (&["del", &pin, "1"], "del")] {
        let want =
            format!("bpf-map: {pin}: {subcommand}: operation not permitted (the map is frozen)");
        fails(&mut lab.map(arguments), 2, &want);
    }
}

#[test]
fn full_disk_is_an_error_and_closed_pipe_is_not() {
    let lab = Lab::new();
    let pin = lab.array("m", 200_000);
    let pin = pin.to_str().unwrap();
    let mut command = lab.map(["dump", pin]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let want = "bpf-map: standard output: write: no space left on device\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), want);

    let mut command = lab.map(["dump", pin]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "0\t0\n");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn dump_reads_an_array_that_it_may_not_write() {
    let lab = Lab::new();
    let pin = create("m", "array key 4 value 8 entries 3 flags 0x400");
    set(&lab, &[&pin, "2", "5"]);
    let want = "0\t0\n1\t0\n2\t5\n";
    assert_eq!(dump(&lab, &[&pin]), want);
    stdout_of(&mut lab.program("chmod", ["0444", &pin]));
    let program = lab.reachable("bpf-map");
    let nobody = [&crate::common::NOBODY[..], &[&program, "dump", &pin]].concat();
    assert_eq!(stdout_of(&mut lab.program(nobody[0], &nobody[1..])), want);
    // Inherited, without a pin.
    let fd = open_pin(pin.as_ref());
    std::fs::remove_file(&pin).unwrap();
    let mut ours = lab.map(["dump", "70"]);
    assert_eq!(stdout_of(&mut inheriting(fd.as_raw_fd(), &mut ours)), want);
    // A frozen map can still be mapped for reading.
    let mut ours = lab.map(["dump", "70"]);
    bpftool(&["map", "freeze", "id", &map_id_of(&fd).to_string()]);
    assert_eq!(stdout_of(&mut inheriting(fd.as_raw_fd(), &mut ours)), want);
}
