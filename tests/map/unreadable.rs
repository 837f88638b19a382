//! Maps whose values the kernel never returns are refused before anything is printed; and cgroup
//! storage, whose number of entries is 0, is loaded like any other map.

use crate::common::child::Start;
use crate::common::{BPFFS, Lab, bpftool, fails, fixture, open_pin, open_pin_with, run, stdout_of};
use bpf_inherit::Map;
use nix::mount::{MsFlags, mount};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

const COOKIES: &str =
    "its values are sockets, whose cookies are returned only if values have 8 bytes";

#[test]
fn unreadable_values_are_refused_before_any_output() {
    let lab = Lab::new();
    for kind in ["sockmap", "sockhash", "reuseport_sockarray"] {
        let pin = format!("{BPFFS}/{kind}");
        let spec = format!("{kind}={kind},key=4,value=4,entries=4");
        stdout_of(&mut lab.map(["create", &spec, "--pin", &pin]));
        let words = |line: &str| line.replace("PIN", &pin);
        let mut all = vec![
            words("get PIN 0"),
            words("get --json --default x PIN 0 1"),
            words("dump PIN"),
            words("dump --json PIN"),
            words("dump --csv PIN"),
            words("dump --tsv PIN"),
            words("dump --prometheus PIN"),
            words("dump --json --sort key PIN"),
            words("watch --count 1 PIN"),
            words("watch --json --count 1 PIN 0"),
        ];
        let slots = [words("keys PIN"), words("keys --json PIN"), words("count PIN")];
        match kind {
            // Its keys are known without their values.
            "sockhash" => {
                for (words, want) in slots.iter().zip(["", "[]\n", "0\n"]) {
                    assert_eq!(stdout_of(&mut lab.map(words.split(' '))), want);
                }
            }
            _ => all.extend(slots),
        }
        for words in all {
            let operation = words.split(' ').next().expect("a subcommand");
            let message =
                format!("bpf-map: {pin}: {operation}: not possible with a {kind}: {COOKIES}");
            fails(&mut lab.map(words.split(' ')), 2, &message);
        }
    }
}

#[test]
fn watch_of_a_map_without_readable_entries_is_explained() {
    let lab = Lab::new();
    for (kind, why) in [
        (
            "perf_event_array",
            "its entries cannot be read: read perf events with bpftool map event_pipe",
        ),
        ("cgroup_array", "its entries cannot be read: only programs use them"),
        ("xskmap", "its entries cannot be read: see ss --xdp"),
    ] {
        let pin = format!("{BPFFS}/{kind}");
        let spec = format!("{kind}={kind},entries=4");
        stdout_of(&mut lab.map(["create", &spec, "--pin", &pin]));
        let article = if kind.starts_with('x') { "an" } else { "a" };
        let message = format!("bpf-map: {pin}: watch: not possible with {article} {kind}: {why}");
        fails(&mut lab.map(["watch", "--count", "1", &pin]), 2, &message);
    }
}

#[test]
fn write_only_descriptor_is_refused_before_any_output() {
    let lab = Lab::new();
    let fd = open_pin_with(&lab.hash("h"), 16);
    let start = Start { given: vec![fd.as_raw_fd()], ..Start::default() };
    let message = "operation not permitted (the descriptor is write-only)";
    for format in ["--json", "--csv", "--prometheus"] {
        let message = format!("bpf-map: fd:3: dump: {message}");
        fails(start.apply(&mut lab.map(["dump", format, "fd:3"])), 2, &message);
    }
    let watched = format!("bpf-map: fd:3: watch: {message}");
    fails(start.apply(&mut lab.map(["watch", "--count", "1", "fd:3"])), 2, &watched);
    std::fs::write(lab.path("file"), "").unwrap();
    let loaded = format!("bpf-map: fd:3: load: {message}");
    for options in [&["load", "--replace"][..], &["load", "--replace", "--dry-run"]] {
        fails(start.apply(lab.map(options).args(["fd:3", "file"])), 2, &loaded);
    }
}

/// A cgroup that is removed after the test, and the program that is attached to it.
struct Cgroup(PathBuf, String);

impl Cgroup {
    fn new(lab: &Lab, program: String) -> Cgroup {
        let root = lab.path("cgroup");
        std::fs::create_dir(&root).expect("a directory");
        mount(Some("cgroup2"), &root, Some("cgroup2"), MsFlags::empty(), None::<&str>)
            .expect("cgroup2 (does the kernel have it?)");
        let cgroup = Cgroup(root.join(crate::common::unique("unreadable")), program);
        std::fs::create_dir(&cgroup.0).expect("a cgroup");
        cgroup.bpftool("attach");
        cgroup
    }

    fn bpftool(&self, verb: &str) {
        let path = self.0.to_str().expect("UTF-8");
        let words = ["cgroup", verb, path, "egress", "pinned", &self.1];
        let _ = run(Command::new("bpftool").args(words));
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.bpftool("detach");
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn cgroup_storage_is_replaced_as_a_whole() {
    let lab = Lab::new();
    let (object, programs, maps) =
        (fixture("cgroup.bpf.o"), format!("{BPFFS}/programs"), format!("{BPFFS}/maps"));
    bpftool(&["prog", "loadall", &object, &programs, "pinmaps", &maps]);
    let pin = format!("{maps}/stored");
    let cgroup = Cgroup::new(&lab, format!("{programs}/store"));
    assert!(Path::new(&cgroup.0).exists());
    let dump = stdout_of(&mut lab.map(["dump", "--jsonl", &pin]));
    assert_eq!(dump.lines().count(), 1, "{dump}");
    let map = Map::new(open_pin(pin.as_ref())).expect("a map");
    let values = map.entries().map(|entry| entry.expect("an entry").1);
    assert_eq!(values.collect::<Vec<_>>(), [vec![0; map.value_len()]]);
    std::fs::write(lab.path("new"), dump.replace("\"value\":0", "\"value\":77")).expect("a file");
    assert_eq!(stdout_of(&mut lab.map(["load", "--replace", &pin, "new"])), "");
    let want = dump.replace("\"value\":0", "\"value\":77");
    assert_eq!(stdout_of(&mut lab.map(["dump", "--jsonl", &pin])), want);
    // An entry that is not in the file cannot be removed while the program is attached.
    std::fs::write(lab.path("none"), "").expect("a file");
    assert_eq!(stdout_of(&mut lab.map(["load", "--replace", &pin, "none"])), "");
    assert_eq!(stdout_of(&mut lab.map(["dump", "--jsonl", &pin])), dump);
}
