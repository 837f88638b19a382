//! Every map type that the kernel offers: what `get`, `set`, `add` and `push` do, or why they refuse.

use crate::common::features::Feature;
use crate::common::*;
use crate::needs;
use std::collections::BTreeSet;
use std::os::fd::AsRawFd;
use std::path::Path;

/// A type, how to create one, and what each line of bpf-map prints (`=` and stdout), or the
/// message with which it fails (status 1 where it begins with `no key`).
struct Row(&'static str, &'static str, &'static [(&'static str, &'static str)]);

const DATA: &[(&str, &str)] = &[
    ("get m 9", "no key 9"),
    ("set m 1 5", "="),
    ("get m 1", "=5\n"),
    ("add m 1 -2", "=3\n"),
    ("push m 1", "push: not possible with KIND: use set"),
];
const PER_CPU: &[(&str, &str)] = &[
    ("get m 9", "no key 9"),
    ("set --sum m 1 5", "="),
    ("get m 1", "=5\n"),
    ("add m 1 -2", "=3\n"),
    ("push m 1", "push: not possible with KIND: use set"),
];
const QUEUE: &[(&str, &str)] = &[
    ("get m 1", "KIND has no keys: use push, pop and peek"),
    ("set m 1 1", "KIND has no keys: use push, pop and peek"),
    ("add m 1 1", "KIND has no keys: use push, pop and peek"),
    ("push m 5", "="),
    ("pop m", "=5\n"),
];

const ROWS: &[Row] = &[
    Row("hash", "key=4,value=8,entries=4", DATA),
    Row("array", "value=8,entries=4", DATA),
    Row("percpu_hash", "key=4,value=8,entries=4", PER_CPU),
    Row("percpu_array", "value=8,entries=4", PER_CPU),
    Row("lru_hash", "key=4,value=8,entries=64", DATA),
    Row("lru_percpu_hash", "key=4,value=8,entries=64", PER_CPU),
    Row(
        "lpm_trie",
        "key=8,value=8,entries=4",
        &[
            ("get m 10.0.0.0/8", "no key 10.0.0.0/8"),
            ("set m 10.0.0.0/8 5", "="),
            ("add m 10.0.0.0/8 1", "=6\n"),
            ("get m 10.1.1.1", "=6\n"),
        ],
    ),
    Row("queue", "value=8,entries=4", QUEUE),
    Row("stack", "value=8,entries=4", QUEUE),
    Row(
        "bloom_filter",
        "value=8,entries=4",
        &[("get m 1", "KIND has no keys: use push and has"), ("push m 1", "="), ("has m 1", "=")],
    ),
    Row(
        "ringbuf",
        "entries=4096",
        &[
            ("get m 1", "KIND has no keys: programs fill it, and its reader maps it into memory"),
            (
                "push m hex:",
                "push: not possible with KIND: programs fill it, and its reader maps it into memory",
            ),
        ],
    ),
    Row(
        "user_ringbuf",
        "entries=4096",
        &[("get m 1", "KIND has no keys: its writer maps it into memory, and programs read it")],
    ),
    Row(
        "arena",
        "entries=1",
        &[("set m 1 1", "KIND has no keys: its loader maps it into memory, which programs share")],
    ),
    Row(
        "prog_array",
        "entries=4",
        &[
            ("get m 1", "no key 1"),
            (
                "set m 1 5",
                "5: expected prog:PATH, prog:NAME, prog:id:N, prog:fd:N or prog:FILE#NAME",
            ),
            ("add m 1 1", "add: the values of KIND are not numbers"),
        ],
    ),
    Row(
        "array_of_maps",
        "entries=4,inner=/sys/fs/bpf/inner",
        &[("get m 1", "no key 1"), ("set m 1 /sys/fs/bpf/inner", "="), ("get m 1/0", "=0\n")],
    ),
    Row(
        "hash_of_maps",
        "key=4,entries=4,inner=/sys/fs/bpf/inner",
        &[("get m 1", "no key 1"), ("set m 1 /sys/fs/bpf/inner", "="), ("get m 1/0", "=0\n")],
    ),
    Row(
        "perf_event_array",
        "entries=4",
        &[
            (
                "get m 1",
                "get: not possible with KIND: its values are perf events, which only the process that opened them reads",
            ),
            (
                "set m 1 0",
                "set: bad file descriptor (KIND: a value is the number of an inherited descriptor of a perf event)",
            ),
            ("set m 1 900", "value 900: descriptor 900 is closed"),
            ("add m 1 1", "add: the values of KIND are not numbers"),
        ],
    ),
    Row(
        "stack_trace",
        "value=8,entries=4",
        &[
            ("get m 1", "no key 1"),
            ("set m 1 1", "set: invalid argument (KIND: only programs fill it)"),
            ("add m 1 1", "add: the values of KIND are not numbers"),
        ],
    ),
    Row(
        "cgroup_array",
        "entries=4",
        &[
            (
                "get m 1",
                "get: not possible with KIND: its values are cgroups, which the kernel does not return",
            ),
            (
                "set m 1 0",
                "set: bad file descriptor (KIND: a value is the number of an inherited descriptor of a cgroup's directory)",
            ),
        ],
    ),
    Row(
        "devmap",
        "entries=4",
        &[
            ("get m 1", "no key 1"),
            ("set m 1 1", "="),
            ("get m 1", "=1\n"),
            (
                "set m 1 999999",
                "set: invalid argument (KIND: a value is the index of a network interface)",
            ),
            ("add m 1 1", "add: the values of KIND are not numbers"),
        ],
    ),
    Row(
        "devmap_hash",
        "entries=4",
        &[("set m 9 1", "="), ("get m 9", "=1\n"), ("get m 8", "no key 8")],
    ),
    Row(
        "sockmap",
        "entries=4",
        &[
            (
                "get m 1",
                "get: not possible with KIND: its values are sockets, whose cookies are returned only if values have 8 bytes",
            ),
            (
                "set m 1 0",
                "set: socket operation on non-socket (KIND: a value is the number of an inherited descriptor of a connected socket)",
            ),
        ],
    ),
    Row(
        "sockhash",
        "key=4,entries=4",
        &[
            (
                "get m 1",
                "get: not possible with KIND: its values are sockets, whose cookies are returned only if values have 8 bytes",
            ),
            (
                "set m 1 0",
                "set: socket operation on non-socket (KIND: a value is the number of an inherited descriptor of a connected socket)",
            ),
        ],
    ),
    Row(
        "cpumap",
        "entries=4",
        &[("get m 1", "no key 1"), ("set m 0 192", "="), ("get m 0", "=192\n")],
    ),
    Row(
        "xskmap",
        "entries=4",
        &[
            (
                "get m 1",
                "get: not possible with KIND: its values are AF_XDP sockets, which the kernel does not return",
            ),
            (
                "set m 1 0",
                "set: socket operation on non-socket (KIND: a value is the number of an inherited descriptor of an AF_XDP socket)",
            ),
        ],
    ),
    Row(
        "reuseport_sockarray",
        "value=8,entries=4",
        &[
            ("get m 1", "no key 1"),
            (
                "set m 1 0",
                "set: socket operation on non-socket (KIND: a value is the number of an inherited descriptor of a SO_REUSEPORT socket)",
            ),
        ],
    ),
    Row(
        "cgroup_storage",
        "value=8",
        &[
            ("get m 1", "no key 1"),
            (
                "set m 1 1",
                "set: no such file or directory (KIND: the kernel makes an entry when a program that uses the map is attached to a cgroup)",
            ),
        ],
    ),
    Row(
        "percpu_cgroup_storage",
        "value=8",
        &[
            ("get m 1", "no key 1"),
            (
                "set --sum m 1 1",
                "set: no such file or directory (KIND: the kernel makes an entry when a program that uses the map is attached to a cgroup)",
            ),
        ],
    ),
    Row(
        "sk_storage",
        "value=8",
        &[
            (
                "get m 0",
                "get: socket operation on non-socket (KIND: a key is the number of an inherited descriptor of a socket)",
            ),
            ("set m 900 1", "key 900: descriptor 900 is closed"),
        ],
    ),
    Row(
        "inode_storage",
        "value=8",
        &[
            ("get m 0", "no key 0"),
            ("set m 0 7", "="),
            ("add m 0 1", "=8\n"),
            // Descriptors that bpf-map opened itself are not taken for the caller's.
            ("set m 3 7", "key 3: descriptor 3 is closed"),
        ],
    ),
    Row(
        "task_storage",
        "value=8",
        &[(
            "get m 0",
            "get: bad file descriptor (KIND: a key is the number of an inherited pidfd)",
        )],
    ),
    Row(
        "cgrp_storage",
        "value=8",
        &[(
            "get m 0",
            "get: bad file descriptor (KIND: a key is the number of an inherited descriptor of a cgroup's directory)",
        )],
    ),
];

#[test]
fn errors_about_an_arena_describe_it() {
    needs!(Feature::Arena);
    check_rows(|name| name == "arena");
}

#[test]
fn errors_about_cgroup_storage_describe_its_keys() {
    needs!(Feature::CgroupStorage);
    check_rows(|name| name == "cgrp_storage");
}

#[test]
fn every_type_works_or_the_error_names_an_alternative() {
    check_rows(|name| !["arena", "cgrp_storage"].contains(&name));
}

fn check_rows(wanted: impl Fn(&str) -> bool) {
    let lab = Lab::new();
    lab.array("inner", 1);
    // A file of the test, for storage that is kept on an inode.
    let file = lab.path("file");
    std::fs::write(&file, "").unwrap();
    for Row(kind, rest, lines) in ROWS.iter().filter(|row| wanted(row.0)) {
        let vowel = kind.starts_with(['a', 'i', 'x']) || kind.starts_with("l");
        let kind_with_article = format!("{} {kind}", if vowel { "an" } else { "a" });
        let (mut script, mut stdout, mut stderr) = (String::from("exec 2>&1;"), String::new(), 0);
        for (line, want) in *lines {
            script += &format!("bpf-map {line} <{}; echo $?;", file.display());
            stdout += &match want.strip_prefix('=') {
                Some(data) => format!("{data}0\n"),
                None => {
                    stderr += 1;
                    let message = want.replace("KIND", &kind_with_article);
                    format!(
                        "bpf-map: m: {message}\n{}\n",
                        if want.starts_with("no key") { 1 } else { 2 }
                    )
                }
            };
        }
        let create = format!("m={kind},{rest}");
        let mut command = lab.exec(["--create", &create, "--", "sh", "-c", &script]);
        assert_eq!(stdout_of(&mut command), stdout, "{kind} ({stderr} refusals)");
    }
}

#[test]
fn every_map_type_has_a_row() {
    let rows: BTreeSet<&str> = ROWS.iter().map(|row| row.0).collect();
    let table = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/crates/bpf-inherit/src/map_type.rs"
    ))
    .unwrap();
    let rest = table.split("const TABLE").nth(1).unwrap();
    let names = rest.lines().filter_map(|line| line.trim().strip_prefix("row(")?.split('"').nth(1));
    let names: BTreeSet<&str> = names.collect();
    assert_eq!(names.len(), 33);
    // A map of operations is made only with its programs.
    let missing: Vec<_> = names.difference(&rows).collect();
    assert_eq!(missing, [&"struct_ops"]);
}

