//! Programs of object files: grafted into program arrays, and pinned.

use crate::common::*;
use nix::sched::{CloneFlags, unshare};
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const NEXT: &str = "/sys/fs/bpf/next";
const SEEN: &str = "/sys/fs/bpf/seen";
/// Slots of the map `seen`.
const CALLED: u32 = 1;
const LEFT: u32 = 2;

/// Everything below the root but what the kernel has there.
fn pins() -> Vec<String> {
    let find = run(Command::new("find").args([BPFFS, "-mindepth", "1", "!", "-name", "*.debug"]));
    let mut lines: Vec<_> = find.stdout.lines().map(String::from).collect();
    lines.sort_unstable();
    lines
}

/// The ids of all entries of a program array, by slot.
fn entries(lab: &Lab, array: &str) -> Vec<(u32, u32)> {
    let dump = stdout_of(&mut lab.map(["dump", array]));
    let entry = |line: &str| {
        let (slot, id) = line.split_once('\t').unwrap();
        (slot.parse().unwrap(), id.parse().unwrap())
    };
    dump.lines().map(entry).collect()
}

/// The name of a program.
fn program_name(id: u32) -> String {
    let shown = bpftool(&["-j", "prog", "show", "id", &id.to_string()]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    shown["name"].as_str().unwrap().to_owned()
}

/// Packets on the loopback device of a network namespace, one after the other.
struct Packets {
    ends: Arc<AtomicBool>,
    sender: Option<std::thread::JoinHandle<()>>,
}

impl Packets {
    fn start() -> Packets {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let sender = std::thread::spawn({
            let ends = ends.clone();
            move || {
                let own = socket.local_addr().unwrap();
                while !ends.load(Ordering::SeqCst) {
                    socket.send_to(b"x", own).unwrap();
                    socket.recv_from(&mut [0; 8]).unwrap();
                }
            }
        });
        Packets { ends, sender: Some(sender) }
    }
}

impl Drop for Packets {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        self.sender.take().map(std::thread::JoinHandle::join);
    }
}

#[test]
fn grafted_tail_call_changes_what_packets_count() {
    let lab = Lab::new();
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace (are you root?)");
    let file = fixture("tail.bpf.o");
    let [entry, tail] = ["entry", "tail"].map(|name| format!("prog:{file}#{name}"));
    let script = format!(
        "bpf-map pin next {NEXT} && bpf-map pin seen {SEEN} && \
         bpf-map pin {entry} /sys/fs/bpf/entry && ip link set lo up && \
         tc qdisc add dev lo clsact && \
         tc filter add dev lo ingress bpf direct-action object-pinned /sys/fs/bpf/entry"
    );
    stdout_of(&mut lab.exec(["--object", &file, "--", "sh", "-c", &script]));
    std::fs::remove_file("/sys/fs/bpf/entry").unwrap();
    let count = |slot: u32| -> u64 {
        stdout_of(&mut lab.map(["get", SEEN, &slot.to_string()])).trim().parse().unwrap()
    };
    let counts_on = |slot: u32| {
        let before = count(slot);
        eventually("packets", || count(slot) > before + 20);
    };
    let _packets = Packets::start();
    counts_on(LEFT);
    assert_eq!(count(CALLED), 0);
    // The new program counts in the map of the one that is attached. It stays when bpf-map has ended.
    let seen = format!("seen={SEEN}");
    stdout_of(&mut lab.exec(["--pin", &seen, "--", "bpf-map", "set", NEXT, "0", &tail]));
    counts_on(CALLED);
    let before = count(LEFT);
    counts_on(CALLED);
    assert_eq!(count(LEFT), before);
    // The kernel clears the array with its last holder.
    stdout_of(&mut lab.map(["unpin", NEXT]));
    counts_on(LEFT);
}

#[test]
fn graft_takes_the_slot_from_the_name_of_the_section() {
    let lab = Lab::new();
    let file = fixture("refused.bpf.o");
    stdout_of(&mut lab.map(["create", "jumps=prog_array,entries=4", "--pin", NEXT]));
    let graft = |words: &[&str]| lab.map([&["graft", NEXT], words].concat());
    for program in ["third", "7/2"] {
        assert_eq!(stdout_of(&mut graft(&[&format!("{file}#{program}")])), "");
    }
    assert_eq!(stdout_of(&mut graft(&["0", &format!("{file}#good")])), "");
    let found = entries(&lab, NEXT);
    let names: Vec<_> = found.iter().map(|(slot, id)| (*slot, program_name(*id))).collect();
    assert_eq!(names, [(0, "good".into()), (2, "third".into())]);
    // The array has a type of programs now, which a section without one takes over.
    stdout_of(&mut lab.map(["set", NEXT, "1", &format!("prog:{file}#nameless")]));
    assert_eq!(program_name(entries(&lab, NEXT)[1].1), "nameless");
    let only = fixture("legacy.bpf.o");
    stdout_of(&mut graft(&["3", &only]));
    assert_eq!(program_name(entries(&lab, NEXT)[3].1), "counted");
}

