//! Where the layout of a map comes from, and what is refused if that is a guess.

mod common;

use common::fds::{id_of, new_struct_ops};
use common::*;
use serde_json::Value;

#[test]
fn struct_ops_value_has_the_type_of_the_kernels_structure() {
    let lab = Lab::new();
    let map = new_struct_ops("bpf_struct_ops_tcp_congestion_ops").expect("TCP in this kernel");
    let reference = format!("id:{}", id_of(&map));
    let show = stdout_of(&mut lab.map(["show", "--json", &reference]));
    let show: Value = serde_json::from_str(&show).unwrap();
    let layout = show["layout"].as_str().unwrap();
    // The kernel moved the state into a struct of its own, `common`, in Linux 6.9.
    let starts = ["u32 -> struct{common: struct{refcnt: ", "u32 -> struct{refcnt: "];
    assert!(starts.iter().any(|start| layout.starts_with(start)), "{layout}");
    assert!(layout.contains(", name: char[16], "), "{layout}");
    // As bpftool prints it: the same members, and the state by its name.
    let ours = stdout_of(&mut lab.map(["get", "--json", &reference, "0"]));
    let ours: Value = serde_json::from_str(&ours).unwrap();
    let state = ours.get("common").unwrap_or(&ours);
    assert_eq!(state["state"], "BPF_STRUCT_OPS_STATE_INIT");
    let theirs = bpftool(&["-j", "map", "dump", "id", &reference[3..]]);
    let theirs: Value = serde_json::from_str(&theirs).unwrap();
    let value = &theirs[0]["formatted"]["value"];
    let names = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours["data"]), names(&value["data"]), "{theirs}");
}