#[test]
fn types_have_their_article_in_every_message() {
    let lab = Lab::new();
    let pin = format!("{BPFFS}/m");
    for (kind, rest, words, want) in [
        ("inode_storage", "value=8", "watch PIN", "an inode_storage"),
        ("inode_storage", "value=8", "load PIN none", "an inode_storage"),
        ("inode_storage", "value=8", "clear PIN", "an inode_storage"),
        ("array_of_maps", "entries=1,inner=INNER", "load PIN none", "an array_of_maps"),
        ("array", "value=8,entries=1", "load PIN values", "an array has one value per key"),
        ("lpm_trie", "key=8,value=8,entries=1", "dump --cpu 0 PIN", "an lpm_trie"),
        ("xskmap", "entries=1", "load PIN none", "an xskmap"),
    ] {
        let inner = lab.array("inner", 1);
        let rest = rest.replace("INNER", inner.to_str().unwrap());
        std::fs::write(lab.path("none"), "").unwrap();
        std::fs::write(lab.path("values"), "{\"key\":0,\"values\":[1]}\n").unwrap();
        stdout_of(&mut lab.map(["create", &format!("m={kind},{rest}"), "--pin", &pin]));
        let run = run(&mut lab.map(words.replace("PIN", &pin).split(' ')));
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{words}");
        assert!(run.stderr.contains(want) && run.stderr.lines().count() == 1, "{}", run.stderr);
        std::fs::remove_file(&pin).unwrap();
        std::fs::remove_file(&inner).unwrap();
    }
}

