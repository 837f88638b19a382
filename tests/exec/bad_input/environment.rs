//! The environment: variables that are wrong, and its size.

use super::*;
use crate::common::fds::*;
use crate::common::*;
use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

/// What the command finds of the contract, and the warnings, given some variables and a stdin.
fn inherit(lab: &Lab, variables: &[(&str, &[u8])], stdin: Stdio) -> (Vec<String>, String) {
    let mut command = lab.exec(["--pin", "/sys/fs/bpf/map", "--", "env"]);
    for (name, value) in variables {
        command.env(name, OsStr::from_bytes(value));
    }
    let run = run(command.stdin(stdin));
    assert_eq!(run.status, 0, "{variables:?} {run:?}");
    (contract(&run.stdout).into_iter().map(String::from).collect(), run.stderr)
}

#[test]
fn malformed_inherited_variables_warn() {
    let lab = Lab::new();
    let map = lab.array("map", 1);
    let program = pin_program("prog");
    let count: (&str, &[u8]) = ("BPF_NUM_MAPS", b"1");
    let zero: (&str, &[u8]) = ("BPF_MAP0", b"0");
    let new = ["BPF_NUM_MAPS=1", "BPF_MAP0=64", "BPF_MAP0_NAME=map"];
    let is_0 = "BPF_NUM_MAPS is 1 (found 0 maps)";
    let (pipe, _other_end) = std::io::pipe().unwrap();
    let file = std::fs::File::open("/etc/passwd").unwrap();
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    // The variables, the stdin, and the warnings.
    type Case<'a> = (&'a [(&'a str, &'a [u8])], Stdio, &'a [&'a str]);
    let cases: [Case; 17] = [
        (&[("BPF_NUM_MAPS", b"abc")], Stdio::null(), &["BPF_NUM_MAPS: \"abc\" is not a number"]),
        (&[("BPF_NUM_MAPS", b"")], Stdio::null(), &["BPF_NUM_MAPS: \"\" is not a number"]),
        (&[("BPF_NUM_MAPS", b"-1")], Stdio::null(), &["BPF_NUM_MAPS: \"-1\" is not a number"]),
        (
            &[("BPF_NUM_MAPS", b"99999999999")],
            Stdio::null(),
            &["BPF_NUM_MAPS: \"99999999999\" is not a number"],
        ),
        (&[("BPF_NUM_MAPS", b"0")], Stdio::null(), &[]),
        (&[count], Stdio::null(), &[is_0]),
        (
            &[("BPF_MAP9", b"900")],
            Stdio::null(),
            &[
                "BPF_NUM_MAPS is not set (found 1 map)",
                "BPF_MAP9: descriptor 900 is closed, dropped",
            ],
        ),
        (&[count, zero], file.into(), &["BPF_MAP0: descriptor 0 is a file, not a map, dropped"]),
        (&[count, zero], pipe.into(), &["BPF_MAP0: descriptor 0 is a pipe, not a map, dropped"]),
        (
            &[count, zero],
            OwnedFd::from(socket).into(),
            &["BPF_MAP0: descriptor 0 is a socket, not a map, dropped"],
        ),
        (
            &[count, zero],
            open_pin(&program).into(),
            &["BPF_MAP0: descriptor 0 is a BPF program, not a map, dropped"],
        ),
        (
            &[count, ("BPF_MAP0", b"2147483647")],
            Stdio::null(),
            &["BPF_MAP0: descriptor 2147483647 is closed, dropped"],
        ),
        (
            &[count, ("BPF_MAP0", b"")],
            Stdio::null(),
            &["BPF_MAP0: \"\" is not a descriptor number, dropped", is_0],
        ),
        (
            &[count, ("BPF_MAP0", b"\x1b[2J\n\xff")],
            Stdio::null(),
            &["BPF_MAP0: \"\\x1b[2J\\n\\xff\" is not a descriptor number, dropped", is_0],
        ),
        (
            &[count, ("BPF_MAP00", b"0")],
            Stdio::null(),
            &["BPF_MAP00: not a number for a map, dropped", is_0],
        ),
        (
            &[count, ("BPF_MAP4294967296", b"0")],
            Stdio::null(),
            &["BPF_MAP4294967296: not a number for a map, dropped", is_0],
        ),
        // Names and layouts of no map are dropped without a word.
        (
            &[
                ("BPF_MAP7_NAME", b"stale"),
                ("BPF_MAP0_NAME", b"stale"),
                ("BPF_MAP7_LAYOUT", b"u8 -> u8"),
            ],
            Stdio::null(),
            &[],
        ),
    ];
    for (variables, stdin, warnings) in cases {
        let stderr: String = warnings.iter().map(|w| format!("bpf-exec: warning: {w}\n")).collect();
        let (found, warned) = inherit(&lab, variables, stdin);
        assert_eq!((found, warned), (new.map(String::from).to_vec(), stderr), "{variables:?}");
    }
    // One that really is a map is kept, whatever is wrong with the count.
    for (variables, warning, kept) in [
        (&[("BPF_MAP9", &b"0"[..])][..], "BPF_NUM_MAPS is not set (found 1 map)", "BPF_MAP9=0"),
        (&[zero, ("BPF_NUM_MAPS", b"abc")], "BPF_NUM_MAPS: \"abc\" is not a number", "BPF_MAP0=0"),
        (&[zero, ("BPF_NUM_MAPS", b"7")], "BPF_NUM_MAPS is 7 (found 1 map)", "BPF_MAP0=0"),
    ] {
        let (found, warned) = inherit(&lab, variables, open_pin(&map).into());
        assert_eq!(warned, format!("bpf-exec: warning: {warning}\n"));
        assert!(found.contains(&kept.to_string()), "{found:?}");
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.contains(&"BPF_NUM_MAPS=2".to_string()), "{found:?}");
    }
}

