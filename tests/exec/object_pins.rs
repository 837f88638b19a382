//! Pins that object files ask for: reused if they are the same map, and removed if nothing was run.

use crate::common::waiting::sleeps_in;
use crate::common::*;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

const SHARED: &str = "/sys/fs/bpf/tc/globals/shared";

/// The pins below the root, and directories.
fn below_root() -> Vec<String> {
    let find = run(std::process::Command::new("find").args([BPFFS, "-mindepth", "1"]));
    let debug = |line: &&str| !line.ends_with(".debug");
    let mut lines: Vec<_> = find.stdout.lines().filter(debug).map(String::from).collect();
    lines.sort_unstable();
    lines
}

/// The directory of an object in tc's hierarchy.
fn own_directory(file: &str) -> String {
    let hash = run(std::process::Command::new("sha1sum").arg(file)).stdout;
    format!("{BPFFS}/tc/{}", hash.split(' ').next().unwrap())
}

/// The id of the map named `name`, as the command sees it.
fn id_of(lab: &Lab, file: &str, name: &str) -> String {
    let script = format!("bpf-map show {name} | sed -n 's/^id: //p'");
    stdout_of(&mut lab.exec(["--object", file, "--", "sh", "-c", &script]))
}

#[test]
fn declared_pins_have_the_paths_of_tc_and_are_reused() {
    let lab = Lab::new();
    let file = fixture("legacy.bpf.o");
    let id = id_of(&lab, &file, "shared");
    let own = own_directory(&file);
    let mut want = vec![
        format!("{BPFFS}/tc"),
        own.clone(),
        format!("{own}/own"),
        format!("{BPFFS}/tc/globals"),
        SHARED.into(),
    ];
    want.sort_unstable();
    assert_eq!(below_root(), want);
    assert_eq!(map_id(Path::new(SHARED)).to_string(), id.trim());
    assert_eq!(id_of(&lab, &file, "shared"), id);
    assert_eq!(below_root(), want);
}

#[test]
fn pins_are_removed_if_no_command_is_executed() {
    let lab = Lab::new();
    let file = fixture("legacy.bpf.o");
    let line = "bpf-exec: ./missing: execute: command not found";
    fails(&mut lab.exec(["--object", &file, "--", "./missing"]), 127, line);
    assert_eq!(below_root(), [""; 0]);
    stdout_of(&mut lab.exec(["--object", &file, "--dry-run"]));
    assert_eq!(below_root(), [""; 0]);
    // Another source fails.
    let line = "bpf-exec: /sys/fs/bpf/none: open pin: no such file or directory";
    fails(&mut lab.exec(["--object", &file, "--pin", "/sys/fs/bpf/none", "--", "true"]), 125, line);
    assert_eq!(below_root(), [""; 0]);
}

#[test]
fn signal_before_the_execution_removes_the_pins() {
    let lab = Lab::new();
    let file = fixture("legacy.bpf.o");
    for command in ["./missing", "true"] {
        // The table cannot be written, because the pipe is full: bpf-exec waits with its pins made.
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let flags = fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        flags.unwrap();
        while nix::unistd::write(&writer, &[b'x'; 4096]).is_ok() {}
        while nix::unistd::write(&writer, b"x").is_ok() {}
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
        let mut outer = lab.exec(["-v", "--object", &file, "--", command]);
        let mut child = with_default_signals(outer.stderr(writer)).spawn().unwrap();
        drop(outer);
        let pid = child.id();
        eventually("pins", || sleeps_in(pid, &[libc::SYS_write]) && !below_root().is_empty());
        kill(Pid::from_raw(pid as i32), Signal::SIGTERM).unwrap();
        let mut text = Vec::new();
        std::fs::File::from(reader).read_to_end(&mut text).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGTERM), "{command}");
        assert_eq!(below_root(), [""; 0], "{command}");
    }
}

#[test]
fn command_inherits_the_signal_mask_from_before_the_pins() {
    let lab = Lab::new();
    let mask = ["grep", "SigBlk", "/proc/self/status"];
    let want = stdout_of(&mut lab.program(mask[0], &mask[1..]));
    let file = fixture("legacy.bpf.o");
    assert_eq!(stdout_of(lab.exec(["--object", &file, "--"]).args(mask)), want);
}

