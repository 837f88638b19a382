//! Variables that are wrong, and objects that are refused.

use super::*;
use crate::common::child::{Running, Start};
use crate::common::fds::*;
use crate::common::*;
use nix::sys::stat::Mode;
use std::process::Stdio;

#[test]
fn malformed_inherited_variables_warn() {
    let lab = Lab::new();
    let (prog, link, map) = pins(&lab);
    let new = ["BPF_NUM_MAPS=1", "BPF_MAP0=64", "BPF_MAP0_NAME=map"];
    // The variables, stdin, the warnings, and the variables in addition to those of the new map.
    type Case<'a> = (&'a [&'a str], Stdio, &'a [&'a str], &'a [&'a str]);
    let cases: [Case; 12] = [
        (
            &["BPF_NUM_PROGS=1", "BPF_PROG0=900"],
            Stdio::null(),
            &["BPF_PROG0: descriptor 900 is closed, dropped"],
            &[],
        ),
        (
            &["BPF_NUM_PROGS=1", "BPF_PROG0=0"],
            Stdio::null(),
            &["BPF_PROG0: descriptor 0 is a file, not a program, dropped"],
            &[],
        ),
        (
            &["BPF_NUM_PROGS=1", "BPF_PROG0=0"],
            open_pin(&map).into(),
            &["BPF_PROG0: descriptor 0 is a BPF map, not a program, dropped"],
            &[],
        ),
        (
            &["BPF_NUM_LINKS=1", "BPF_LINK0=0"],
            open_pin(&prog).into(),
            &["BPF_LINK0: descriptor 0 is a BPF program, not a link, dropped"],
            &[],
        ),
        (
            &["BPF_NUM_PROGS=1", "BPF_PROG0=0"],
            open_pin(&link).into(),
            &["BPF_PROG0: descriptor 0 is a BPF link, not a program, dropped"],
            &[],
        ),
        (
            &["BPF_NUM_LINKS=2", "BPF_LINK00=0"],
            open_pin(&link).into(),
            &["BPF_LINK00: not a number for a link, dropped", "BPF_NUM_LINKS is 2 (found 0 links)"],
            &[],
        ),
        (
            &["BPF_PROG0=-1", "BPF_NUM_PROGS=x"],
            Stdio::null(),
            &[
                "BPF_PROG0: \"-1\" is not a descriptor number, dropped",
                "BPF_NUM_PROGS: \"x\" is not a number",
            ],
            &[],
        ),
        // Counts of none, and names of nothing, are dropped without a word.
        (
            &["BPF_NUM_PROGS=0", "BPF_NUM_LINKS=0", "BPF_PROG3_NAME=stale", "BPF_LINK0_NAME=stale"],
            Stdio::null(),
            &[],
            &[],
        ),
        // A real object is kept, even if the count is wrong.
        (
            &["BPF_PROG9=0"],
            open_pin(&prog).into(),
            &["BPF_NUM_PROGS is not set (found 1 program)"],
            &["BPF_NUM_PROGS=1", "BPF_PROG9=0"],
        ),
        (
            &["BPF_NUM_LINKS=7", "BPF_LINK2=0", "BPF_LINK2_NAME=x"],
            open_pin(&link).into(),
            &["BPF_NUM_LINKS is 7 (found 1 link)"],
            &["BPF_NUM_LINKS=1", "BPF_LINK2=0", "BPF_LINK2_NAME=x"],
        ),
        // Only maps have layouts: this variable is not part of the contract.
        (
            &["BPF_NUM_PROGS=1", "BPF_PROG3=0", "BPF_PROG3_LAYOUT=mine"],
            open_pin(&prog).into(),
            &[],
            &["BPF_NUM_PROGS=1", "BPF_PROG3=0"],
        ),
        (&["BPF_PROG3_LAYOUT=mine", "BPF_PROGRAM=x", "BPF_LINK=y"], Stdio::null(), &[], &[]),
    ];
    for (variables, stdin, warnings, kept) in cases {
        let stderr: String = warnings.iter().map(|w| format!("bpf-exec: warning: {w}\n")).collect();
        let (found, warned) = inherit(&lab, variables, stdin);
        let foreign = ["BPF_PROG3_LAYOUT=mine", "BPF_PROGRAM=x", "BPF_LINK=y"];
        let (theirs, ours): (Vec<_>, Vec<_>) =
            found.iter().map(String::as_str).partition(|line| foreign.contains(line));
        assert_eq!((&ours[..], warned), (&[&new, kept].concat()[..], stderr), "{variables:?}");
        assert_eq!(theirs.len(), variables.iter().filter(|v| foreign.contains(v)).count());
    }
}

#[test]
fn other_object_at_a_pin_or_id_is_an_error() {
    let lab = Lab::new();
    pins(&lab);
    std::fs::write(lab.path("file"), "").unwrap();
    nix::unistd::mkfifo(&lab.path("fifo"), Mode::S_IRWXU).unwrap();
    for (option, value, cause) in [
        ("--prog", MAP, "/sys/fs/bpf/map: open pin: a BPF map, not a program"),
        ("--prog", LINK, "/sys/fs/bpf/flows: open pin: a BPF link, not a program"),
        ("--link", MAP, "/sys/fs/bpf/map: open pin: a BPF map, not a link"),
        ("--link", PROG, "/sys/fs/bpf/filter: open pin: a BPF program, not a link"),
        ("--prog", "/sys/fs/bpf/no", "/sys/fs/bpf/no: open pin: no such file or directory"),
        ("--link", "id", "id: open pin: no such file or directory"),
        ("--link", "file", "file: open pin: not on a bpf file system"),
        ("--prog", "fifo", "fifo: open pin: not on a bpf file system"),
        ("--prog", "/", "/: read directory: not on a bpf file system"),
        ("--prog", "id:4294967295", "id 4294967295: open program by id: no such program"),
        ("--link", "id:4294967295", "id 4294967295: open link by id: no such link"),
        ("--prog", "id:", "--prog id:: not a program id"),
        ("--link", "id:-1", "--link id:-1: not a link id"),
        ("--link", "id:4294967296", "--link id:4294967296: not a link id"),
        ("--prog", "7=/x", "--prog 7=/x: the name is a number"),
        ("--prog", "=/x", "--prog =/x: the name is empty"),
        (
            "--link",
            "a:b=id:7",
            "--link a:b=id:7: the name contains '/', ':', '=' or a control byte",
        ),
    ] {
        // Nothing comes of a source that is all right.
        for before in [&["--prog", PROG, "--link", LINK][..], &["--create=x=ringbuf,entries=4k"]] {
            refused(&lab, &[before, &[option, value]].concat(), cause);
        }
    }
}

#[test]
fn user_gets_what_the_pin_permissions_allow() {
    let lab = Lab::new();
    let (prog, link, map) = pins(&lab);
    let exec = lab.reachable("bpf-exec");
    let nobody = |words: &[&str]| {
        let words = [&NOBODY[1..], &[exec.as_str()], words, &["--", "env"]].concat();
        lab.program(NOBODY[0], words)
    };
    chmod(BPFFS, 0o755);
    for (option, pin, mode, cause) in [
        ("--prog", &prog, 0o600, Some("permission denied")),
        ("--prog", &prog, 0o444, None),
        ("--link", &link, 0o600, Some("permission denied")),
        // A link's descriptor has no access but read-write.
        ("--link", &link, 0o444, Some("permission denied")),
        ("--link", &link, 0o666, None),
        // The type of a readable object is reported.
        ("--link", &map, 0o444, Some("a BPF map, not a link")),
        ("--link", &prog, 0o444, Some("a BPF program, not a link")),
        ("--prog", &map, 0o444, Some("a BPF map, not a program")),
        ("--prog", &link, 0o444, Some("a BPF link, not a program")),
    ] {
        chmod(pin, mode);
        let path = pin.to_str().unwrap();
        let mut command = nobody(&[option, path]);
        match cause {
            Some(cause) => {
                fails(&mut command, 125, &format!("bpf-exec: {path}: open pin: {cause}"));
            }
            None => assert_eq!(contract(&stdout_of(&mut command)).len(), 4, "{option} {mode:o}"),
        }
    }
    let message = "operation not permitted (CAP_SYS_ADMIN is needed)";
    for (option, what) in [("--prog", "program"), ("--link", "link")] {
        let line = format!("bpf-exec: id 1: open {what} by id: {message}");
        fails(&mut nobody(&[option, "id:1"]), 125, &line);
    }
}

#[test]
fn read_only_refuses_declared_programs_and_links() {
    let lab = Lab::new();
    let (prog, link, _) = pins(&lab);
    let by_id = format!("id:{}", id_of_pinned("prog", &prog));
    let object = by_id.replace(':', " ");
    let program = "open read-only: a program has no read-only file descriptor";
    let linked = "open read-only: a link has no read-only file descriptor";
    for (words, message) in [
        (&["-r", "--prog", PROG][..], format!("{PROG}: {program}")),
        (&["-r", "--pin", MAP, "--prog", &by_id], format!("{object}: {program}")),
        (&["-r", "--link", BPFFS], format!("{BPFFS}: {linked}")),
        (&["-r", "--dry-run", "--link", LINK], format!("{LINK}: {linked}")),
        // Reported before the wait begins.
        (&["-r", "--import", "socket", "--prog", PROG], format!("{PROG}: {program}")),
        (&["--prog", PROG, "--", "bpf-exec", "-r"], format!("BPF_PROG0: {program}")),
        (&["--link", LINK, "--", "bpf-exec", "-r", "--pin", MAP], format!("BPF_LINK0: {linked}")),
    ] {
        refused(&lab, words, &message);
    }
    let outer = ["--prog", PROG, "--link", LINK, "--pin", MAP, "--"];
    // Dropped variables have no effect; their numbers still count as taken.
    let clean = ["bpf-exec", "-r", "--clean", "--pin", MAP];
    let map = ["BPF_NUM_MAPS=1", "BPF_MAP0=67", "BPF_MAP0_NAME=map"];
    assert_eq!(handed_over(&lab, &[&outer[..], &clean].concat()), map);
    // Here the map is a stray as well: it alone is replaced.
    let unset = ["env", "-u", "BPF_PROG0", "-u", "BPF_LINK0", "-u", "BPF_MAP0", "-u"];
    let unset = [&unset[..], &["BPF_NUM_PROGS", "-u", "BPF_NUM_LINKS", "-u", "BPF_NUM_MAPS"]];
    let inner = ["bpf-exec", "-r", "--create", "x=ringbuf,entries=4k", "--", "cat"];
    let words = [&outer[..], &unset.concat(), &inner].concat();
    let running = Running::cat(&Start::default(), &mut lab.exec(words));
    assert_eq!(running.contract()[..2], ["BPF_NUM_MAPS=1", "BPF_MAP0=67"]);
    running.fds().assert_numbers(&[0, 1, 2, 64, 65, 66, 67], "the command's fds");
    assert_eq!(running.fdinfo(64, "prog_id"), id_of_pinned("prog", &prog));
    assert_eq!(running.fdinfo(65, "link_id"), id_of_pinned("link", &link));
    assert_eq!(running.fdinfo(66, "flags"), "00");
    assert_eq!(running.end(), NOTHING);
}

#[test]
fn lock_refuses_test_runs_and_iterators() {
    let lab = Lab::new();
    pins(&lab);
    let (bpf_map, objects) = (lab.reachable("bpf-map"), lab.reachable("objects"));
    let sources = ["--prog", PROG, "--link", LINK, "--pin", MAP, "--"];
    let warning =
        "bpf-exec: warning: --lock: the command runs as root, which the filter does not restrict\n";
    for (words, stdout) in
        [(["run", "filter"], "0\n"), (["run", "0"], "0\n"), (["read", "flows"], "read\n")]
    {
        let command = [&sources, &NOBODY[..], &[&objects], &words].concat();
        assert_eq!(stdout_of(&mut lab.exec(&command)), stdout, "{words:?}");
        let run = run(&mut lab.exec([&["--lock"], &command[..]].concat()));
        let stderr = format!("{warning}objects: Operation not permitted (os error 1)\n");
        assert_eq!(run, Run { status: 2, stdout: String::new(), stderr });
    }
    // The map can still be used.
    let get = [&["--lock"], &sources[..], &NOBODY, &[&bpf_map, "get", "map", "1"]].concat();
    let want = Run { status: 0, stdout: "42\n".into(), stderr: warning.into() };
    assert_eq!(run(&mut lab.exec(get)), want);
}
