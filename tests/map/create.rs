//! New maps have the BTF of their layout.

use crate::common::*;
use serde_json::Value;

/// What `show --json` prints of a new map, of the specification after its name.
fn created(lab: &Lab, spec: &str) -> Value {
    let pin = format!("{BPFFS}/new");
    let spec = format!("new={spec}");
    assert_eq!(stdout_of(&mut lab.map(["create", &spec, "--pin", &pin])), "", "{spec}");
    let json = stdout_of(&mut lab.map(["show", "--json", &pin]));
    assert_eq!(stdout_of(&mut lab.map(["unpin", &pin])), "");
    serde_json::from_str(&json).unwrap()
}

#[test]
fn bpftool_prints_the_fields_of_a_new_map() {
    let lab = Lab::new();
    let pin = format!("{BPFFS}/new");
    let spec = "new=hash,key=struct{port: be16, proto: u8},value=struct{packets: u64, \
                verdict: enum{DROP, PASS}, addr: ip4, name: char[4]},entries=2";
    assert_eq!(stdout_of(&mut lab.map(["create", spec, "--pin", &pin])), "");
    let value = "packets=7 verdict=PASS addr=10.0.0.1 name=eth";
    assert_eq!(stdout_of(&mut lab.map(["set", &pin, "port=443 proto=6", value])), "");
    let json: Value =
        serde_json::from_str(&bpftool(&["-j", "map", "dump", "pinned", &pin])).unwrap();
    let entry = &json[0]["formatted"];
    assert_eq!(entry["key"]["proto"], 6);
    assert_eq!(entry["value"]["packets"], 7);
    assert_eq!(entry["value"]["addr"], serde_json::json!([10, 0, 0, 1]));
    assert_eq!(entry["value"]["verdict"], "PASS");
}

#[test]
fn types_of_every_notation_are_accepted_by_the_kernel() {
    let lab = Lab::new();
    let types = [
        "u8",
        "u16",
        "u32",
        "u64",
        "u128",
        "i8",
        "i16",
        "i32",
        "i64",
        "i128",
        "be16",
        "be32",
        "be64",
        "f32",
        "f64",
        "bool",
        "ip4",
        "ip6",
        "mac",
        "ptr",
        "char[5]",
        "hex[3]",
        "u32[2][3]",
        "char[2][8]",
        "hex[2][2]",
        "ip4[4]",
        "enum{A, B=7}",
        "enum:i8{A=-1, B}",
        "enum{A=4294967295}",
        "enum:i64{A=-9000000000}",
        "enum:u16{}",
        "struct{a: u8, b: u32}",
        "packed struct{a: u8, b: u32}",
        "packed struct{a: u8, b: u8}",
        "struct{a: u8, pad[3], b: u32}",
        "struct{a: u32:3, pad:5, b: u32:24}",
        "struct{a: u64:33, b: bool:1, c: enum{X, Y}:2}",
        "union{a: u32, b: ip4, c: hex[4]}",
        "struct{a: u8, union{b: u32, struct{c: u16, d: be16}}}",
        "struct{a: struct{b: mac, c: u16}[2]}",
        "struct{a: char[0], b: u32}",
    ];
    for ty in types {
        let map = created(&lab, &format!("hash,key=u32,value={ty},entries=1"));
        assert_eq!(
            (&map["layout"], &map["layout_source"]),
            (&format!("u32 -> {ty}").into(), &"btf".into())
        );
    }
    for key in
        ["lpm{ip4}", "lpm{ip6}", "lpm{struct{net: u16, addr: ip4}}", "lpm{u64}", "lpm{char[3]}"]
    {
        let spec = format!("lpm_trie,key={key},value=u8,entries=1,flags=NO_PREALLOC");
        let map = created(&lab, &spec);
        assert_eq!(
            (&map["layout"], &map["layout_source"]),
            (&format!("{key} -> u8").into(), &"btf".into())
        );
    }
}

#[test]
fn maps_whose_types_the_kernel_refuses_are_created_without() {
    let lab = Lab::new();
    for (spec, layout) in [
        (
            "array,key=u32,value=struct{a: u16, b: u16},entries=1",
            Some("u32 -> struct{a: u16, b: u16}"),
        ),
        ("percpu_array,value=mac,entries=1", Some("u32 -> mac")),
        // The key of an array is a number, and that of a trie a struct.
        ("array,key=enum{A, B},value=ip4,entries=2", Some("u32 -> ip4")),
        ("lpm_trie,key=u64,value=u8,entries=1,flags=NO_PREALLOC", Some("lpm{ip4} -> u8")),
        ("bloom_filter,value=ip4,entries=8", Some("-> ip4")),
        ("prog_array,value=u32,entries=1", Some("u32 -> u32")),
        ("task_storage,value=struct{a: u64}", Some("i32 -> struct{a: u64}")),
        ("task_storage,value=12", Some("i32 -> hex[12]")),
        ("hash,key=4,value=8,entries=1", None),
        ("queue,value=struct{a: u32},entries=1", None),
        ("stack,value=ip4,entries=1", None),
        ("perf_event_array,value=u32,entries=1", None),
        ("stack_trace,value=u64[4],entries=1", None),
        ("sockmap,value=u64,entries=1", None),
        ("devmap,value=u32,entries=1", None),
    ] {
        let map = created(&lab, spec);
        assert_eq!(map["btf_id"].is_null(), layout.is_none(), "{spec}");
        if let Some(layout) = layout {
            assert_eq!((&map["layout"], &map["layout_source"]), (&layout.into(), &"btf".into()));
        }
    }
}

#[test]
fn pin_below_a_root_without_bpffs_is_refused_with_the_reason() {
    let lab = Lab::new();
    nix::mount::umount(BPFFS).unwrap();
    let mut command = lab.map(["create", "m=array,value=4,entries=1", "--pin", "/sys/fs/bpf/m"]);
    // Another BPF file system may be mounted below that of the lab.
    let unmount = "while umount /sys/fs/bpf 2>/dev/null; do :; done";
    command = wrapped(&["unshare", "--mount"], &after(unmount, &command));
    fails(&mut command, 2, "bpf-map: /sys/fs/bpf/m: pin: not on a bpf file system");
}