#[test]
fn objects_that_declare_one_pin_share_the_map() {
    let lab = Lab::new();
    let file = fixture("legacy.bpf.o");
    // With another hash, so the maps of the object's own directory differ.
    let again = lab.path("again.o");
    std::fs::copy(&file, &again).unwrap();
    std::fs::OpenOptions::new().append(true).open(&again).unwrap().write_all(b"\n").unwrap();
    let (first, second) = (format!("{file}#shared"), format!("{}#shared", again.display()));
    let counted = format!("{}#packets", fixture("count.bpf.o"));
    let taken = |file: &str| {
        let reason = "declared ids are duplicate or in use, so all maps get other numbers: 7";
        format!("bpf-exec: warning: {file}: {reason}\n")
    };
    for (one, two, stderr) in [
        (&first, &second, taken(second.trim_end_matches("#shared"))),
        (&first, &first, taken(&file)),
        (&counted, &counted, String::new()),
    ] {
        let options = ["--object", one.as_str(), "--object", two];
        let dry = run(lab.exec(options).arg("--dry-run"));
        assert_eq!((dry.status, &dry.stderr), (0, &stderr));
        assert_eq!(below_root(), [""; 0], "{one} {two}");
        let ids = |lab: &Lab| {
            let script = "env | sed -n 's/^BPF_MAP[0-9]*_ID=//p'";
            let run = run(lab.exec(options).args(["--", "sh", "-c", script]));
            assert_eq!((run.status, &run.stderr), (0, &stderr));
            run.stdout
        };
        let new = ids(&lab);
        let words: Vec<&str> = new.split_whitespace().collect();
        assert_eq!((words.len(), words[0]), (2, words[1]), "{one} {two}");
        // The pin is that of the map, and the second run reuses it.
        assert_eq!(ids(&lab), new);
        for path in below_root().iter().rev() {
            let path = Path::new(path);
            if path.is_dir() { std::fs::remove_dir(path) } else { std::fs::remove_file(path) }
                .unwrap();
        }
    }
}

#[test]
fn pin_of_another_map_is_refused_with_the_differences() {
    let lab = Lab::new();
    let file = fixture("legacy.bpf.o");
    std::fs::create_dir_all(format!("{BPFFS}/tc/globals")).unwrap();
    for (spec, difference) in [
        ("hash,key=4,value=12,entries=16", "value size 8 declared, 12 pinned"),
        (
            "lru_hash,key=4,value=8,entries=17",
            "type hash declared, lru_hash pinned; max entries 16 declared, 17 pinned",
        ),
        (
            "hash,key=4,value=8,entries=16,flags=NO_PREALLOC",
            "flags none declared, NO_PREALLOC pinned",
        ),
        (
            "hash,key=u32,value=struct{a: u32, b: u32},entries=16",
            "layout u32 -> struct{left: u32, right: u32} declared, u32 -> struct{a: u32, b: u32} pinned",
        ),
    ] {
        let spec = format!("shared={spec}");
        stdout_of(&mut lab.map(["create", &spec, "--pin", SHARED]));
        let before = (below_root(), map_id(Path::new(SHARED)));
        let line =
            format!("bpf-exec: {SHARED}: reuse pin: another map is pinned there: {difference}");
        fails(&mut lab.exec(["--object", &file, "--", "true"]), 125, &line);
        assert_eq!((below_root(), map_id(Path::new(SHARED))), before);
        stdout_of(&mut lab.map(["unpin", SHARED]));
    }
    // A pinned map without BTF matches a declaration with types.
    stdout_of(&mut lab.map(["create", "shared=hash,key=4,value=8,entries=16", "--pin", SHARED]));
    let id = map_id(Path::new(SHARED)).to_string();
    assert_eq!(id_of(&lab, &file, "shared").trim(), id);
    stdout_of(&mut lab.map(["unpin", SHARED]));
    bpftool(&["prog", "load", &fixture("noop.bpf.o"), SHARED, "type", "tc"]);
    let line = format!("bpf-exec: {SHARED}: open pin: a BPF program, not a map");
    fails(&mut lab.exec(["--object", &file, "--", "true"]), 125, &line);
}

#[test]
fn map_that_libbpf_pinned_by_name_is_reused() {
    let lab = Lab::new();
    let file = fixture("count.bpf.o");
    std::fs::create_dir(format!("{BPFFS}/programs")).unwrap();
    bpftool(&["prog", "loadall", &file, &format!("{BPFFS}/programs"), "type", "tc"]);
    let pin = format!("{BPFFS}/packets");
    let id = map_id(Path::new(&pin)).to_string();
    let before = below_root();
    let object = format!("{file}#packets");
    assert_eq!(id_of(&lab, &object, "packets").trim(), id);
    assert_eq!(below_root(), before);
    // And the other way round: libbpf accepts the map that was made for the declaration.
    for pin in before.iter().filter(|pin| *pin != &format!("{BPFFS}/programs")) {
        let _ = std::fs::remove_file(pin);
    }
    let id = id_of(&lab, &object, "packets");
    std::fs::create_dir(format!("{BPFFS}/again")).unwrap();
    bpftool(&["prog", "loadall", &file, &format!("{BPFFS}/again"), "type", "tc"]);
    assert_eq!(map_id(Path::new(&pin)).to_string(), id.trim());
}
