//! The formats of output.

use super::*;
use crate::common::{BPFFS, Lab, bpftool, fails, fixture, stdout_of};
use serde_json::Value;
use std::collections::BTreeMap;

#[test]
fn text_from_a_map_is_escaped_for_lines_and_terminals() {
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
        (&["--prometheus"], "# HELP m Entries of the BPF map /sys/fs/bpf/m.\n# TYPE m gauge\n"),
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
            "# HELP hits_total Entries of the BPF map /sys/fs/bpf/m.\n# TYPE hits_total counter\n\
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
        "# HELP flows_packets Entries of the BPF map /sys/fs/bpf/flows.\n# TYPE flows_packets gauge\n\
         flows_packets{ip=\"10.0.0.1\",port=\"80\"} 3\nflows_packets{ip=\"10.0.0.2\",port=\"53\"} 9\n\
         flows_packets{ip=\"10.0.0.3\",port=\"22\"} 1\n\
         # HELP flows_bytes Entries of the BPF map /sys/fs/bpf/flows.\n# TYPE flows_bytes gauge\n\
         flows_bytes{ip=\"10.0.0.1\",port=\"80\"} 300\nflows_bytes{ip=\"10.0.0.2\",port=\"53\"} 90\n\
         flows_bytes{ip=\"10.0.0.3\",port=\"22\"} 1000\n"
    );
}

#[test]
fn prometheus_names_and_numbers_follow_its_format() {
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
    // The lines of each metric are adjacent, after one TYPE.
    assert_eq!(got.lines().filter(|line| line.starts_with("# TYPE")).count(), 5);
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
        // Keys that bpf-map removes are missing for bpftool.
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
fn only_the_selected_fields_are_printed_in_every_format() {
    let lab = Lab::new();
    let pin = create("m", "array key 4 value 16 entries 1");
    let layout = "--value=struct{a: u8, b: struct{c: u16, d: char[4]}, e: u64}";
    set(&lab, &[layout, &pin, "0", "a=1 b.c=2 b.d=x e=3"]);
    for (options, want) in [
        (&["--fields", "e,a"][..], "0\ta=1 e=3\n"),
        (&["--fields", "b"], "0\tb.c=2 b.d=x\n"),
        (&["--jsonl", "--fields", ".b.d"], "{\"key\":0,\"value\":{\"b\":{\"d\":\"x\"}}}\n"),
        (&["--csv", "--fields", "b.c", "--fields", "e"], "key,b.c,e\n0,2,3\n"),
        (&["--tsv", "--fields", "a", "--sort", "e"], "key\ta\n0\t1\n"),
    ] {
        assert_eq!(dump(&lab, &[&[layout, &pin][..], options].concat()), want);
    }
    for (fields, cause) in [
        ("x", format!("{pin}: --fields: no field \"x\"; fields: a, b, e")),
        ("a.x", format!("{pin}: --fields: u8 has no fields")),
        (",", "--fields: no field is named".to_owned()),
    ] {
        let line = format!("bpf-map: {cause}");
        fails(&mut lab.map(["dump", layout, &pin, "--fields", fields]), 2, &line);
    }
}
