//! `bpf-map dump --prometheus`: promtool accepts what is printed.

use crate::common::{BPFFS, Lab, Run, fails, run, stdout_of, unique};
use std::io::Write;
use std::process::{Command, Stdio};

/// Makes a map with entries, pinned at NAME; returns the path of the pin.
fn create(lab: &Lab, name: &str, spec: &str, entries: &[(&str, &str)]) -> String {
    let pin = format!("{BPFFS}/{name}");
    stdout_of(&mut lab.map(["create", &format!("{name}={spec}"), "--pin", &pin]));
    let types = types(spec);
    for (key, value) in entries {
        let words = [&["set", &pin, key, value], &types[..]].concat();
        stdout_of(&mut lab.map(words));
    }
    pin
}

/// The types of a specification, as options: a pin keeps no layout without BTF.
fn types(spec: &str) -> Vec<&str> {
    let part = |name: &str| {
        let start = spec.find(name).expect("a type") + name.len();
        let mut depth = 0;
        let end = spec[start..].find(|c| {
            depth += i32::from(matches!(c, '{' | '[')) - i32::from(matches!(c, '}' | ']'));
            c == ',' && depth == 0
        });
        &spec[start..end.map_or(spec.len(), |end| start + end)]
    };
    vec!["--key", part("key="), "--value", part("value=")]
}

/// What `dump --prometheus` prints, which promtool must accept without a remark.
#[track_caller]
fn metrics(lab: &Lab, arguments: &[&str]) -> String {
    let text = stdout_of(&mut lab.map([&["dump", "--prometheus"], arguments].concat()));
    lint(&text);
    text
}

#[track_caller]
fn lint(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    promtool.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    let run = Run::from(promtool.wait_with_output().expect("an end"));
    assert_eq!(run, Run { status: 0, stdout: String::new(), stderr: String::new() }, "{text}");
}