#[test]
fn fd_closed_by_sudo_is_reported_with_a_hint() {
    let lab = Lab::new();
    lab.array("map", 1);
    // The name of the parent decides; the shell does not exec the last command here.
    let script = format!("#!/bin/sh\n'{}' echo ran; exit $?\n", binary("bpf-exec").display());
    for (parent, hint) in
        [("sudo", " (sudo closes file descriptors: run sudo bpf-exec … instead)"), ("other", "")]
    {
        std::fs::write(lab.path(parent), &script).unwrap();
        std::fs::set_permissions(lab.path(parent), Permissions::from_mode(0o755)).unwrap();
        let mut command = lab.program(lab.path(parent).to_str().unwrap(), [""; 0]);
        command.envs([("BPF_NUM_MAPS", "1"), ("BPF_MAP0", "900")]);
        let stderr = format!(
            "bpf-exec: warning: BPF_MAP0: descriptor 900 is closed, dropped{hint}\n\
             bpf-exec: warning: nothing is handed over: the objects that the environment declares are not open \
             (use --pin /sys/fs/bpf for every pinned map)\n"
        );
        assert_eq!(run(&mut command), Run { status: 0, stdout: "ran\n".into(), stderr });
    }
}

#[test]
fn lost_inherited_map_does_not_widen_the_scope() {
    let lab = Lab::new();
    lab.array("map", 1);
    for (options, variable, want) in [
        (&[][..], ("BPF_MAP0", "900"), "BPF_NUM_MAPS=0"),
        (&[], ("BPF_MAP00", "900"), "BPF_NUM_MAPS=0"),
        (&["--clean"], ("BPF_MAP0", "900"), "BPF_NUM_MAPS=0"),
        (&[], ("BPF_NUM_MAPS", "0"), "BPF_NUM_MAPS=0"),
        (&["--clean"], ("BPF_NUM_MAPS", "0"), "BPF_NUM_MAPS=0"),
        (&[], ("BPF_NUM_PROGS", "0"), "BPF_NUM_MAPS=0"),
        (&[], ("BPF_LINK0", "900"), "BPF_NUM_MAPS=0"),
        (&[], ("BPF_MAP0_NAME", "stale"), "BPF_NUM_MAPS=1"),
    ] {
        let run = run(lab.exec(options).args(["--", "env"]).envs([variable]));
        assert_eq!((run.status, contract(&run.stdout)[0]), (0, want), "{variable:?} {run:?}");
    }
}

/// A shell script in which 64 is a writable map that no variable names.
const STRAY: &str = r#"unset BPF_NUM_MAPS BPF_MAP0 BPF_MAP0_NAME; exec "$@""#;

