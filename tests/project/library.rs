//! The library, as a child of bpf-exec uses it: `examples/counter.rs`, and this test itself.

use crate::common::child::Start;
use crate::common::open_fds::OpenFds;
use crate::common::*;
use bpf_inherit::{AccessMode, InheritError, InheritedObjects, MapType, open_inherited};
use nix::fcntl::{F_GETFD, FdFlag, fcntl};
use std::os::fd::{AsFd, AsRawFd};

const HITS: [&str; 3] = ["--create", "hits=array,value=u64,entries=4", "--"];

#[test]
fn child_finds_its_map_by_name_or_number() {
    let lab = Lab::new();
    let pin = lab.array("hits", 4);
    let pin = ["--create", "x=hash,key=4,value=8,entries=1", "--pin", pin.to_str().unwrap(), "--"];
    let counter = binary("counter");
    for (words, stdout) in [
        (&["hits"][..], "0\n"),
        (&["hits", "2", "40"], "40\n"),
        (&["1", "2", "2"], "42\n"),
        (&["hits", "2"], "42\n"),
        (&["1", "3"], "0\n"),
    ] {
        let mut command = lab.exec(pin);
        assert_eq!(stdout_of(command.arg(&counter).args(words)), stdout, "{words:?}");
    }
    let dump = ["-j", "map", "lookup", "pinned", pin[3], "key", "2", "0", "0", "0"];
    let json: serde_json::Value = serde_json::from_str(&bpftool(&dump)).unwrap();
    assert_eq!(json["value"][0], "0x2a");
}

#[test]
fn unavailable_map_is_an_error() {
    let lab = Lab::new();
    let counter = binary("counter");
    let twice = ["--create", "a=array,value=8,entries=1", "--create", "a=array,value=8,entries=1"];
    let other = ["--create", "a=array,value=4,entries=1"];
    let cpus = ["--create", "a=percpu_array,value=8,entries=1"];
    let hash = ["--create", "a=hash,key=4,value=8,entries=1"];
    for (source, words, status, stderr) in [
        (&hash[..], &["b"][..], 2, "counter: b: not inherited\n"),
        (&hash, &["7"], 2, "counter: BPF_MAP7: not inherited\n"),
        (&hash, &["\x1b\n"], 2, "counter: \\x1b\\n: not inherited\n"),
        (&twice, &["a"], 2, "counter: a: several inherited objects have this name: [0, 1]\n"),
        (&other, &["a"], 2, "counter: a: not a map of 32-bit keys and 64-bit values\n"),
        (&cpus, &["a"], 2, "counter: a: not a map of 32-bit keys and 64-bit values\n"),
        (&hash, &["a", "5"], 1, ""), // absent
        (&[], &["a"], 2, "counter: a: not inherited\n"),
    ] {
        let mut command = match source {
            [] => std::process::Command::new(&counter),
            source => {
                let mut command = lab.exec(source);
                command.arg("--").arg(&counter);
                command
            }
        };
        let want = Run { status, stdout: String::new(), stderr: stderr.into() };
        assert_eq!(run(command.args(words)), want, "{source:?} {words:?}");
    }
}

#[test]
fn malformed_variables_warn_and_others_are_used() {
    let lab = Lab::new();
    let counter = binary("counter");
    for (variables, warnings) in [
        (
            &["BPF_NUM_MAPS=2", "BPF_MAP1=999"][..],
            &["BPF_MAP1: descriptor 999 is closed, dropped"][..],
        ),
        (
            &["BPF_NUM_MAPS=2", "BPF_MAP1=0"],
            &["BPF_MAP1: descriptor 0 is a file, not a map, dropped"],
        ),
        (
            &["BPF_NUM_MAPS=2", "BPF_MAP1=64", "BPF_MAP1_ID=1000000000"],
            &["BPF_MAP1: fd 64 is map ID, not map 1000000000, dropped"],
        ),
        // Each variable gets a file descriptor of its own.
        (&["BPF_NUM_MAPS=2", "BPF_MAP1=64"], &[]),
        (
            &["BPF_NUM_MAPS=2", "BPF_MAP1=x"],
            &[
                "BPF_MAP1: \"x\" is not a descriptor number, dropped",
                "BPF_NUM_MAPS is 2 (found 1 map)",
            ],
        ),
        (&["BPF_NUM_MAPS=abc"], &["BPF_NUM_MAPS: \"abc\" is not a number"]),
    ] {
        let mut command = lab.exec(HITS);
        command.arg("env").args(variables).arg(&counter).args(["hits", "0", "3"]);
        let stderr: String =
            warnings.iter().map(|line| format!("counter: warning: {line}\n")).collect();
        let mut run = run(&mut command);
        let id = run.stderr.split("is map ").nth(1).and_then(|rest| rest.split(',').next());
        if let Some(id) = id.map(str::to_owned) {
            run.stderr = run.stderr.replace(&id, "ID");
        }
        assert_eq!(run, Run { status: 0, stdout: "3\n".into(), stderr });
    }
}