/// The lines that are samples.
fn samples(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

const FLOWS: &str = "hash,key=struct{ip: ip4, port: u16, mac: u8[6], dev: char[8]},\
                     value=struct{packets: u64, rxBytes: u64, state: enum{DOWN=0, UP=1}, \
                     sizes: u16[2], comm: char[8]},entries=8";
const FLOW: (&str, &str) = (
    "ip=10.0.0.1 port=80 mac=[1,2,3,4,5,255] dev=\"a \\\"b\\\"\"",
    "packets=3 rxBytes=300 state=UP sizes=[1,2] comm=web",
);

#[test]
fn names_end_as_their_type_does() {
    let lab = Lab::new();
    for (name, value, kind, want) in [
        ("hits", "u64", "counter", "hits_total"),
        ("hits_total", "u64", "counter", "hits_total"),
        ("hits_total", "u64", "gauge", "hits_total_value"),
        ("rxHits", "u64", "gauge", "rx_hits"),
        ("XDP_HITS", "struct{PASS: u64}", "gauge", "xdp_hits_pass"),
        ("m", "struct{count: u64}", "gauge", "m_count_value"),
        ("m", "struct{count: u64}", "counter", "m_count_total"),
        ("m_total", "struct{in: struct{sum: u64}}", "counter", "m_in_sum_total"),
        ("m", "struct{x_bucket: u64}", "gauge", "m_x_bucket_value"),
        ("9.lives", "u64", "gauge", "bpf_9_lives"),
    ] {
        let pin = format!("{BPFFS}/{}", unique("m").replace('.', "_"));
        let spec = format!("{name}=hash,key=u32,value=hex[8],entries=1");
        stdout_of(&mut lab.map(["create", &spec, "--pin", &pin]));
        stdout_of(&mut lab.map(["set", "--value=u64", &pin, "1", "7"]));
        let text = metrics(&lab, &[&pin, "--value", value, "--type", kind]);
        let about = format!("Entries of the BPF map {pin}.");
        let want = format!("# HELP {want} {about}\n# TYPE {want} {kind}\n{want}{{key=\"1\"}} 7\n");
        assert_eq!(text, want, "{name} {value}");
    }
    // A given name, too; and a disambiguating part precedes the suffix.
    let pin = create(&lab, "m", "hash,key=u32,value=u64,entries=1", &[("1", "7")]);
    let named = |name: &str, kind: &str, value: &str| {
        let options = ["--name", name, "--type", kind, "--value", value];
        let text = metrics(&lab, &[&[pin.as_str()], &options[..]].concat());
        samples(&text).join(" ")
    };
    assert_eq!(named("x_total", "gauge", "u64"), "x_total_value{key=\"1\"} 7");
    assert_eq!(named("x", "counter", "u64"), "x_total{key=\"1\"} 7");
    let two = "struct{Y: u32, y: u32}";
    assert_eq!(named("x", "counter", two), "x_y_total{key=\"1\"} 7 x_y__total{key=\"1\"} 0");
    let two = "struct{A_sum: u32, a_sum: u32}";
    assert_eq!(named("x", "gauge", two), "x_a_sum_value{key=\"1\"} 7 x_a_sum__value{key=\"1\"} 0");
}

#[test]
fn fields_and_labels_are_chosen_and_renamed() {
    let lab = Lab::new();
    let pin = create(&lab, "flows", FLOWS, &[FLOW]);
    let key = r#"ip="10.0.0.1",port="80",mac="01:02:03:04:05:ff",dev="a \"b\"""#;
    let types = types(FLOWS);
    for (options, want) in [
        (
            &[][..],
            vec![
                format!("flows_packets{{{key}}} 3"),
                format!("flows_rx_bytes{{{key}}} 300"),
                format!("flows_sizes{{{key},index=\"0\"}} 1"),
                format!("flows_sizes{{{key},index=\"1\"}} 2"),
            ],
        ),
        (
            &["--fields", "rxBytes,packets"],
            vec![format!("flows_rx_bytes{{{key}}} 300"), format!("flows_packets{{{key}}} 3")],
        ),
        (
            &["--fields", "state", "--fields=sizes[1]"],
            vec![format!("flows_state{{{key}}} 1"), format!("flows_sizes_1{{{key}}} 2")],
        ),
        (
            &["--fields=packets", "--labels", "port,value.comm"],
            vec!["flows_packets{port=\"80\",comm=\"web\"} 3".into()],
        ),
        (&["--fields=packets", "--labels="], vec!["flows_packets 3".into()]),
        (
            &["--fields=sizes[0]", "--labels=mac[5],ip", "--rename-label=ip=addr,mac_5=last"],
            vec!["flows_sizes_0{last=\"255\",addr=\"10.0.0.1\"} 1".into()],
        ),
        (
            &["--fields=sizes", "--labels=ip", "--rename-label", "index=size_class"],
            vec![
                "flows_sizes{ip=\"10.0.0.1\",size_class=\"0\"} 1".into(),
                "flows_sizes{ip=\"10.0.0.1\",size_class=\"1\"} 2".into(),
            ],
        ),
    ] {
        let text = metrics(&lab, &[&[pin.as_str()], &types[..], options].concat());
        assert_eq!(samples(&text), want, "{options:?}");
    }
    // The names are exchanged, and a metric gets another name for its field.
    let options = ["--fields=rxBytes=received,state=up", "--labels=ip,port,value.comm"];
    let renamed = ["--rename-label=ip=port,port=ip"];
    let text = metrics(&lab, &[&[pin.as_str()], &types[..], &options, &renamed].concat());
    let labels = "port=\"10.0.0.1\",ip=\"80\",comm=\"web\"";
    let want = [format!("flows_received{{{labels}}} 300"), format!("flows_up{{{labels}}} 1")];
    assert_eq!(samples(&text), want);
    let scalar = create(&lab, "hits", "hash,key=ip4,value=u64,entries=1", &[("10.0.0.1", "7")]);
    let options = ["--key=ip4", "--fields=value", "--labels=key", "--rename-label=key=address"];
    let text = metrics(&lab, &[&[scalar.as_str()], &options[..]].concat());
    assert_eq!(samples(&text), ["hits{address=\"10.0.0.1\"} 7"]);
}

#[test]
fn choices_that_are_wrong_are_one_line_and_2() {
    let lab = Lab::new();
    let pin = create(&lab, "flows", FLOWS, &[FLOW]);
    let fields = r#"no field "none"; fields: packets, rxBytes, state, sizes, comm"#;
    let keys = r#"no field "none"; fields: ip, port, mac, dev"#;
    for (option, want) in [
        ("--fields=none", format!("{pin}: --prometheus: --fields: none: {fields}")),
        ("--fields=comm", format!("{pin}: --prometheus: --fields: comm: not a number")),
        (
            "--fields=packets=a-b",
            format!(
                "{pin}: --prometheus: --fields: packets=a-b: not a part of a metric's name: \
                 [a-zA-Z_][a-zA-Z0-9_]*"
            ),
        ),
        ("--labels=none", format!("{pin}: --prometheus: --labels: none: {keys}")),
        ("--labels=value.none", format!("{pin}: --prometheus: --labels: none: {fields}")),
        (
            "--rename-label=none=x",
            format!(
                "{pin}: --prometheus: --rename-label: no label none; labels: ip, port, mac, dev, cpu, index, map"
            ),
        ),
        (
            "--rename-label=ip=port",
            format!("{pin}: --prometheus: --rename-label: two labels would be called port"),
        ),
        (
            "--fields=packets,packets",
            format!("{pin}: --prometheus: --fields: packets: given twice"),
        ),
        ("--labels=ip,ip", format!("{pin}: --prometheus: --labels: ip: given twice")),
        (
            "--rename-label=ip=a,ip=b",
            format!("{pin}: --prometheus: --rename-label: ip: given twice"),
        ),
        (
            "--rename-label=ip=le",
            "--rename-label ip=le: not a label's name: an identifier without __ in front, \
             and not le or quantile"
                .into(),
        ),
        ("--rename-label=ip", "--rename-label ip: not LABEL=NAME".into()),
        (
            "--rename-label=ip=__ip",
            "--rename-label ip=__ip: not a label's name: an identifier without __ in front, \
             and not le or quantile"
                .into(),
        ),
        (
            "--rename-label=ip=a\nb",
            "--rename-label ip=a\\nb: not a label's name: an identifier without __ in front, \
             and not le or quantile"
                .into(),
        ),
        ("--rename-label=", "--rename-label: no label is named".into()),
        ("--rename-label=,", "--rename-label: no label is named".into()),
        ("--name=", "--name \"\": not a metric's name: [a-zA-Z_:][a-zA-Z0-9_:]*".into()),
        ("--name=a-b", "--name a-b: not a metric's name: [a-zA-Z_:][a-zA-Z0-9_:]*".into()),
    ] {
        let words = [&["dump", "--prometheus", &pin, option], &types(FLOWS)[..]].concat();
        fails(&mut lab.map(words), 2, &format!("bpf-map: {want}"));
    }
    // All of these belong to this format.
    for option in ["--labels=a", "--rename-label=a=b", "--help-text=a", "--type=gauge"] {
        let run = run(&mut lab.map(["dump", option, &pin]));
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{option}");
        assert!(run.stderr.contains("--prometheus"), "{option}: {}", run.stderr);
    }
}

#[test]
fn labels_that_two_elements_share_are_an_error() {
    let lab = Lab::new();
    let spec = "hash,key=struct{ip: ip4, port: u32},value=u64,entries=4";
    let entries = [("ip=10.0.0.1 port=80", "1"), ("ip=10.0.0.1 port=53", "2")];
    let pin = create(&lab, "flows", spec, &entries);
    let file = lab.path("flows.prom");
    std::fs::write(&file, "old").unwrap();
    let words = [&["dump", "--prometheus", &pin, "--labels=ip"], &types(spec)[..]].concat();
    let line = format!(
        "bpf-map: {pin}: dump: two entries have the labels {{ip=\"10.0.0.1\"}}: choose more with --labels\n"
    );
    let run = run(&mut lab.map(&words));
    assert_eq!((run.status, run.stderr.as_str()), (2, line.as_str()));
    // Lines that were printed already remain valid for Prometheus.
    lint(&run.stdout);
    assert_eq!(samples(&run.stdout).len(), 1);
    fails(lab.map(&words).args(["-o", "flows.prom"]), 2, line.trim_end());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "old");
}

