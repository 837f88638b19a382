//! Walks over a bpf file system in which any user may make directories.

use crate::common::*;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};

/// Makes `depth` directories of names of `length` bytes, one within the other, below the root.
fn nest(depth: usize, length: usize) {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut directory = open(BPFFS, flags, Mode::empty()).unwrap();
    let name = "n".repeat(length);
    for _ in 0..depth {
        mkdirat(&directory, name.as_str(), Mode::S_IRWXU).unwrap();
        directory = openat(&directory, name.as_str(), flags, Mode::empty()).unwrap();
    }
}

#[test]
fn paths_longer_than_path_max_do_not_end_a_walk() {
    let lab = Lab::new();
    let pin = lab.array("map", 1);
    nest(20, 250);
    let environment = stdout_of(&mut lab.exec(["env"]));
    let want = ["BPF_NUM_MAPS=1", "BPF_MAP0=64", "BPF_MAP0_NAME=map"];
    assert_eq!(contract(&environment), want);
    let show = stdout_of(&mut lab.map(["show", pin.to_str().unwrap()]));
    assert!(show.contains("\npin: /sys/fs/bpf/map\n"), "{show}");
    stdout_of(&mut lab.map(["list", "--all"]));
}

#[test]
fn deeply_nested_directories_are_skipped_with_a_warning() {
    let lab = Lab::new();
    lab.array("map", 1);
    nest(70, 1);
    let deep = format!("/sys/fs/bpf{}", "/n".repeat(65));
    let line = format!("warning: {deep}: directories are nested too deeply here: skipped\n");
    let executed = run(&mut lab.exec(["env"]));
    assert_eq!((executed.status, executed.stderr), (0, format!("bpf-exec: {line}")));
    assert_eq!(contract(&executed.stdout)[0], "BPF_NUM_MAPS=1");
    // An incomplete result is a failure.
    let shown = run(&mut lab.map(["show", "/sys/fs/bpf/map"]));
    assert_eq!((shown.status, shown.stderr), (2, format!("bpf-map: {line}")));
    assert!(shown.stdout.contains("\npin: /sys/fs/bpf/map\n"), "{}", shown.stdout);
}

#[test]
fn incomplete_list_of_pins_warns_and_fails() {
    let lab = Lab::new();
    lab.array("map", 1);
    nest(3, 1);
    let inject = |errno: &str| format!("inject=getdents64:error={errno}:when=3+");
    for (words, names) in [(&["show", "/sys/fs/bpf/map"][..], "id"), (&["list", "--all"], "map")] {
        for (errno, text) in [("EIO", "input/output error"), ("ENOMEM", "cannot allocate memory")] {
            let strace = ["strace", "-qq", "-o", "/dev/null", "-e", &inject(errno)];
            let run = run(&mut wrapped(&strace, &lab.map(words)));
            let line = format!(": pins are missing: {text}\n");
            assert_eq!(run.status, 2, "{run:?}");
            assert!(run.stderr.starts_with("bpf-map: warning: /sys/fs/bpf"), "{run:?}");
            assert!(run.stderr.ends_with(&line), "{run:?}");
            assert!(run.stdout.contains(names), "{run:?}");
        }
    }
    // Each level of directories has a descriptor while it is walked.
    let limit = ["prlimit", "--nofile=6:6"];
    let run = run(&mut wrapped(&limit, &lab.map(["show", "/sys/fs/bpf/map"])));
    assert_eq!(run.status, 2, "{run:?}");
    assert!(run.stderr.ends_with(": pins are missing: too many open files\n"), "{run:?}");
}