#[test]
fn maps_above_the_soft_limit_are_given_out() {
    let lab = Lab::new();
    let option = |i| format!("--create=m{i}=array,value=8,entries=1");
    let mut command = lab.exec((0..200).map(option));
    command.arg("--").arg(binary("counter")).args(["m199", "0", "7"]);
    let start = Start { open_files: Some((128, 600)), ..Start::default() };
    assert_eq!(stdout_of(start.apply(&mut command)), "7\n");
}

/// Runs as a test, and as the child of bpf-exec which that test starts.
#[test]
fn inherited_objects_have_one_owner_and_are_close_on_exec() {
    const CHILD: &str = "BPF_EXEC_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    let lab = Lab::new();
    let this = std::thread::current().name().expect("the test's name").to_owned();
    let mut command = lab.exec(["--create", "a=queue,value=u32,entries=3"]);
    command.args(["--create", "b=hash,key=ip4,value=8,entries=1k", "--"]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", &this]);
    let run = run(command.env(CHILD, "1"));
    assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    assert!(run.stdout.contains("1 passed"), "{}", run.stdout);
}

fn child() {
    let fds = || OpenFds::of(std::process::id());
    let before = fds();
    let is_close_on_exec = |fd: std::os::fd::BorrowedFd| {
        FdFlag::from_bits_retain(fcntl(fd, F_GETFD).unwrap()).contains(FdFlag::FD_CLOEXEC)
    };
    // Duplicates: the inherited numbers stay open, so that this can be repeated.
    for _ in 0..2 {
        let InheritedObjects { mut maps, warnings, .. } = open_inherited().unwrap();
        assert_eq!(warnings, [""; 0]);
        let names: Vec<_> = maps.iter().map(|map| map.name.as_deref()).collect();
        assert_eq!(names, [Some(&b"a"[..]), Some(b"b")]);
        assert!(maps.iter().all(|map| is_close_on_exec(map.object.as_fd())));
        assert!(maps.iter().all(|map| map.object.as_fd().as_raw_fd() != 64 + map.index as i32));
        let b = maps.by_name("b").unwrap();
        assert_eq!((b.index, b.layout.as_deref()), (1, Some(&b"ip4 -> u64"[..])));
        assert_eq!(maps.by_name("b").unwrap_err(), InheritError::NotInherited("b".into()));
        assert_eq!(maps.by_index(1).unwrap_err(), InheritError::NotInherited("BPF_MAP1".into()));
        let info = b.object.info();
        assert_eq!(
            (info.map_type, info.key_size, info.value_size, info.max_entries),
            (MapType(1), 4, 8, 1024)
        );
        assert_eq!(b.object.access_mode(), Ok(AccessMode::ReadWrite));
        let entries = [([10, 0, 0, 1], [1; 8]), ([10, 0, 0, 2], [2; 8])];
        for (key, value) in &entries {
            b.object.update(key, value, 0).unwrap();
        }
        let mut found: Vec<_> = b.object.entries().map(Result::unwrap).collect();
        found.sort();
        assert_eq!(found, entries.map(|(key, value)| (key.to_vec(), value.to_vec())));
        assert_eq!(b.object.lookup(&[0; 4], &mut [0; 8]), Ok(false));
        assert_eq!(b.object.lookup(&[0; 4], &mut [0; 4]), Err(bpf_inherit::MapError::Invalid));
    }
    fds().assert_more(0, &before);
    // SAFETY: the numbers have no owner: the objects above were duplicates.
    let owned = unsafe { bpf_inherit::from_env() }.unwrap();
    let numbers: Vec<_> = owned.maps.iter().map(|map| map.object.as_fd().as_raw_fd()).collect();
    assert_eq!(numbers, [64, 65]);
    assert!(owned.maps.iter().all(|map| is_close_on_exec(map.object.as_fd())));
    drop(owned);
    fds().assert_more(-2, &before);
    assert_eq!((fds().target(64), fds().target(65)), (None, None));
}