#[test]
fn text_in_labels_is_not_json() {
    let lab = Lab::new();
    let spec = "hash,key=struct{name: char[8], raw: u8[4], words: u16[2]},value=u64,entries=8";
    let entries = [
        ("name=\"tab\\tx\" raw=[1,2,3,4] words=[1,2]", "1"),
        ("name=hex:ff00000000000000 raw=[0,0,0,0] words=[0,0]", "2"),
        ("name=\"a\\\\b\" raw=[0,0,0,1] words=[0,0]", "3"),
    ];
    let pin = create(&lab, "m", spec, &entries);
    let text = metrics(&lab, &[&[pin.as_str(), "--sort=value"], &types(spec)[..]].concat());
    assert_eq!(
        samples(&text),
        [
            r#"m{name="hex:7461620978000000",raw="hex:01020304",words="[1,2]"} 1"#,
            r#"m{name="hex:ff00000000000000",raw="hex:00000000",words="[0,0]"} 2"#,
            r#"m{name="a\\b",raw="hex:00000001",words="[0,0]"} 3"#,
        ]
    );
    // Labels that Prometheus or other types of metric have for themselves.
    let spec =
        "hash,key=struct{le: u16, quantile: u16, __name__: u32, rxQueue: u32},value=u64,entries=1";
    let entry = ("le=1 quantile=2 __name__=3 rxQueue=4", "1");
    let pin = create(&lab, "n", spec, &[entry]);
    let text = metrics(&lab, &[&[pin.as_str()], &types(spec)[..]].concat());
    let want = r#"n{key_le="1",key_quantile="2",key_name__="3",rx_queue="4"} 1"#;
    assert_eq!(samples(&text), [want]);
}

