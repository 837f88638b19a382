//! Numbers of entries: by the kernel's counter, or by a walk.

use crate::common::features::Feature;
use crate::common::*;
use crate::needs;

/// Maps that are larger than those which are walked in any case, with 300 entries. A map of maps needs
/// another map, and an LPM trie has no counter.
const MAPS: [(&str, &str); 5] = [
    ("hash", "hash,key=u32,value=u32,entries=10000"),
    ("percpu", "percpu_hash,key=u32,value=u32,entries=10000"),
    ("lru", "lru_hash,key=u32,value=u32,entries=10000"),
    ("lru_percpu", "lru_percpu_hash,key=u32,value=u32,entries=10000"),
    ("trie", "lpm_trie,key=8,value=u32,entries=10000"),
];

/// A lab with these maps, pinned.
fn lab() -> Lab {
    let lab = Lab::new();
    for (name, map) in MAPS {
        let pin = format!("{BPFFS}/{name}");
        stdout_of(&mut lab.map(["create", &format!("{name}={map}"), "--pin", &pin]));
        let lines: String = (1..=300)
            .map(|number: u32| {
                let key = match name {
                    "trie" => format!("hex:20000000{}", hex(number)),
                    _ => format!("hex:{}", hex(number)),
                };
                format!("set {pin} {key} 0\n")
            })
            .collect();
        std::fs::write(lab.path("lines"), lines).expect("a file");
        stdout_of(&mut lab.map(["batch", "lines"]));
    }
    lab
}

fn hex(number: u32) -> String {
    number.to_ne_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `bpf-map count` of a map reads entries.
fn walks(lab: &Lab, words: &[&str]) -> (String, bool) {
    let trace = lab.path("trace");
    let strace = ["strace", "-f", "-e", "trace=bpf", "-e", "signal=none", "-o"];
    let words = [&strace[..], &[trace.to_str().expect("UTF-8")], words].concat();
    let (command, arguments) = words.split_first().expect("strace");
    let out = stdout_of(lab.program(command, arguments).env_remove("BPF_NUM_MAPS"));
    let text = std::fs::read_to_string(&trace).expect("strace's output");
    (out, text.contains("BPF_MAP_LOOKUP_BATCH"))
}

#[test]
fn count_asks_the_kernel_and_is_that_of_a_walk() {
    needs!(Feature::EntryCounter);
    let lab = lab();
    for (name, _) in MAPS {
        let pin = format!("{BPFFS}/{name}");
        let counted = walks(&lab, &["bpf-map", "count", &pin]);
        assert_eq!(counted, ("300\n".into(), name == "trie"), "{name}");
        assert_eq!(stdout_of(&mut lab.map(["keys", &pin])).lines().count(), 300, "{name}");
    }
    stdout_of(&mut lab.map(["del", &format!("{BPFFS}/hash"), "1", "2"]));
    assert_eq!(stdout_of(&mut lab.map(["count", &format!("{BPFFS}/hash")])), "298\n");
    stdout_of(&mut lab.map(["clear", &format!("{BPFFS}/hash")]));
    assert_eq!(stdout_of(&mut lab.map(["count", &format!("{BPFFS}/hash")])), "0\n");
}

#[test]
fn count_without_cap_bpf_walks() {
    let lab = lab();
    let (map, mut count) =
        (lab.reachable("bpf-map"), lab.exec(["--pin", &format!("{BPFFS}/lru"), "--"]));
    count.args(NOBODY).args([&map, "count", "lru"]);
    assert_eq!(stdout_of(&mut count), "300\n");
}

#[test]
fn count_of_a_small_map_walks() {
    let lab = Lab::new();
    let pin = lab.hash("small");
    let counted = walks(&lab, &["bpf-map", "count", pin.to_str().expect("UTF-8")]);
    assert_eq!(counted, ("1\n".into(), true));
}
