//! Where maps come from, each source by itself and mixed.

mod common;

use common::*;
use std::path::Path;

#[test]
fn without_a_source_every_pin_below_the_root_is_handed_over_in_order() {
    let lab = Lab::new();
    lab.array("zz", 1);
    std::fs::create_dir_all(format!("{BPFFS}/a/b")).unwrap();
    lab.array("a/b/inner", 1);
    lab.array("a/outer", 1);
    std::os::unix::fs::symlink("a", format!("{BPFFS}/link")).unwrap();
    let environment = stdout_of(&mut lab.exec(["env"]));
    assert_eq!(
        contract(&environment),
        [
            "BPF_NUM_MAPS=3",
            "BPF_MAP0=64",
            "BPF_MAP0_NAME=inner",
            "BPF_MAP1=65",
            "BPF_MAP1_NAME=outer",
            "BPF_MAP2=66",
            "BPF_MAP2_NAME=zz",
        ]
    );
}

#[test]
fn a_value_that_bpftool_wrote_is_read_and_one_that_bpf_map_wrote_is_read_by_bpftool() {
    let lab = Lab::new();
    let pin = lab.array("hits", 4);
    let pin = pin.to_str().unwrap();
    bpftool(&[
        "map", "update", "pinned", pin, "key", "2", "0", "0", "0", "value", "42", "1", "0", "0",
        "0", "0", "0", "0",
    ]);
    assert_eq!(stdout_of(&mut lab.exec(["bpf-map", "get", "hits", "2"])), "298\n");
    assert_eq!(stdout_of(&mut lab.exec(["bpf-map", "set", "hits", "3", "1000"])), "");
    let json = bpftool(&["-j", "map", "lookup", "pinned", pin, "key", "3", "0", "0", "0"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["value"][0], "0xe8");
    assert_eq!(json["value"][1], "0x03");
    assert!(Path::new(pin).exists());
}