#[test]
fn arrays_that_are_left_out_are_reported() {
    let lab = Lab::new();
    let value = "struct{n: u64, slots: u32[300], rows: struct{x: u32, y: u32}[2], tail: u32[0]}";
    let spec = format!("array,key=u32,value={value},entries=1");
    let pin = create(&lab, "m", &spec, &[]);
    for (field, number) in [(".n", "7"), (".rows[1].x", "3"), (".rows[1].y", "4")] {
        stdout_of(&mut lab.map([&["set", &pin, "0", field, number], &types(&spec)[..]].concat()));
    }
    let words = [&["dump", "--prometheus", &pin], &types(&spec)[..]].concat();
    let run = run(&mut lab.map(&words));
    let left_out = "slots (u32[300]), rows (struct{x: u32, y: u32}[2])";
    let warning = format!("bpf-map: warning: {pin}: arrays are omitted: {left_out}\n");
    assert_eq!((run.status, run.stderr.as_str()), (0, warning.as_str()));
    assert_eq!(samples(&run.stdout), ["m_n{key=\"0\"} 7"]);
    // No warning is printed if the fields are chosen.
    let options = ["--fields", "rows[1],slots[299]"];
    let text = metrics(&lab, &[&[pin.as_str()], &types(&spec)[..], &options].concat());
    let want = ["m_rows_1_x{key=\"0\"} 3", "m_rows_1_y{key=\"0\"} 4", "m_slots_299{key=\"0\"} 0"];
    assert_eq!(samples(&text), want);
    let slots = metrics(&lab, &[&[pin.as_str()], &types(&spec)[..], &["--fields=slots"]].concat());
    assert_eq!(samples(&slots).len(), 300);
}

#[test]
fn several_maps_are_one_text() {
    let lab = Lab::new();
    let spec = "hash,key=u32,value=struct{packets: u64, map: u64},entries=2";
    let (a, b) = (
        create(&lab, "a", spec, &[("1", "packets=1 map=2")]),
        create(&lab, "b", spec, &[("1", "packets=3 map=4")]),
    );
    let types = types(spec);
    let text =
        metrics(&lab, &[&[a.as_str(), &b], &types[..], &["--help-text", "x \\ y\nz"]].concat());
    assert_eq!(
        text,
        "# HELP a_packets x \\\\ y\\nz\n# TYPE a_packets gauge\na_packets{key=\"1\"} 1\n\
         # HELP a_map x \\\\ y\\nz\n# TYPE a_map gauge\na_map{key=\"1\"} 2\n\
         # HELP b_packets x \\\\ y\\nz\n# TYPE b_packets gauge\nb_packets{key=\"1\"} 3\n\
         # HELP b_map x \\\\ y\\nz\n# TYPE b_map gauge\nb_map{key=\"1\"} 4\n"
    );
    // Metrics of one name are adjacent, and a label identifies the map.
    let options = ["--name=flows", "--fields=packets", "--type=counter"];
    let text = metrics(&lab, &[&[a.as_str(), &b], &types[..], &options].concat());
    assert_eq!(
        text,
        format!(
            "# HELP flows_packets_total Entries of BPF maps.\n# TYPE flows_packets_total counter\n\
             flows_packets_total{{key=\"1\",map=\"{a}\"}} 1\n\
             flows_packets_total{{key=\"1\",map=\"{b}\"}} 3\n"
        )
    );
    let words = ["dump", "--prometheus", &a, &b, &a];
    fails(&mut lab.map(words), 2, &format!("bpf-map: {a}: dump: named twice"));
    let line = "bpf-map: dump: several maps: possible with --prometheus only";
    fails(&mut lab.map(["dump", "--csv", &a, &b]), 2, line);
    // A map that cannot be opened leaves nothing half printed.
    let none = format!("{BPFFS}/none");
    let line = format!("bpf-map: {none}: open pin: no such file or directory");
    fails(&mut lab.map(["dump", "--prometheus", &a, &none]), 2, &line);
}
