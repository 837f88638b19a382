//! The library, as a child of bpf-exec uses it: `examples/counter.rs`, and this test itself.

mod common;

use bpf_exec::TakeError;
use common::child::Start;
use common::*;
use nix::fcntl::{F_GETFD, FdFlag, fcntl};

const HITS: [&str; 3] = ["--create", "hits=array,value=u64,entries=4", "--"];

#[test]
fn a_child_takes_its_map_by_name_or_number_and_counts() {
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
fn what_the_library_does_not_give_out_is_an_error() {
    let lab = Lab::new();
    let counter = binary("counter");
    let twice = ["--create", "a=array,value=8,entries=1", "--create", "a=array,value=8,entries=1"];
    let other = ["--create", "a=array,value=4,entries=1"];
    let cpus = ["--create", "a=percpu_array,value=8,entries=1"];
    let hash = ["--create", "a=hash,key=4,value=8,entries=1"];
    for (source, words, status, stderr) in [
        (&hash[..], &["b"][..], 2, "counter: b: nothing of this name was inherited\n"),
        (&hash, &["7"], 2, "counter: BPF_MAP7: nothing of this name was inherited\n"),
        (&hash, &["\x1b\n"], 2, "counter: \\x1b\\n: nothing of this name was inherited\n"),
        (&twice, &["a"], 2, "counter: a: several of this name were inherited: [0, 1]\n"),
        (&other, &["a"], 2, "counter: a: not a map of 32-bit keys and 64-bit values\n"),
        (&cpus, &["a"], 2, "counter: a: not a map of 32-bit keys and 64-bit values\n"),
        (&hash, &["a", "5"], 1, ""), // absent
        (&[], &["a"], 2, "counter: a: nothing of this name was inherited\n"),
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
fn what_is_wrong_in_the_environment_is_a_warning_and_the_rest_is_given_out() {
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
        (&["BPF_NUM_MAPS=2", "BPF_MAP1=64"], &["BPF_MAP1: another variable names its descriptor"]),
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
        let stderr = warnings.iter().map(|line| format!("counter: warning: {line}\n")).collect();
        assert_eq!(run(&mut command), Run { status: 0, stdout: "3\n".into(), stderr });
    }
}

#[test]
fn maps_above_the_soft_limit_are_given_out() {
    let lab = Lab::new();
    let option = |i| format!("--create=m{i}=array,value=8,entries=1");
    let mut command = lab.exec((0..200).map(option));
    command.arg("--").arg(binary("counter")).args(["m199", "0", "7"]);
    let start = Start { open_files: Some((128, 300)), ..Start::default() };
    assert_eq!(stdout_of(start.apply(&mut command)), "7\n");
}

/// Runs as a test, and as the child of bpf-exec which that test starts: what is
/// taken can be taken once only in a process.
#[test]
fn descriptors_are_taken_once_and_are_close_on_exec_from_then_on() {
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
    let is_close_on_exec = |fd: &std::os::fd::OwnedFd| {
        FdFlag::from_bits_retain(fcntl(fd, F_GETFD).unwrap()).contains(FdFlag::FD_CLOEXEC)
    };
    let mut maps = bpf_exec::take().unwrap();
    assert_eq!(bpf_exec::take().unwrap_err(), TakeError::Taken);
    assert_eq!(maps.warnings(), [""; 0]);
    let names: Vec<_> = maps.iter().map(|map| map.name.as_deref()).collect();
    assert_eq!(names, [Some(&b"a"[..]), Some(b"b")]);
    assert!(maps.iter().all(|map| is_close_on_exec(&map.fd)));
    let b = maps.by_name("b").unwrap();
    let sizes = (b.index, b.map_type, b.key_size, b.value_size, b.max_entries);
    assert_eq!(sizes, (1, 1, 4, 8, 1024));
    assert_eq!(b.layout.as_deref(), Some(&b"ip4 -> u64"[..]));
    assert_eq!(maps.by_name("b").unwrap_err(), TakeError::Unknown("b".into()));
    assert_eq!(maps.by_index(1).unwrap_err(), TakeError::Unknown("BPF_MAP1".into()));
    let [a] = maps.into_iter().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!((a.index, a.map_type, a.key_size, a.value_size), (0, 22, 0, 4));
    assert_eq!(a.layout.as_deref(), Some(&b"-> u32"[..]));
    drop(a);
    // The number is free again: what was taken had this one owner.
    assert!(!std::path::Path::new("/proc/self/fd/64").exists());
}