#[test]
fn read_only_holds_for_maps_that_no_variable_names() {
    let lab = Lab::new();
    lab.array("map", 1);
    let stray = ["--pin", "/sys/fs/bpf/map", "--", "sh", "-c", STRAY, "sh", "bpf-exec"];
    let write = ["--", "bpf-map", "set", "fd:64", "0", "1"];
    assert_eq!(stdout_of(lab.exec(stray).args(["--pin", "/sys/fs/bpf/map"]).args(write)), "");
    let read_only = run(lab.exec(stray).args(["-r", "--pin", "/sys/fs/bpf/map"]).args(write));
    let message = "bpf-map: fd:64: set: operation not permitted (the descriptor is read-only)\n";
    assert_eq!((read_only.status, read_only.stderr.as_str()), (2, message));
    let clean = run(lab
        .exec(stray)
        .args(["--clean", "--fd-base=70", "--pin", "/sys/fs/bpf/map"])
        .args(write));
    assert_eq!(
        (clean.status, clean.stderr.as_str()),
        (2, "bpf-map: fd:64: descriptor 64 is closed\n")
    );
}

#[test]
fn inherited_map_without_proc_is_an_error() {
    let lab = Lab::new();
    lab.array("map", 1);
    // A root of its own, with the binary, a bpffs and no /proc.
    let root = lab.path("root");
    std::fs::create_dir_all(root.join("bpf")).unwrap();
    // By another process: one that another test forks could hold it open for writing.
    stdout_of(&mut lab.program("cp", [binary("bpf-exec"), root.join("bpf-exec")]));
    let inner = [
        root.to_str().unwrap(),
        "/bpf-exec",
        "-r",
        "--create=x=array,value=4,entries=1",
        "/bpf-exec",
    ];
    let mut command = lab.exec(["--pin", "/sys/fs/bpf/map", "--", "chroot"]);
    fails(
        command.args(inner),
        125,
        "bpf-exec: BPF_MAP0: descriptor 64: identify: /proc/self is missing (/proc is not mounted)",
    );
}

/// Fills the environment of `command` with `bytes` bytes.
fn fill(command: &mut Command, bytes: usize) {
    const STRING: usize = 100_000; // the kernel takes 128 KiB in one
    for n in 0..bytes.div_ceil(STRING) {
        // Each costs its NUL and a pointer too.
        let length = STRING.min(bytes - n * STRING).saturating_sub("FILL_00=".len() + 9);
        command.env(format!("FILL_{n:02}"), "x".repeat(length));
    }
}

#[test]
fn environment_too_large_for_the_kernel_is_an_error() {
    let lab = Lab::new();
    std::fs::create_dir("/sys/fs/bpf/maps").unwrap();
    let object = fixture("types.bpf.o");
    bpftool(&[
        "prog",
        "loadall",
        &object,
        "/sys/fs/bpf/progs",
        "type",
        "tc",
        "pinmaps",
        "/sys/fs/bpf/maps",
    ]);
    let one = "--pin=/sys/fs/bpf/maps/t_outer";
    // The kernel's limit on arguments and environment is a quarter of the stack's.
    const LIMIT: usize = 2 << 20;
    let stack = ["prlimit", "--stack=8388608:8388608"];
    let count = "env | wc -c; echo $BPF_NUM_MAPS";
    let mut command = lab.exec([one, "--", "sh", "-c", count]);
    fill(&mut command, 1 << 20);
    let stdout = stdout_of(&mut wrapped(&stack, &command));
    let (bytes, maps) = stdout.trim().split_once('\n').unwrap();
    assert!(bytes.parse::<usize>().unwrap() > 1 << 20, "{stdout}");
    assert_eq!(maps, "1");
    // bpf-exec itself can be started with these, but no command with 500 more layouts.
    let filler = LIMIT - 100_000;
    let run_with = |maps: usize| {
        let mut command = lab.exec(std::iter::repeat_n(one, maps).chain(["--", "echo", "ran"]));
        fill(&mut command, filler);
        wrapped(&stack, &command)
    };
    assert_eq!(stdout_of(&mut run_with(1)), "ran\n");
    let message = "echo: execute: the environment and arguments are too long";
    refused(&lab, &mut run_with(500), 125, message);
}

#[test]
fn proc_of_another_pid_namespace_is_reported() {
    let lab = Lab::new();
    lab.array("map", 1);
    // The PID namespace is a child that has ended: its /proc shows no process from outside.
    const SCRIPT: &str = "unshare --pid --fork mount -t proc proc /proc && exec bpf-exec true";
    let mut command = lab.exec(["--pin", "/sys/fs/bpf/map", "--", "unshare", "--mount"]);
    fails(
        command.args(["sh", "-c", SCRIPT]),
        125,
        "bpf-exec: BPF_MAP0: descriptor 64: identify: /proc/self is missing \
         (/proc does not show this process: it is that of another PID namespace)",
    );
}
