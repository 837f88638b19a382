//! `--sort`, `--top` and the memory that they need.

use super::*;
use crate::common::{Lab, after, bpftool, stdout_of};
use serde_json::Value;

#[test]
fn sorted_by_any_field_either_way_and_cut() {
    let lab = Lab::new();
    let pin = flows(&lab);
    for (arguments, want) in [
        (&["--sort", "bytes"][..], "53 80 22"),
        (&["--sort", ".bytes"], "53 80 22"),
        (&["--sort", "value.bytes"], "53 80 22"),
        (&["--sort", "bytes", "--reverse"], "22 80 53"),
        (&["--sort", "packets"], "22 80 53"),
        (&["--sort", "key.port"], "22 53 80"),
        (&["--sort", "port"], "22 53 80"),
        (&["--sort", "name"], "53 22 80"),
        (&["--sort", "key"], "80 53 22"),
        (&["--top", "2", "bytes"], "22 80"),
        (&["--top", "2", "bytes", "--reverse"], "53 80"),
        (&["--top", "9", "bytes"], "22 80 53"),
        (&["--top", "0", "bytes"], ""),
    ] {
        let text = dump(&lab, &[&[pin.as_str(), FLOW[0], FLOW[1], "--jsonl"], arguments].concat());
        let ports = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["key"]["port"].to_string());
        assert_eq!(ports.collect::<Vec<_>>().join(" "), want, "{arguments:?}");
    }
}

#[test]
fn top_prints_the_same_entries_as_sort() {
    let lab = Lab::new();
    let pin = create("m", "array key 4 value 4 entries 30000");
    let batch: String = (0..30_000u32).fold(String::new(), |mut text, n| {
        // Every value many times, in no order.
        let value = n.wrapping_mul(2_654_435_761) >> 22;
        let bytes = |n: u32| n.to_ne_bytes().map(|b| b.to_string()).join(" ");
        text += &format!("map update pinned {pin} key {} value {}\n", bytes(n), bytes(value));
        text
    });
    std::fs::write(lab.path("batch"), batch).unwrap();
    bpftool(&["batch", "file", lab.path("batch").to_str().unwrap()]);
    let sorted = dump(&lab, &[&pin, "--sort", "value", "--reverse", "--value=i32"]);
    let first: Vec<&str> = sorted.lines().take(7).collect();
    let top = dump(&lab, &[&pin, "--top", "7", "value", "--value=i32"]);
    assert_eq!(top.lines().collect::<Vec<_>>(), first);
    assert_eq!(sorted.lines().count(), 30_000);
}

#[test]
fn memory_does_not_grow_with_the_map() {
    let lab = Lab::new();
    let pin = lab.array("m", 2_000_000);
    // The values take 16 MiB, and so does the text, several times over.
    let command = lab.map(["dump".as_ref(), pin.as_os_str(), "--json".as_ref()]);
    let text = stdout_of(&mut after("ulimit -d 12000", &command));
    assert!(text.ends_with("{\"key\":1999999,\"value\":0}\n]\n"));
}