#[test]
fn programs_that_cannot_be_grafted_change_nothing() {
    let lab = Lab::new();
    let file = fixture("refused.bpf.o");
    let count = fixture("count.bpf.o");
    stdout_of(&mut lab.map(["create", "jumps=prog_array,entries=4", "--pin", NEXT]));
    let array = lab.array("array", 1);
    let array = array.to_str().unwrap();
    let before = pins();
    for (words, line) in [
        (
            &["graft", NEXT, &format!("{file}#good")][..],
            format!("{file}#good: the section \"tc\" does not name a slot: a KEY is needed"),
        ),
        (
            &["graft", NEXT, "0", &file],
            format!(
                "{file}: load program: it has several programs: FILE#NAME chooses one of \"good\", \
                 \"third\", \"nameless\", \"lacks\", \"refused\", \"missing_helper\", \"operation\""
            ),
        ),
        (
            &["graft", array, "0", &format!("{file}#good")],
            format!("{array}: graft: an array, not a program array"),
        ),
        (
            &["set", NEXT, "0", &format!("prog:{file}#nameless")],
            format!(
                "{NEXT}: {file}: nameless: load program: the section \"prog\" does not name a \
                 program type: use --prog-type"
            ),
        ),
        (
            &["set", NEXT, "0", &format!("{file}#good")],
            format!(
                "{NEXT}: {file}#good: expected prog:PATH, prog:NAME, prog:id:N, prog:fd:N or \
                 prog:FILE#NAME"
            ),
        ),
        (&["set", NEXT, "0", "prog:#x"], format!("{NEXT}: prog:#x: the path of a file is missing")),
        // The maps of this program are pinned, and removed again.
        (
            &["set", NEXT, "4", &format!("prog:{count}#count")],
            format!("{NEXT}: set: no room: the key is past its end (4 entries)"),
        ),
        (
            &["pin", "prog:/sys/fs/bpf/none", "/sys/fs/bpf/x", "--prog-type", "xdp"],
            "prog:/sys/fs/bpf/none: --prog-type is for prog:FILE#NAME".into(),
        ),
        (
            &["pin", &format!("prog:{count}#count"), "/sys/fs/bpf/no/x"],
            "/sys/fs/bpf/no/x: pin: no such directory".into(),
        ),
    ] {
        let run = run(&mut lab.map(words.iter()));
        assert_eq!((run.status, run.stderr.as_str()), (2, &*format!("bpf-map: {line}\n")));
        assert_eq!(pins(), before, "{words:?}");
    }
    assert_eq!(entries(&lab, NEXT), []);
    let run = run(&mut lab.map(["graft", NEXT, "0", &format!("{file}#refused"), "--verbose"]));
    let lines: Vec<_> = run.stderr.lines().collect();
    assert!(lines[0].contains(": refused: load program: R1 invalid mem access"), "{lines:?}");
    assert!(lines.last().unwrap().starts_with("processed 2 insns"), "{lines:?}");
}

#[test]
fn program_of_a_file_is_pinned_with_its_maps() {
    let lab = Lab::new();
    let count = format!("prog:{}#count", fixture("count.bpf.o"));
    stdout_of(&mut lab.map(["pin", &count, "/sys/fs/bpf/count"]));
    let all = ["count", "packets", "proto"].map(|name| format!("{BPFFS}/{name}"));
    assert_eq!(pins(), all);
    // Programs and links are pinned by every reference.
    stdout_of(&mut lab.map(["pin", "prog:/sys/fs/bpf/count", "/sys/fs/bpf/again"]));
    let id = |name: &str| {
        let pin = Path::new(BPFFS).join(name);
        crate::common::fds::id_of_pinned("prog", &pin)
    };
    assert_eq!(id("again"), id("count"));
    // Its maps are the pinned ones.
    stdout_of(&mut lab.map(["pin", &count, "/sys/fs/bpf/third"]));
    let maps = |name: &str| {
        let shown = bpftool(&["-j", "prog", "show", "pinned", &format!("{BPFFS}/{name}")]);
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        shown["map_ids"].clone()
    };
    assert_eq!((maps("third"), id("third") == id("count")), (maps("count"), false));
}
