//! `bpf-map watch`: values as they change, on a terminal, in a pipe and as JSON.

use crate::common::*;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

const TRAFFIC: &str = "struct{packets: u64, name: char[8]}";

/// A pinned hash of u8 to packets and a name.
fn traffic(lab: &Lab) -> &'static str {
    let pin = "/sys/fs/bpf/proto";
    let spec = format!("proto=hash,key=u8,value={TRAFFIC},entries=64");
    stdout_of(&mut lab.map(["create", &spec, "--pin", pin]));
    pin
}

fn set(lab: &Lab, pin: &str, key: &str, packets: u64) {
    let value = format!("packets={packets} name=x");
    stdout_of(&mut lab.map(["set", pin, "--value", TRAFFIC, key, &value]));
}

fn delete(pin: &str, key: &str) {
    bpftool(&["map", "delete", "pinned", pin, "key", key]);
}

/// A running watch whose lines are read one by one; it is killed at the end of the test.
struct Watch {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watch {
    fn start(command: &mut Command) -> Watch {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Watch { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "it has ended");
        line
    }

    /// Returns the next line for which `wanted` holds, and skips the lines before it.
    fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = serde_json::from_str(&self.line()).expect("JSON");
            if wanted(&line) {
                return line;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The element with this key.
fn element(line: &Value, key: u64) -> Option<&Value> {
    line["elements"].as_array().unwrap().iter().find(|element| element["key"] == key)
}

#[test]
fn unwatchable_map_is_reported_in_one_line() {
    let lab = Lab::new();
    for (kind, cause) in [
        ("queue,value=4,entries=1", "a queue has no keys to watch (peek prints what is next)"),
        ("stack,value=4,entries=1", "a stack has no keys to watch (peek prints what is next)"),
        (
            "bloom_filter,value=4,entries=1",
            "a bloom_filter has no keys to watch (has asks it for a value)",
        ),
        ("ringbuf,entries=4096", "a ringbuf has no keys to watch"),
        (
            "perf_event_array,entries=1",
            "watch: not possible with a perf_event_array: its entries cannot be read: read perf events with bpftool map event_pipe",
        ),
    ] {
        let _ = std::fs::remove_file("/sys/fs/bpf/m");
        stdout_of(&mut lab.map(["create", &format!("m={kind}"), "--pin", "/sys/fs/bpf/m"]));
        let line = format!("bpf-map: /sys/fs/bpf/m: {cause}");
        fails(&mut lab.map(["watch", "/sys/fs/bpf/m", "--count", "1"]), 2, &line);
    }
    let pin = traffic(&lab);
    let watch = |words: &[&str]| lab.map([&["watch", pin, "--value", TRAFFIC], words].concat());
    for (words, line) in [
        (
            &["256"][..],
            "bpf-map: /sys/fs/bpf/proto: key 256: 256 is out of range for u8 (0 to 255)",
        ),
        (&[".nope"], "bpf-map: /sys/fs/bpf/proto: no field \"nope\"; fields: packets, name"),
        (
            &["--sort", "nope"],
            "bpf-map: /sys/fs/bpf/proto: no field \"nope\"; fields: packets, name",
        ),
        (&["--sort="], "bpf-map: --sort: an empty name"),
    ] {
        fails(&mut watch(words), 2, line);
    }
    for given in ["0", "-1", "1e3", "", "nan", "inf", "0.0001", "99999999999999999999"] {
        let run = run(&mut watch(&[&format!("--interval={given}")]));
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{given}");
        assert_eq!(run.stderr.lines().count(), 1, "{given}: {}", run.stderr);
    }
    let run = run(&mut watch(&["--count", "0"]));
    assert_eq!((run.status, run.stdout.as_str()), (2, ""));
}

#[test]
fn changes_are_printed_once_with_sign_and_key_events() {
    let lab = Lab::new();
    let pin = traffic(&lab);
    set(&lab, pin, "6", 40);
    set(&lab, pin, "17", 5);
    let words = ["watch", pin, "--value", TRAFFIC, "--json", "--interval", "0.01"];
    let mut watch = Watch::start(&mut lab.map(words));
    let first: Value = serde_json::from_str(&watch.line()).unwrap();
    assert_eq!(
        first["elements"],
        json!([
            {"key": 6, "value": {"packets": 40, "name": "x"}, "delta": null, "rate": null},
            {"key": 17, "value": {"packets": 5, "name": "x"}, "delta": null, "rate": null},
        ])
    );
    assert_eq!((&first["gone"], &first["elapsed"].is_f64()), (&json!([]), &true));

    for (to, delta) in [(45, 5), (3, -42)] {
        set(&lab, pin, "6", to);
        let line = watch.until(|line| element(line, 6).unwrap()["value"]["packets"] == to);
        let changed = element(&line, 6).unwrap();
        assert_eq!(changed["delta"], json!({"packets": delta, "name": null}));
        let rate = changed["rate"]["packets"].as_f64().unwrap();
        assert!(rate.abs() > 0.0 && (rate < 0.0) == (delta < 0), "{rate}");
        assert_eq!(element(&line, 17).unwrap()["delta"]["packets"], 0);
        let next: Value = serde_json::from_str(&watch.line()).unwrap();
        assert_eq!(element(&next, 6).unwrap()["delta"]["packets"], 0);
    }

    set(&lab, pin, "7", 9);
    let line = watch.until(|line| element(line, 7).is_some());
    let new = json!({"key": 7, "value": {"packets": 9, "name": "x"}, "delta": null, "rate": null, "new": true});
    assert_eq!(element(&line, 7), Some(&new));
    let next: Value = serde_json::from_str(&watch.line()).unwrap();
    assert_eq!(element(&next, 7).unwrap().get("new"), None);

    delete(pin, "6");
    let line = watch.until(|line| element(line, 6).is_none());
    assert_eq!(line["gone"], json!([6]));
    let next: Value = serde_json::from_str(&watch.line()).unwrap();
    assert_eq!((&next["gone"], &next["absent"]), (&json!([]), &json!([])));

    let words = ["watch", pin, "17", "6", "--value", TRAFFIC, "--json", "--count", "1"];
    let line: Value = serde_json::from_str(&stdout_of(&mut lab.map(words))).unwrap();
    assert_eq!((&line["gone"], &line["absent"]), (&json!([]), &json!([6])));
    assert!(element(&line, 17).is_some());
}

#[test]
fn line_has_seconds_and_a_cell_for_each_key() {
    let lab = Lab::new();
    let pin = traffic(&lab);
    // Numbers are in order, not bytes or text.
    for key in ["6", "17", "200"] {
        set(&lab, pin, key, 1);
    }
    let watch = |words: &[&str]| {
        let common = ["watch", pin, "--value", TRAFFIC, "--interval", "0.001"];
        let text = stdout_of(&mut lab.map([&common, words].concat()));
        let lines = text.lines().map(|line| line.split('\t').skip(1).collect::<Vec<_>>().join("|"));
        let times = text.lines().map(|line| line.split('\t').next().unwrap().parse::<f64>());
        assert!(times.into_iter().all(|time| time.is_ok()), "{text}");
        lines.collect::<Vec<String>>()
    };
    let [first, rest] = ["packets=1 name=x", "packets=1 0 0/s name=x"];
    assert_eq!(
        watch(&["--count", "2"]),
        [format!("6 {first}|17 {first}|200 {first}"), format!("6 {rest}|17 {rest}|200 {rest}"),]
    );
    // The keys as they were asked for, there or not; options after them.
    assert_eq!(
        watch(&["17", "99", "6", ".packets", "--count", "2"]),
        ["17 1|99 absent|6 1", "17 1 0 0/s|99 absent|6 1 0 0/s"]
    );
    set(&lab, pin, "200", 7);
    assert_eq!(watch(&["--count", "1", "--top", "2"]), [format!("200 packets=7 name=x|6 {first}")]);
    assert_eq!(
        watch(&["--count", "1", "--sort", ".packets"]),
        [format!("200 packets=7 name=x|6 {first}|17 {first}")]
    );
}

#[test]
fn changes_in_text_mark_new_and_removed_keys() {
    let lab = Lab::new();
    let pin = traffic(&lab);
    set(&lab, pin, "6", 40);
    let words = ["watch", pin, "--value", TRAFFIC, "--interval", "0.01"];
    let mut watch = Watch::start(&mut lab.map(words));
    watch.line();
    let mut until = |part: &str| {
        while !watch.line().contains(part) {}
    };
    set(&lab, pin, "6", 42);
    until("\t6 packets=42 +2 ");
    set(&lab, pin, "6", 40);
    until("\t6 packets=40 -2 -");
    set(&lab, pin, "7", 1);
    until("\t7 new packets=1 name=x");
    delete(pin, "7");
    until("\t7 gone\n");
}

#[test]
fn text_that_resembles_other_fields_is_quoted() {
    let lab = Lab::new();
    let script = r#"
        bpf-map set struct 'b 3' 'n="a b=3 c=9" c=1'; bpf-map watch --count 1 struct 'b 3'
        bpf-map set text 1 '5 +9 9/s'; bpf-map watch --count 1 text 1
        bpf-map set text 1 ''; bpf-map watch --count 1 text 1
        bpf-map set text 1 -; bpf-map watch --count 1 text 1"#;
    let mut command = lab.exec([
        "--create=struct=hash,key=char[8],value=struct{n: char[16], c: u32},entries=1",
        "--create=text=array,value=char[16],entries=2",
        "--",
        "sh",
        "-c",
        script,
    ]);
    let lines = stdout_of(&mut command);
    let without_time = lines.lines().map(|line| line.split_once('\t').expect("a time").1);
    let want = [r#""b 3" n="a b=3 c=9" c=1"#, r#"1 "5 +9 9/s""#, r#"1 """#, r#"1 "-""#];
    assert_eq!(without_time.collect::<Vec<_>>(), want);
}

#[test]
fn per_cpu_values_are_summed_as_programs_count() {
    let lab = Lab::new();
    std::fs::create_dir("/sys/fs/bpf/maps").unwrap();
    let object = fixture("percpu.bpf.o");
    let words = ["prog", "loadall", &object, "/sys/fs/bpf/progs", "type", "tc", "pinmaps"];
    bpftool(&[&words[..], &["/sys/fs/bpf/maps"]].concat());
    std::fs::write(lab.path("packet"), [0; 64]).unwrap();
    let packet = lab.path("packet");
    let count = |times: &str| {
        let words = ["prog", "run", "pinned", "/sys/fs/bpf/progs/percpu", "data_in"];
        bpftool(&[&words[..], &[packet.to_str().unwrap(), "repeat", times]].concat());
    };
    count("3");
    let words = ["watch", "/sys/fs/bpf/maps/cpu_hits", "0", "--json", "--interval", "0.01"];
    let mut watch = Watch::start(&mut lab.map(words));
    let first: Value = serde_json::from_str(&watch.line()).unwrap();
    assert_eq!(first["elements"][0]["value"], 3);
    assert_eq!(first["elements"][0]["sum"], true);
    count("4");
    // It may be seen in the middle of its counting.
    let mut sum = 0;
    while sum < 4 {
        let line: Value = serde_json::from_str(&watch.line()).unwrap();
        sum += line["elements"][0]["delta"].as_i64().unwrap();
        assert_eq!(line["elements"][0]["value"], 3 + sum);
    }
    assert_eq!(sum, 4);
}

#[test]
fn closed_pipe_ends_watch_silently() {
    let lab = Lab::new();
    let pin = traffic(&lab);
    // Not only when there is something to write, in an hour.
    let mut watch = Watch::start(&mut lab.map(["watch", pin, "--interval", "3600"]));
    watch.line();
    drop(std::mem::replace(&mut watch.lines, BufReader::new(other_pipe())));
    let mut status = None;
    eventually("its end", || {
        status = watch.child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(0));
    let mut stderr = String::new();
    watch.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "");
}

/// The output of a command that prints nothing, in place of another.
fn other_pipe() -> ChildStdout {
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    child.wait().unwrap();
    child.stdout.take().unwrap()
}

#[test]
fn full_disk_is_a_failure() {
    let lab = Lab::new();
    let pin = traffic(&lab);
    let run = run(&mut after("exec >/dev/full", &lab.map(["watch", pin])));
    assert_eq!(run.status, 2);
    assert_eq!(run.stderr, "bpf-map: standard output: write: no space left on device\n");
}

/// A terminal of 6 rows and 30 columns, in which a shell runs `script`.
fn terminal(lab: &Lab, script: &str) -> Command {
    std::fs::write(lab.path("script"), format!("stty rows 6 cols 30\n{script}")).unwrap();
    let mut command = lab.program("script", ["-qec", "exec sh script", "/dev/null"]);
    command.stdin(Stdio::piped());
    command
}

#[test]
fn terminal_is_redrawn_within_the_window() {
    let lab = Lab::new();
    let pin = traffic(&lab);
    for key in 1..=9 {
        set(&lab, pin, &key.to_string(), 1000);
    }
    let watch = format!("bpf-map watch {pin} --value '{TRAFFIC}' --interval 0.01 --count 2\n");
    let run = run(&mut terminal(&lab, &watch));
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let frames: Vec<&str> = run.stdout.split("\u{1b}[H").collect();
    assert_eq!((frames.len(), frames[0]), (3, ""), "{run:?}");
    for frame in &frames[1..] {
        let lines: Vec<&str> = frame.split("\r\n").collect();
        // The cursor stays in the sixth row, below what was cleared.
        assert_eq!((lines.len(), lines[5]), (6, "\u{1b}[J"), "{frame:?}");
        for line in &lines[..5] {
            let text = line.strip_prefix("\u{1b}[K").expect("a line that is cleared");
            assert!(text.chars().count() <= 30, "{text:?}");
        }
        assert!(lines[1].starts_with("\u{1b}[KKEY  packets  +/-  /s"), "{frame:?}");
        assert_eq!(lines[4], "\u{1b}[Kand 7 more", "{frame:?}");
    }
    assert!(frames[2].contains("\u{1b}[K1       1000    0   0"), "{run:?}");
}

#[test]
fn text_from_the_map_cannot_steer_the_terminal() {
    let lab = Lab::new();
    let pin = traffic(&lab);
    let bytes = "hex:0100000000000000".to_owned() + "1b5b324a0a414243";
    stdout_of(&mut lab.map(["set", pin, "1", &bytes]));
    let watch = format!("bpf-map watch {pin} --value '{TRAFFIC}' --count 1 | cat\n");
    let piped = run(&mut terminal(&lab, &watch)).stdout;
    assert!(piped.contains("name=\"\\u001b[2J\\nABC\"") || piped.contains("\\x1b"), "{piped:?}");
    let watch = format!("bpf-map watch {pin} --value '{TRAFFIC}' --count 1\n");
    let drawn = run(&mut terminal(&lab, &watch)).stdout;
    assert!(!drawn.contains("\u{1b}[2J"), "{drawn:?}");
}

#[test]
fn control_c_ends_watch_and_leaves_the_terminal_unchanged() {
    let lab = Lab::new();
    let pin = traffic(&lab);
    let script = format!(
        "trap : INT\nstty -g >before\nbpf-map watch {pin} --interval 3600 2>stderr\necho $? >status\nstty -g >after\n"
    );
    let mut command = terminal(&lab, &script);
    let command = with_default_signals(&mut command);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut seen = Vec::new();
    // The whole first frame is there.
    while !seen.ends_with(b"\x1b[J") {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"\x03").unwrap();
    stdout.read_to_end(&mut seen).unwrap();
    assert!(child.wait().unwrap().success());
    let read = |name: &str| std::fs::read_to_string::<PathBuf>(lab.path(name)).unwrap();
    assert_eq!(read("status"), "130\n");
    assert_eq!(read("stderr"), "");
    assert_eq!(read("before"), read("after"));
}