#[test]
fn stack_trace_is_an_array_of_addresses() {
    let lab = Lab::new();
    let object = fixture("stack.bpf.o");
    bpftool(&["prog", "loadall", &object, "/sys/fs/bpf/p", "pinmaps", "/sys/fs/bpf/m"]);
    let program = open_pin(Path::new("/sys/fs/bpf/p/trace"));
    // BPF_PROG_TEST_RUN, which is 10, with nothing but the program.
    let mut attr = [0u32; 20];
    attr[0] = program.as_raw_fd() as u32;
    // SAFETY: attr has the given length, and holds no pointers.
    let done = unsafe { libc::syscall(libc::SYS_bpf, 10, attr.as_mut_ptr(), size_of_val(&attr)) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    let pin = "/sys/fs/bpf/m/stacks";
    let dump = stdout_of(&mut lab.map(["dump", "--json", pin]));
    let dump: serde_json::Value = serde_json::from_str(&dump).unwrap();
    let frames = dump[0]["value"].as_array().unwrap();
    assert_eq!(frames.len(), 127);
    assert!(frames[0].as_u64().unwrap() > 1 << 63, "an address of the kernel: {}", frames[0]);
    let shown = stdout_of(&mut lab.map(["show", "--json", pin]));
    assert!(shown.contains("\"layout\": \"u32 -> u64[127]\""), "{shown}");
    let spec = "b=stack_trace,value=64,entries=4,flags=STACK_BUILD_ID";
    stdout_of(&mut lab.map(["create", spec, "--pin", "/sys/fs/bpf/b"]));
    let shown = stdout_of(&mut lab.map(["show", "--json", "/sys/fs/bpf/b"]));
    let layout = "u32 -> struct{status: i32, build_id: hex[20], union{offset: u64, ip: u64}}[2]";
    assert!(shown.contains(layout), "{shown}");
}
