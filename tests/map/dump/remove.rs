//! `bpf-map del` and `clear`.

use super::*;
use crate::common::{Lab, bpftool, fails, run, stdout_of};

#[test]
fn del_removes_present_keys_and_reports_missing_ones() {
    let lab = Lab::new();
    let pin = hash("m");
    for key in ["1", "2", "3"] {
        set(&lab, &[&pin, key, key]);
    }
    // A key that cannot be one stops it before anything is deleted.
    let wrong = run(&mut lab.map(["del", &pin, "1", "x"]));
    assert_eq!((wrong.status, wrong.stdout.as_str()), (2, ""));
    assert_eq!(stdout_of(&mut lab.map(["count", &pin])), "3\n");
    fails(&mut lab.map(["del", &pin, "1", "9", "2"]), 1, &format!("bpf-map: {pin}: no key 9"));
    assert_eq!(stdout_of(&mut lab.map(["keys", &pin])), "3\n");
    assert_eq!(stdout_of(&mut lab.map(["keys", &pin, "--json"])), "[3]\n");
    stdout_of(&mut lab.map(["del", &pin, "3"]));
    assert_eq!(stdout_of(&mut lab.map(["keys", &pin, "--json"])), "[]\n");

    let array = lab.array("a", 2);
    let array = array.to_str().unwrap();
    let want = format!(
        "bpf-map: {array}: del: the entries of this array cannot be deleted: set one to 0, or clear them all"
    );
    fails(&mut lab.map(["del", array, "1"]), 2, &want);
    let queue = create("q", "queue key 0 value 4 entries 4");
    fails(
        &mut lab.map(["del", &queue, "1"]),
        2,
        &format!("bpf-map: {queue}: del: a queue has no keys: see pop and clear"),
    );
}

#[test]
fn clear_empties_slots_of_maps_and_devices() {
    let lab = Lab::new();
    let inner = hash("inner");
    for (name, words, value) in [
        ("devmap", "devmap key 4 value 4 entries 4", "1"),
        ("devmap_hash", "devmap_hash key 4 value 4 entries 4", "1"),
        ("cpumap", "cpumap key 4 value 4 entries 4", "64"),
        (
            "array_of_maps",
            "array_of_maps key 4 value 4 entries 4 inner_map pinned /sys/fs/bpf/inner",
            "",
        ),
        (
            "hash_of_maps",
            "hash_of_maps key 4 value 4 entries 4 inner_map pinned /sys/fs/bpf/inner",
            "",
        ),
    ] {
        let pin = create(name, words);
        if value.is_empty() {
            let key = [
                "map", "update", "pinned", &pin, "key", "1", "0", "0", "0", "value", "pinned",
                &inner,
            ];
            bpftool(&key);
            let id = crate::common::map_id(inner.as_ref());
            assert_eq!(dump(&lab, &[&pin]), format!("1\t{id}\n"), "{name}");
        } else {
            set(&lab, &[&pin, "1", value]);
            let text = dump(&lab, &[&pin]);
            assert!(text.contains(&format!("1\t{value}\n")), "{name}: {text}");
        }
        stdout_of(&mut lab.map(["clear", &pin]));
        let left: Vec<String> = dump(&lab, &[&pin]).lines().map(String::from).collect();
        assert!(left.iter().all(|line| line.ends_with("\t0")), "{name}: {left:?}");
    }
}
