//! `bpf-map dump`, `keys`, `count`, `del` and `clear`: what is printed, what goes, and who refuses.

use crate::common::{BPFFS, Lab, after, bpftool, fails, fixture, open_pin, run, stdout_of};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

/// Makes a map pinned at NAME, by bpftool.
fn create(name: &str, words: &str) -> String {
    let pin = format!("{BPFFS}/{name}");
    let mut arguments = vec!["map", "create", &pin, "name", name, "type"];
    arguments.extend(words.split(' '));
    bpftool(&arguments);
    pin
}

fn hash(name: &str) -> String {
    create(name, "hash key 4 value 8 entries 10")
}

fn set(lab: &Lab, arguments: &[&str]) {
    assert_eq!(stdout_of(&mut lab.map([&["set"], arguments].concat())), "");
}

/// What `dump` prints of a map, with further arguments.
fn dump(lab: &Lab, arguments: &[&str]) -> String {
    stdout_of(&mut lab.map([&["dump"], arguments].concat()))
}

/// Flows with a key and a value of several fields, in no order.
const FLOW: [&str; 2] = [
    "--key=struct{ip: ip4, port: u16, pad[2]}",
    "--value=struct{packets: u64, bytes: u64, name: char[8]}",
];

fn flows(lab: &Lab) -> String {
    let pin = create("flows", "hash key 8 value 24 entries 8");
    for (key, value) in [
        ("ip=10.0.0.1 port=80", r#"packets=3 bytes=300 name=web"#),
        ("ip=10.0.0.2 port=53", r#"packets=9 bytes=90 name="a,b \"c\"""#),
        ("ip=10.0.0.3 port=22", r#"packets=1 bytes=1000 name=ssh"#),
    ] {
        set(lab, &[&pin, key, value, FLOW[0], FLOW[1]]);
    }
    pin
}

#[test]
fn options_that_make_no_sense_are_one_line_and_2() {
    let lab = Lab::new();
    let pin = hash("m");
    let usage = "(see bpf-map --help)";
    for (arguments, want) in [
        (
            &["--reverse"][..],
            format!(
                "the following required arguments were not provided: <--sort <FIELD>|--top <N> <FIELD>> {usage}"
            ),
        ),
        (
            &["--json", "--csv"],
            format!("the argument '--json' cannot be used with '--csv' {usage}"),
        ),
        (&["--top", "x", "value"], "--top: N is not a number".into()),
        (&["--sort", "nothing"], format!("{pin}: --sort: u64 has no fields")),
        (&["--sort", ""], format!("{pin}: --sort: an empty name")),
        (&["--sort", "value.x"], format!("{pin}: --sort: value: u64 has no fields")),
        (&["--sort", "key.x"], format!("{pin}: --sort: key: u32 has no fields")),
        (
            &["--top", "1", "key.x", "--key=struct{a: u16, b: u16}"],
            format!("{pin}: --top: key: no field \"x\"; there is a, b"),
        ),
        (&["--per-cpu"], format!("{pin}: --per-cpu: a hash has one value for all CPUs")),
        (&["--cpu", "0"], format!("{pin}: --cpu: a hash has one value for all CPUs")),
        (
            &["--prometheus", "--name", "a-b"],
            "--name a-b: not a metric's name: [a-zA-Z_:][a-zA-Z0-9_:]*".into(),
        ),
        (
            &["--prometheus", "--value=hex[8]"],
            format!("{pin}: --prometheus: no number in a value: hex[8]"),
        ),
    ] {
        let run = run(&mut lab.map([&["dump", &pin], arguments].concat()));
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{arguments:?}");
        assert_eq!(run.stderr, format!("bpf-map: {want}\n"), "{arguments:?}");
    }
}

#[test]
fn a_type_without_elements_to_go_through_says_what_would_work() {
    let lab = Lab::new();
    for (words, refusing, hint) in [
        (
            "queue key 0 value 4 entries 4",
            &["dump", "keys", "count"][..],
            "it has no keys: see peek and pop",
        ),
        (
            "stack key 0 value 4 entries 4",
            &["dump", "keys", "count"],
            "it has no keys: see peek and pop",
        ),
        (
            "bloom_filter key 0 value 4 entries 4",
            &["dump", "keys", "count"],
            "it only reports whether it may contain a value: see has",
        ),
        (
            "bloom_filter key 0 value 4 entries 4",
            &["clear"],
            "entries cannot be removed: recreate the map",
        ),
        (
            "ringbuf key 0 value 0 entries 4096",
            &["dump", "keys", "count", "clear"],
            "its records are read by mapping it into memory, as libbpf's ring_buffer__new does",
        ),
        (
            "perf_event_array key 4 value 4 entries 4",
            &["dump", "keys", "count"],
            "its entries cannot be read: perf event buffers are for bpftool map event_pipe",
        ),
        (
            "cgroup_array key 4 value 4 entries 4",
            &["dump", "keys", "count"],
            "its entries cannot be read: only a program can test against them",
        ),
        (
            "xskmap key 4 value 4 entries 4",
            &["dump", "keys", "count"],
            "its entries cannot be read: see ss --xdp",
        ),
    ] {
        let pin = create("m", words);
        let kind = words.split(' ').next().unwrap();
        for subcommand in refusing {
            let article = if kind == "xskmap" { "an" } else { "a" };
            let want =
                format!("bpf-map: {pin}: {subcommand}: not possible with {article} {kind}: {hint}");
            fails(&mut lab.map([subcommand, pin.as_str()]), 2, &want);
        }
        std::fs::remove_file(&pin).unwrap();
    }
    // What is empty, and can be gone through, is empty.
    for words in [
        "prog_array key 4 value 4 entries 4",
        "devmap key 4 value 4 entries 4",
        "devmap_hash key 4 value 4 entries 4",
        "cpumap key 4 value 4 entries 4",
        "stack_trace key 4 value 80 entries 4",
        "sockhash key 4 value 8 entries 4",
        "sockmap key 4 value 8 entries 4",
        "reuseport_sockarray key 4 value 8 entries 4",
        "lpm_trie key 8 value 8 entries 4 flags 1",
        "lru_percpu_hash key 4 value 8 entries 64",
    ] {
        let pin = create("m", words);
        for (subcommand, want) in [("dump", ""), ("keys", ""), ("count", "0\n"), ("clear", "")] {
            assert_eq!(stdout_of(&mut lab.map([subcommand, &pin])), want, "{subcommand} {words}");
        }
        std::fs::remove_file(&pin).unwrap();
    }
}

#[test]
fn a_descriptor_that_may_not_read_or_write_is_told() {
    let lab = Lab::new();
    let pin = hash("m");
    set(&lab, &[&pin, "1", "10"]);
    // The library opens what the shell cannot.
    let path = std::ffi::CString::new(pin.as_str()).unwrap();
    for (access, subcommands, what) in [
        (bpf_inherit::AccessMode::WriteOnly, &["dump", "keys", "count", "clear"][..], "write-only"),
        (bpf_inherit::AccessMode::ReadOnly, &["clear", "del"], "read-only"),
    ] {
        let fd = bpf_inherit::bpf::obj_get(&path, access).unwrap();
        for subcommand in subcommands {
            let key = (*subcommand == "del").then_some("1");
            let mut ours = lab.map([&[*subcommand, "70"][..], key.as_slice()].concat());
            let mut command = inheriting(fd.as_raw_fd(), &mut ours);
            let want = format!(
                "bpf-map: 70: {subcommand}: operation not permitted (the descriptor is {what})"
            );
            fails(&mut command, 2, &want);
        }
    }
    assert_eq!(dump(&lab, &[&pin]), "1\t10\n");
    bpftool(&["map", "freeze", "pinned", &pin]);
    for (arguments, subcommand) in [(&["clear", &pin][..], "clear"), (&["del", &pin, "1"], "del")] {
        let want =
            format!("bpf-map: {pin}: {subcommand}: operation not permitted (the map is frozen)");
        fails(&mut lab.map(arguments), 2, &want);
    }
}

/// `command`, with a duplicate of one of our descriptors as 70.
fn inheriting(fd: i32, command: &mut Command) -> Command {
    let mut wrapped = crate::common::wrapped(&["env"], command);
    use std::os::unix::process::CommandExt;
    // SAFETY: a system call without pointers.
    unsafe {
        wrapped.pre_exec(move || match libc::dup2(fd, 70) {
            -1 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    wrapped
}

#[test]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_none() {
    let lab = Lab::new();
    let pin = lab.array("m", 200_000);
    let pin = pin.to_str().unwrap();
    let mut command = lab.map(["dump", pin]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let want = "bpf-map: standard output: write: no space left on device\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), want);

    let mut command = lab.map(["dump", pin]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "0\t0\n");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn text_from_a_map_breaks_no_line_and_steers_no_terminal() {
    let lab = Lab::new();
    let pin = create("m", "hash key 8 value 8 entries 4");
    let types = ["--key=char[8]", "--value=char[8]"];
    set(&lab, &[&pin, "hex:610a0962000000ff", "hex:1b5b324a0a090000", types[0], types[1]]);
    let plain = dump(&lab, &[&pin, types[0], types[1]]);
    assert_eq!(plain, "hex:610a0962000000ff\t\"\\u001b[2J\\n\\t\"\n");
    assert_eq!(
        dump(&lab, &[&pin, types[0], types[1], "--tsv"]),
        "key\tvalue\nhex:610a0962000000ff\t\"\\u001b[2J\\n\\t\"\n"
    );
    assert_eq!(
        dump(&lab, &[&pin, types[0], types[1], "--csv"]),
        "key,value\nhex:610a0962000000ff,\"\"\"\\u001b[2J\\n\\t\"\"\"\n"
    );
    let metrics = dump(&lab, &[&pin, "--key=char[8]", "--prometheus"]);
    assert!(metrics.ends_with("m{key=\"hex:610a0962000000ff\"} 9939799137051\n"), "{metrics}");
}

#[test]
fn scalars_in_every_format() {
    let lab = Lab::new();
    let pin = hash("m");
    for (format, want) in [
        (&[][..], ""),
        (&["--json"], "[]\n"),
        (&["--jsonl"], ""),
        (&["--csv"], "key,value\n"),
        (&["--tsv"], "key\tvalue\n"),
        (&["--prometheus"], "# HELP m Elements of the BPF map /sys/fs/bpf/m.\n# TYPE m gauge\n"),
    ] {
        assert_eq!(dump(&lab, &[&[pin.as_str()], format].concat()), want, "empty, {format:?}");
    }
    for (key, value) in [("2", "18446744073709551615"), ("1", "7")] {
        set(&lab, &[&pin, key, value]);
    }
    for (format, want) in [
        (&[][..], "1\t7\n2\t18446744073709551615\n"),
        (
            &["--json"],
            "[\n{\"key\":1,\"value\":7},\n{\"key\":2,\"value\":18446744073709551615}\n]\n",
        ),
        (&["--jsonl"], "{\"key\":1,\"value\":7}\n{\"key\":2,\"value\":18446744073709551615}\n"),
        (&["--csv"], "key,value\n1,7\n2,18446744073709551615\n"),
        (&["--tsv"], "key\tvalue\n1\t7\n2\t18446744073709551615\n"),
        (
            &["--prometheus", "--name", "hits_total", "--type", "counter"],
            "# HELP hits_total Elements of the BPF map /sys/fs/bpf/m.\n# TYPE hits_total counter\n\
             hits_total{key=\"1\"} 7\nhits_total{key=\"2\"} 18446744073709551615\n",
        ),
    ] {
        let got = dump(&lab, &[&[pin.as_str(), "--sort", "key"], format].concat());
        assert_eq!(got, want, "{format:?}");
    }
}

#[test]
fn structs_in_every_format() {
    let lab = Lab::new();
    let pin = flows(&lab);
    let got = |format: &[&str]| {
        dump(&lab, &[&[pin.as_str(), FLOW[0], FLOW[1], "--sort", "ip"], format].concat())
    };
    assert_eq!(
        got(&[]),
        "ip=10.0.0.1 port=80\tpackets=3 bytes=300 name=web\n\
         ip=10.0.0.2 port=53\tpackets=9 bytes=90 name=\"a,b \\\"c\\\"\"\n\
         ip=10.0.0.3 port=22\tpackets=1 bytes=1000 name=ssh\n"
    );
    assert_eq!(
        got(&["--csv"]),
        "ip,port,packets,bytes,name\n10.0.0.1,80,3,300,web\n10.0.0.2,53,9,90,\"a,b \"\"c\"\"\"\n\
         10.0.0.3,22,1,1000,ssh\n"
    );
    assert_eq!(
        got(&["--tsv"]),
        "ip\tport\tpackets\tbytes\tname\n10.0.0.1\t80\t3\t300\tweb\n10.0.0.2\t53\t9\t90\ta,b \"c\"\n\
         10.0.0.3\t22\t1\t1000\tssh\n"
    );
    let lines = got(&["--jsonl"]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        Value::from(lines.clone()),
        serde_json::from_str::<Value>(&got(&["--json"])).unwrap()
    );
    assert_eq!(
        lines[1],
        serde_json::json!({
            "key": {"ip": "10.0.0.2", "port": 53},
            "value": {"packets": 9, "bytes": 90, "name": "a,b \"c\""},
        })
    );
    assert_eq!(
        got(&["--prometheus"]),
        "# HELP flows_packets Elements of the BPF map /sys/fs/bpf/flows.\n# TYPE flows_packets gauge\n\
         flows_packets{ip=\"10.0.0.1\",port=\"80\"} 3\nflows_packets{ip=\"10.0.0.2\",port=\"53\"} 9\n\
         flows_packets{ip=\"10.0.0.3\",port=\"22\"} 1\n\
         # HELP flows_bytes Elements of the BPF map /sys/fs/bpf/flows.\n# TYPE flows_bytes gauge\n\
         flows_bytes{ip=\"10.0.0.1\",port=\"80\"} 300\nflows_bytes{ip=\"10.0.0.2\",port=\"53\"} 90\n\
         flows_bytes{ip=\"10.0.0.3\",port=\"22\"} 1000\n"
    );
}

#[test]
fn prometheus_names_and_numbers_are_its_own() {
    let lab = Lab::new();
    let pin = create("m", "hash key 8 value 32 entries 4");
    let key = "--key=struct{__name__: u32, cpu: u16, index: u16}";
    let value =
        "--value=struct{a: struct{b: f64}, a_b: f64, nan: f64, list: i16[2], on: bool, pad[3]}";
    set(
        &lab,
        &[
            &pin,
            "__name__=1 cpu=2 index=3",
            "a.b=inf a_b=-inf nan=nan list=[-1,2] on=true",
            key,
            value,
        ],
    );
    let got = dump(&lab, &[&pin, key, value, "--prometheus", "--name", "x:y"]);
    let samples: Vec<&str> = got.lines().filter(|line| !line.starts_with('#')).collect();
    let labels = "key_name__=\"1\",cpu=\"2\",index=\"3\"";
    assert_eq!(
        samples,
        [
            format!("x:y_a_b{{{labels}}} +Inf"),
            format!("x:y_a_b_{{{labels}}} -Inf"),
            format!("x:y_nan{{{labels}}} NaN"),
            format!("x:y_list{{{labels},index_=\"0\"}} -1"),
            format!("x:y_list{{{labels},index_=\"1\"}} 2"),
            format!("x:y_on{{{labels}}} 1"),
        ]
    );
    // Each metric's lines stand together, under one TYPE.
    assert_eq!(got.lines().filter(|line| line.starts_with("# TYPE")).count(), 5);
}

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
fn the_highest_of_many_are_those_that_a_sort_finds() {
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
fn per_cpu_maps_sum_what_programs_counted_on_each_cpu() {
    let lab = Lab::new();
    let (programs, maps) = (format!("{BPFFS}/p"), format!("{BPFFS}/m"));
    bpftool(&[
        "prog",
        "loadall",
        &fixture("percpu.bpf.o"),
        &programs,
        "type",
        "tc",
        "pinmaps",
        &maps,
    ]);
    std::fs::write(lab.path("packet"), [0; 64]).unwrap();
    let cpus: usize = std::thread::available_parallelism().unwrap().into();
    for cpu in 0..cpus {
        let repeat = (cpu + 2).to_string();
        let mut command =
            lab.program("taskset", ["-c", &cpu.to_string(), "bpftool", "prog", "run", "pinned"]);
        stdout_of(
            command
                .arg(format!("{programs}/percpu"))
                .args(["data_in", "packet", "repeat", &repeat]),
        );
    }
    let hits = format!("{maps}/cpu_hits");
    let counts: Vec<u64> = (0..cpus as u64).map(|cpu| cpu + 2).collect();
    let sum: u64 = counts.iter().sum();
    assert_eq!(dump(&lab, &[&hits]), format!("0\t{sum}\n1\t0\n"));
    let lines = dump(&lab, &[&hits, "--per-cpu", "--jsonl"]);
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let values: Vec<u64> = serde_json::from_value(first["values"].clone()).unwrap();
    assert_eq!(values[..cpus], counts);
    let plain = dump(&lab, &[&hits, "--per-cpu"]);
    let words: Vec<&str> = plain.lines().next().unwrap().split('\t').collect();
    assert_eq!(words.len(), 1 + values.len());
    assert_eq!(words[1], "2");
    for (cpu, count) in counts.iter().enumerate() {
        assert_eq!(dump(&lab, &[&hits, "--cpu", &cpu.to_string()]), format!("0\t{count}\n1\t0\n"));
    }
    let csv = dump(&lab, &[&hits, "--per-cpu", "--csv"]);
    assert!(csv.starts_with("key,cpu,value\n0,0,2\n"), "{csv}");
    let metrics = dump(&lab, &[&hits, "--per-cpu", "--prometheus"]);
    assert!(metrics.contains("cpu_hits{key=\"0\",cpu=\"0\"} 2\n"), "{metrics}");
    // 12 bytes a CPU, which the kernel rounds up to 16; summed field by field.
    let sizes = format!("{maps}/cpu_sizes");
    let bytes = 64 * sum;
    assert_eq!(dump(&lab, &[&sizes]), format!("64\tpackets={sum} bytes={bytes} last=-1\n"));
    assert_eq!(dump(&lab, &[&sizes, "--cpu=0"]), "64\tpackets=2 bytes=128 last=-1\n");
    // Sorted by the sum, not by one CPU's.
    set(&lab, &["--sum", &hits, "1", "1000"]);
    assert_eq!(dump(&lab, &[&hits, "--top", "1", "value"]), "1\t1000\n");
    stdout_of(&mut lab.map(["clear", &hits]));
    assert_eq!(dump(&lab, &[&hits]), "0\t0\n1\t0\n");
}

#[test]
fn bpftool_sees_the_same_bytes() {
    let lab = Lab::new();
    for (name, words, key, value) in [
        ("hash", "hash key 5 value 13 entries 40", 5, 13),
        ("lru", "lru_hash key 4 value 8 entries 400", 4, 8),
        ("array", "array key 4 value 6 entries 40", 4, 6),
        ("mapped", "array key 4 value 6 entries 40 flags 0x400", 4, 6),
        ("trie", "lpm_trie key 8 value 3 entries 40 flags 1", 8, 3),
    ] {
        let pin = create(name, words);
        for n in 0..40u8 {
            let mut bytes = vec![0; key];
            bytes[if name == "trie" { 7 } else { 0 }] = n;
            if name == "trie" {
                bytes[0] = 32;
            }
            let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>();
            let content: Vec<u8> = (0..value as u8).map(|at| at.wrapping_mul(37) ^ n).collect();
            let mut arguments = vec![
                "map".into(),
                "update".into(),
                "pinned".into(),
                pin.clone(),
                "key".into(),
                "hex".into(),
            ];
            arguments.extend(hex(&bytes));
            arguments.extend(["value".into(), "hex".into()]);
            arguments.extend(hex(&content));
            bpftool::<String>(&arguments);
        }
        let theirs: Value =
            serde_json::from_str(&bpftool(&["-j", "map", "dump", "pinned", &pin])).unwrap();
        let joined = |bytes: &Value| -> String {
            bytes
                .as_array()
                .unwrap()
                .iter()
                .map(|b| b.as_str().unwrap().trim_start_matches("0x").to_owned())
                .collect()
        };
        let theirs: BTreeMap<String, String> = theirs
            .as_array()
            .unwrap()
            .iter()
            .map(|e| (joined(&e["key"]), joined(&e["value"])))
            .collect();
        let ours =
            dump(&lab, &[&pin, &format!("--key=hex[{key}]"), &format!("--value=hex[{value}]")]);
        let ours: BTreeMap<String, String> = ours
            .lines()
            .map(|line| line.split_once('\t').unwrap())
            .map(|(k, v)| (k.into(), v.into()))
            .collect();
        assert_eq!(ours, theirs, "{name}");
        assert_eq!(ours.len(), 40, "{name}");
        assert_eq!(stdout_of(&mut lab.map(["count", &pin])), "40\n");
        // And what is gone for us is gone for bpftool.
        stdout_of(&mut lab.map(["clear", &pin]));
        let left: Value =
            serde_json::from_str(&bpftool(&["-j", "map", "dump", "pinned", &pin])).unwrap();
        let left = left.as_array().unwrap();
        if name == "array" || name == "mapped" {
            assert!(
                left.len() == 40 && left.iter().all(|e| joined(&e["value"]) == "000000000000"),
                "{name}"
            );
        } else {
            assert_eq!(left.len(), 0, "{name}");
        }
    }
}

#[test]
fn del_deletes_what_is_there_and_tells_what_is_not() {
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
        "bpf-map: {array}: del: the elements of this array cannot be deleted: set one to 0, or clear them all"
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

#[test]
fn dump_reads_only_where_it_may_not_write() {
    let lab = Lab::new();
    let pin = create("m", "array key 4 value 8 entries 3 flags 0x400");
    set(&lab, &[&pin, "2", "5"]);
    let want = "0\t0\n1\t0\n2\t5\n";
    assert_eq!(dump(&lab, &[&pin]), want);
    stdout_of(&mut lab.program("chmod", ["0444", &pin]));
    let program = lab.reachable("bpf-map");
    let nobody = [&crate::common::NOBODY[..], &[&program, "dump", &pin]].concat();
    assert_eq!(stdout_of(&mut lab.program(nobody[0], &nobody[1..])), want);
    // Inherited, with no other way to it.
    let fd = open_pin(pin.as_ref());
    std::fs::remove_file(&pin).unwrap();
    let mut ours = lab.map(["dump", "70"]);
    assert_eq!(stdout_of(&mut inheriting(fd.as_raw_fd(), &mut ours)), want);
    // A frozen map can still be mapped for reading.
    let mut ours = lab.map(["dump", "70"]);
    bpftool(&["map", "freeze", "id", &map_id_of(&fd).to_string()]);
    assert_eq!(stdout_of(&mut inheriting(fd.as_raw_fd(), &mut ours)), want);
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

fn map_id_of(fd: &std::os::fd::OwnedFd) -> u32 {
    use std::os::fd::AsFd;
    bpf_inherit::bpf::map_info(fd.as_fd()).unwrap().id
}
