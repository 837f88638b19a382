//! Sources of maps, one at a time and combined.

use crate::common::child::{Running, Start};
use crate::common::*;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

#[test]
fn without_a_source_every_pin_is_handed_over_in_order() {
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
fn values_are_exchanged_with_bpftool() {
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

/// The variables of the contract that env(1) prints below bpf-exec with `words`.
#[track_caller]
fn handed_over(lab: &Lab, words: &[&str]) -> Vec<String> {
    let environment = stdout_of(&mut lab.exec([words, &["--", "env"]].concat()));
    contract(&environment).into_iter().map(String::from).collect()
}

#[test]
fn ids_and_kernel_names_keep_their_order() {
    let lab = Lab::new();
    let [one, two] = [unique("one"), unique("two")];
    let ids = [&one, &two].map(|name| map_id(&lab.hash(name)).to_string());
    std::fs::rename(format!("{BPFFS}/{two}"), format!("{BPFFS}/pinned")).unwrap();
    let named = format!("b={one}");
    let given = format!("a={}", ids[1]);
    // The names that result, and which of the two maps each is.
    for (words, want) in [
        (["--id", &ids[0], "--id", &ids[1]], [(one.as_str(), 0), (two.as_str(), 1)]),
        (["--name", &two, "--id", &ids[0]], [(&two, 1), (&one, 0)]),
        (["--id", &given, "--name", &named], [("a", 1), ("b", 0)]),
        (["--pin", "/sys/fs/bpf/pinned", "--name", &one], [("pinned", 1), (&one, 0)]),
    ] {
        let json = stdout_of(&mut lab.exec([&words[..], &["--dry-run", "--json"]].concat()));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        for (row, (name, which)) in want.into_iter().enumerate() {
            assert_eq!(json[row]["name"], name, "{words:?}");
            assert_eq!(json[row]["id"].to_string(), ids[which], "{words:?}");
            assert_eq!(json[row]["fd"], 64 + row);
        }
        assert_eq!(json.as_array().unwrap().len(), 2);
    }
}

#[test]
fn ambiguous_or_long_kernel_name_is_refused() {
    let lab = Lab::new();
    let name = unique("same");
    let pins = ["x", "y"].map(|other| {
        let pin = lab.hash(&name);
        std::fs::rename(&pin, format!("{BPFFS}/{other}")).unwrap();
        Path::new(BPFFS).join(other)
    });
    let [x, y] = pins.map(|pin| map_id(&pin));
    let long = "sixteen_bytes_ok";
    for (name, cause) in [
        (name.as_str(), format!("2 maps have this name: ids {x}, {y}")),
        (long, "16 bytes: a kernel name has at most 15".into()),
        ("no such name", "no map has this name".into()),
    ] {
        let line = format!("bpf-exec: {name}: find map by name: {cause}");
        fails(&mut lab.exec(["--name", name, "--", "touch", "ran"]), 125, &line);
    }
    let line = "bpf-exec: id 4294967295: open map by id: no such map";
    fails(&mut lab.exec(["--id", "4294967295", "--", "touch", "ran"]), 125, line);
    assert!(!lab.path("ran").exists());
}

#[test]
fn maps_of_a_process_keep_its_names_and_layouts() {
    let lab = Lab::new();
    let name = unique("hits");
    let pin = lab.hash(&name);
    let pin = format!("given={}", pin.to_str().unwrap());
    let typed = "--create=typed=hash,key=ip4,value=u16[4],entries=1";
    for (script, want) in [
        // The lower duplicate has no name among the variables, the higher one has.
        (
            "exec 5<&64 9</dev/null; exec cat",
            vec![
                "BPF_NUM_MAPS=2".into(),
                "BPF_MAP0=64".into(),
                "BPF_MAP0_NAME=given".into(),
                "BPF_MAP1=65".into(),
                "BPF_MAP1_NAME=typed".into(),
                "BPF_MAP1_LAYOUT=ip4 -> u16[4]".into(),
            ],
        ),
        // Neither has, or none can be read: the map's BTF has the layout.
        (
            "exec 5<&65; exec env -i /bin/cat",
            vec![
                "BPF_NUM_MAPS=2".into(),
                "BPF_MAP0=64".into(),
                "BPF_MAP0_NAME=typed".into(),
                "BPF_MAP0_LAYOUT=ip4 -> u16[4]".into(),
                "BPF_MAP1=65".into(),
                format!("BPF_MAP1_NAME={name}"),
            ],
        ),
    ] {
        let mut command = lab.exec(["--pin", &pin, typed, "--", "bash", "-c", script]);
        let holder = Running::cat(&Start::default(), &mut command);
        let pid = holder.pid().to_string();
        assert_eq!(handed_over(&lab, &["--pid", &pid]), want, "{script}");
        assert_eq!(holder.end().status, 0);
        fails(
            &mut lab.exec(["--pid", &pid, "--", "touch", "ran"]),
            125,
            &format!("bpf-exec: process {pid}: open: no such process"),
        );
    }
    let holder = Running::cat(&Start::default(), &mut Command::new("/bin/cat"));
    let line = format!("bpf-exec: process {}: list descriptors: no map is open", holder.pid());
    fails(&mut lab.exec(["--pid", &holder.pid().to_string(), "--", "touch", "ran"]), 125, &line);
    assert!(!lab.path("ran").exists());
}

/// The words that each type needs; the kernel accepts them all.
const TYPES: [(&str, &str); 32] = [
    ("hash", "key=4,value=4,entries=8"),
    ("array", "value=4,entries=8"),
    ("prog_array", "entries=8"),
    ("perf_event_array", "entries=8"),
    ("percpu_hash", "key=4,value=4,entries=8"),
    ("percpu_array", "value=4,entries=8"),
    ("stack_trace", "value=8,entries=8"),
    ("cgroup_array", "entries=8"),
    ("lru_hash", "key=4,value=4,entries=64"),
    ("lru_percpu_hash", "key=4,value=4,entries=1k"),
    ("lpm_trie", "key=lpm{ip4},value=4,entries=8"),
    ("array_of_maps", "entries=8,inner=/sys/fs/bpf/inner"),
    ("hash_of_maps", "key=4,entries=8,inner=/sys/fs/bpf/inner"),
    ("devmap", "entries=8"),
    ("sockmap", "entries=8"),
    ("cpumap", "entries=1"),
    ("xskmap", "entries=8"),
    ("sockhash", "key=4,entries=8"),
    ("cgroup_storage", "value=8"),
    ("reuseport_sockarray", "value=8,entries=8"),
    ("percpu_cgroup_storage", "value=8"),
    ("queue", "value=4,entries=8"),
    ("stack", "value=4,entries=8"),
    ("sk_storage", "value=8"),
    ("devmap_hash", "entries=8"),
    ("ringbuf", "entries=64k"),
    ("inode_storage", "value=8"),
    ("task_storage", "value=8"),
    ("bloom_filter", "value=8,entries=8"),
    ("user_ringbuf", "entries=64k"),
    ("cgrp_storage", "value=8"),
    ("arena", "entries=4"),
];

/// Types that came after Linux 6.1, the oldest that this is for.
const NEW_TYPES: [&str; 2] = ["cgrp_storage", "arena"];

#[test]
fn every_type_that_needs_no_program_is_created() {
    let lab = Lab::new();
    lab.array("inner", 1);
    let table = include_str!("../../crates/bpf-inherit/src/map_type.rs");
    let rows = table.lines().filter_map(|line| line.trim_start().strip_prefix("row("));
    let names: BTreeSet<&str> = rows.filter_map(|row| row.split('"').nth(1)).collect();
    let tested: BTreeSet<&str> = TYPES.iter().map(|(name, _)| *name).collect();
    // A struct_ops map is described by the BTF of the kernel's structure and its programs.
    assert_eq!(names.difference(&tested).collect::<Vec<_>>(), [&"struct_ops"]);
    let line = "bpf-exec: --create x=struct_ops,value=4,entries=1: \
                a struct_ops map can be created only with its programs";
    fails(&mut lab.exec(["--create", "x=struct_ops,value=4,entries=1", "true"]), 125, line);
    for (name, needs) in TYPES {
        let create = format!("x={name},{needs}");
        let run = run(&mut lab.exec(["--create", &create, "--dry-run", "--json"]));
        if run.status != 0 && NEW_TYPES.contains(&name) {
            assert!(run.stderr.contains("create map: invalid argument"), "{name}: {run:?}");
            continue;
        }
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{name}");
        let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(json[0]["type"], name);
        assert_eq!(json[0]["name"], "x");
    }
}

#[test]
fn new_map_is_as_specified() {
    let lab = Lab::new();
    // What the kernel has: key, value, entries, flags; and the layout that goes on.
    for (spec, [key, value, entries, flags], layout) in [
        ("hash,key=4,value=8,entries=1k", ["4", "8", "1024", "0x0"], None),
        ("hash,key=ip4,value=u64,entries=2K", ["4", "8", "2048", "0x0"], Some("ip4 -> u64")),
        ("hash,key=6,value=u16,entries=1", ["6", "2", "1", "0x0"], Some("hex[6] -> u16")),
        ("array,value=4,entries=1m", ["4", "4", "1048576", "0x0"], None),
        ("array,value=u32[3],entries=1", ["4", "12", "1", "0x0"], Some("u32 -> u32[3]")),
        ("queue,value=u64,entries=3", ["0", "8", "3", "0x0"], Some("-> u64")),
        (
            "lpm_trie,key=lpm{ip4},value=u8,entries=9",
            ["8", "1", "9", "0x1"],
            Some("lpm{ip4} -> u8"),
        ),
        ("hash,key=4,value=4,entries=1,flags=NO_PREALLOC", ["4", "4", "1", "0x1"], None),
        (
            "array,value=4,entries=1,flags=BPF_F_MMAPABLE|BPF_F_RDONLY_PROG",
            ["4", "4", "1", "0x480"],
            None,
        ),
        // RDONLY is a flag of the descriptor, not of the map.
        ("array,value=4,entries=1,flags=RDONLY", ["4", "4", "1", "0x0"], None),
        ("hash,key=4,value=4,entries=1,numa=0", ["4", "4", "1", "0x4"], None),
    ] {
        let create = format!("new={spec}");
        let mut command = lab.exec(["--create", &create, "--", "cat"]);
        let running = Running::cat(&Start::default(), &mut command);
        let mut want = vec!["BPF_NUM_MAPS=1", "BPF_MAP0=64", "BPF_MAP0_NAME=new"];
        let layout = layout.map(|layout| format!("BPF_MAP0_LAYOUT={layout}"));
        want.extend(layout.as_deref());
        assert_eq!(running.contract(), want, "{spec}");
        let fields = ["key_size", "value_size", "max_entries", "map_flags"];
        let got = fields.map(|field| running.fdinfo(64, field));
        assert_eq!(got, [key, value, entries, flags], "{spec}");
        let mode = if spec.ends_with("=RDONLY") { "00" } else { "02" };
        assert_eq!(running.fdinfo(64, "flags"), mode, "{spec}");
        // It lives as long as it is held, and no longer.
        let id = running.fdinfo(64, "map_id").parse().unwrap();
        assert!(map_exists(id));
        assert_eq!(running.end(), Run { status: 0, stdout: "".into(), stderr: "".into() });
        eventually("the map's end", || !map_exists(id));
    }
    let line = "bpf-exec: new: create map: invalid argument \
                (entries must not be 0)";
    let create = "new=hash,key=4,value=4,entries=0";
    fails(&mut lab.exec(["--create", create, "--", "touch", "ran"]), 125, line);
    assert!(!lab.path("ran").exists());
}

#[test]
fn layouts_from_btf_reach_an_unprivileged_user() {
    let lab = Lab::new();
    let object = fixture("types.bpf.o");
    let words = ["prog", "loadall", &object, "/sys/fs/bpf/progs", "type", "tc", "pinmaps"];
    bpftool(&[&words[..], &["/sys/fs/bpf/maps"]].concat());
    let plain = stdout_of(&mut lab.exec(["--pin", "/sys/fs/bpf/maps", "--", "env"]));
    let words = ["--pin", "/sys/fs/bpf/maps", "--"];
    let exec = lab.reachable("bpf-exec");
    let inner = [&exec, "--", "env"];
    let nobody = stdout_of(&mut lab.exec([&words, &NOBODY[..], &inner].concat()));
    for environment in [plain, nobody] {
        let layout = |name: &str| {
            let entry = format!("_NAME={name}");
            let line = environment.lines().find(|line| line.ends_with(&entry)).expect(name);
            let variable = line.replace(&entry, "_LAYOUT");
            crate::common::variable(&environment, &variable).map(String::from)
        };
        for (name, want) in [
            ("t_u8", Some("u8 -> u8")),
            ("t_i64", Some("i64 -> i64")),
            ("t_typedef", Some("u32 -> u32")),
            ("t_bool", Some("u32 -> bool")),
            ("t_array", Some("char[16] -> u32[4]")),
            ("t_queue", None),
            ("t_untyped", None),
            (
                "t_enum_signed",
                Some("enum:i32{LOW=-2, NONE, HIGH=3} -> enum:i32{LOW=-2, NONE, HIGH=3}"),
            ),
            ("t_lpm", Some("lpm{ip4} -> enum{DROP, PASS, REDIRECT=7}")),
            ("t_task", Some("u32 -> struct{comm: char[16], pid: u32, alive: bool}")),
            (
                "t_flow",
                Some(
                    "struct{source: be32, destination: be32, source_port: be16, \
                     destination_port: be16, protocol: u8, pad: u8[3]} -> u64",
                ),
            ),
            ("t_pointers", Some("u32 -> struct{opaque: ptr, plain: u64}")),
            ("types_bss", Some("u32 -> struct{total: u64}")),
        ] {
            assert_eq!(layout(name).as_deref(), want, "{name}");
        }
    }
}

#[test]
fn bpffs_root_is_an_option_a_variable_or_the_default() {
    let lab = Lab::new();
    lab.array("usual", 1);
    let [one, two] = ["one", "two"].map(|name| {
        let (at, none) = (lab.path(name), None::<&str>);
        std::fs::create_dir(&at).unwrap();
        mount(Some("bpf"), &at, Some("bpf"), MsFlags::empty(), none).unwrap();
        let pin = lab.array(at.join(name).to_str().unwrap(), 1);
        (at.to_str().unwrap().to_owned(), pin.to_str().unwrap().to_owned())
    });
    let names = |words: &[&str], variable: Option<&str>| {
        let mut command = lab.exec([words, &["--", "env"]].concat());
        let environment = stdout_of(command.envs(variable.map(|root| ("TC_BPF_MNT", root))));
        let names = environment.lines().filter_map(|line| line.strip_prefix("BPF_MAP"));
        let names = names.filter_map(|line| Some(line.split_once("_NAME=")?.1.to_owned()));
        names.collect::<Vec<_>>()
    };
    for (words, variable, want) in [
        (&[][..], None, &["usual"][..]),
        (&[], Some(""), &["usual"]),
        (&[], Some(one.0.as_str()), &["one"]),
        (&["--bpffs", &two.0], Some(&one.0), &["two"]),
        (&["--bpffs", &two.0], None, &["two"]),
        (&["--pin", &one.1], None, &["one"]),
        (&["--pin", &one.0, "--pin", &two.0], None, &["one", "two"]),
        (&["--bpffs", &two.0, "--pin", &one.1], Some("/none"), &["one"]),
    ] {
        assert_eq!(names(words, variable), want, "{words:?} {variable:?}");
    }
    for (root, cause) in [
        ("/none", "no such file or directory"),
        ("/proc", "no bpf file system is mounted there"),
        ("/proc/self/status", "not on a bpf file system"),
    ] {
        let words = ["--bpffs", root, "--", "touch", "ran"];
        let run = run(&mut lab.exec(words));
        let (status, stdout) = (run.status, run.stdout.as_str());
        assert_eq!((status, stdout), (125, ""), "{root}");
        assert!(run.stderr.starts_with(&format!("bpf-exec: {root}: ")), "{run:?}");
        assert!(run.stderr.ends_with(&format!(": {cause}\n")), "{run:?}");
        assert_eq!(run.stderr.lines().count(), 1);
    }
    // The usual place, with nothing mounted there: the machine's own bpffs may be below the lab's.
    while nix::mount::umount(BPFFS).is_ok() {}
    let line = "bpf-exec: /sys/fs/bpf: read directory: no bpf file system is mounted there";
    fails(&mut lab.exec(["touch", "ran"]), 125, line);
    assert!(!lab.path("ran").exists());
    for (at, _) in [one, two] {
        nix::mount::umount(at.as_str()).unwrap();
    }
}

/// Runs ip(8), in the namespaces of this thread.
#[track_caller]
fn ip(words: &str) {
    assert_eq!(stdout_of(Command::new("ip").args(words.split(' '))), "", "ip {words}");
}

#[test]
fn shell_reads_packet_counts_of_a_classifier() {
    let lab = Lab::new();
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    let mut command = Command::new("/usr/bin/unshare");
    let peer = Running::cat(&Start::default(), command.args(["--net", "cat"]));
    let there = format!("--target={}", peer.pid());
    ip(&format!("link add near type veth peer name far netns {}", peer.pid()));
    ip("address add 192.0.2.1/24 dev near");
    ip("link set near up");
    for words in ["address add 192.0.2.2/24 dev far", "link set far up"] {
        let mut command = Command::new("nsenter");
        command.args([&there, "--net", "ip"]).args(words.split(' '));
        assert_eq!(stdout_of(&mut command), "");
    }
    let up = |command: &mut Command| stdout_of(command).contains("\"operstate\":\"UP\"");
    eventually("the link", || {
        let mut there_too = Command::new("nsenter");
        there_too.args([&there, "--net", "ip", "-j", "link", "show", "far"]);
        up(Command::new("ip").args(["-j", "link", "show", "near"])) && up(&mut there_too)
    });
    let filter =
        format!("filter add dev near ingress bpf da obj {} sec tc", fixture("count.bpf.o"));
    for words in ["qdisc add dev near clsact", &filter] {
        assert_eq!(stdout_of(Command::new("tc").args(words.split(' '))), "", "tc {words}");
    }
    // 1 is the slot of IPv4, and the protocol's number of ICMP.
    let script = "bpf-map get packets 1 && nsenter \"$0\" --net ping -q -c 3 -i 0.01 192.0.2.1 >&2 && \
                  bpf-map get packets 1 && bpf-map get proto 1 .packets";
    let run = run(&mut lab.exec(["--", "sh", "-c", script, &there]));
    assert_eq!((run.status, run.stdout.as_str()), (0, "0\n3\n3\n"), "{}", run.stderr);
    assert!(run.stderr.contains(" 3 received, 0% packet loss"), "{}", run.stderr);
    assert_eq!(peer.end().status, 0);
}
