//! `bpf-map batch`: a line of output for each line of input, errors with the number of their line,
//! and answers that are flushed before the next line is read.

use crate::common::*;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// `bpf-map batch OPTIONS`, with `input` on its standard input.
fn batch(lab: &Lab, options: &[&str], input: impl AsRef<[u8]>) -> Command {
    let file = lab.path("lines");
    std::fs::write(&file, input).unwrap();
    let mut command = lab.map(["batch"]);
    command.args(options).stdin(File::open(file).unwrap());
    command
}

#[track_caller]
fn ends(command: &mut Command, status: i32, stdout: &str, stderr: &str) {
    let want = Run { status, stdout: stdout.into(), stderr: stderr.into() };
    assert_eq!(run(command), want, "{command:?}");
}

#[test]
fn failed_line_is_reported_and_is_the_last() {
    let lab = Lab::new();
    lab.hash("h");
    let h = "/sys/fs/bpf/h";
    for (line, why) in [
        (format!("get {h} x"), format!("{h}: key x: expected a whole number (u32), found \"x\"")),
        (
            format!("set {h} 2 -1"),
            format!("{h}: value -1: -1 is out of range for u64 (0 to 18446744073709551615)"),
        ),
        (
            "get /sys/fs/bpf/gone 1".into(),
            "/sys/fs/bpf/gone: open pin: no such file or directory".into(),
        ),
        ("get gone 1".into(), "gone: no inherited map has this name".into()),
        ("get 'h 1".into(), "a quote or a backslash without its end".into()),
        ("get h 1\\".into(), "a quote or a backslash without its end".into()),
        ("get h\0 1".into(), "a NUL byte".into()),
        ("batch".into(), "batch: not possible within a batch".into()),
        (
            format!("load {h}"),
            "load: standard input is not available in a batch: name a file".into(),
        ),
        (
            format!("load {h} -"),
            "load: standard input is not available in a batch: name a file".into(),
        ),
        (
            format!("load {h} /proc/self/gone"),
            "/proc/self/gone: open: no such file or directory".into(),
        ),
    ] {
        let input = format!("get {h} 1\n\n# no line of output\n{line}\nget {h} 1\n");
        let error = format!("bpf-map: line 4: {why}\n");
        ends(&mut batch(&lab, &[], &input), 2, "42\n\n", &error);
        ends(&mut batch(&lab, &["--keep-going"], &input), 2, "42\n\n42\n", &error);
    }
    // The option parser's words.
    for (line, word) in [
        ("frob", "'frob'"),
        ("get", "required"),
        ("set h 1", "required"),
        ("list --frob", "'--frob'"),
        ("\"\"", "''"),
        ("fr\x1b[2Job", "\\x1b[2J"),
    ] {
        let run = run(&mut batch(&lab, &["--keep-going"], format!("{line}\nget {h} 1\n")));
        assert_eq!(
            (run.status, run.stdout.as_str(), run.stderr.lines().count()),
            (2, "\n42\n", 1),
            "{line}"
        );
        assert!(
            run.stderr.starts_with("bpf-map: line 1: ") && run.stderr.contains(word),
            "{}",
            run.stderr
        );
        assert!(!run.stderr.contains('\x1b'), "{}", run.stderr);
    }
    fails(&mut lab.map(["batch", "gone"]), 2, "bpf-map: gone: open: no such file or directory");
    fails(&mut lab.map(["batch", "."]), 2, "bpf-map: .: read: is a directory");
    let endless = run(lab.map(["batch", "/dev/zero"]).stdin(Stdio::null()));
    assert_eq!(endless.stderr, "bpf-map: /dev/zero: line 1: longer than 67108864 bytes\n");
}

#[test]
fn missing_key_prints_its_line_and_stops_nothing() {
    let lab = Lab::new();
    lab.hash("h");
    let h = "/sys/fs/bpf/h";
    let absent = |line: u32, key: u32| format!("bpf-map: line {line}: {h}: no key {key}\n");
    let input = format!("get {h} 1\nget {h} 7\nget {h} 8 1 9\nget --json {h} 1 9\n");
    let errors = [absent(2, 7), absent(3, 8), absent(3, 9), absent(4, 9)].concat();
    ends(&mut batch(&lab, &[], &input), 1, "42\n\n\t42\t\n42\t\n", &errors);
    // The worst counts, whichever came last.
    let input = format!("get {h} x\nget {h} 7\nget {h} 1\n");
    let run = run(&mut batch(&lab, &["--keep-going"], input));
    assert_eq!((run.status, run.stdout.as_str()), (2, "\n\n42\n"));
}

#[test]
fn each_line_is_answered_by_one_line() {
    let lab = Lab::new();
    lab.hash("h");
    let h = "/sys/fs/bpf/h";
    let input = format!(
        "\u{feff}get {h} 1\r\n  set {h} 2 0x10\t\n\tget {h} 1 2\nget   '{h}'  \"2\" # sixteen\n\
         get --json {h} 1 2\nset --value u32[2] {h} 3 '[1,2]'\nget --value 'u32[2]' {h} 3 \\1\n\
         \x20 # nothing\nget --value 'struct{{a: u32, b: u32}}' {h} 3 .b\nset {h} 2 17\nget {h} 2"
    );
    let want = "42\n\n42\t16\n16\n42\t16\n\n[1,2]\t[42,0]\n2\n\n17\n";
    ends(&mut batch(&lab, &[], &input), 0, want, "");
    let file = lab.path("lines");
    ends(&mut lab.map(["batch", file.to_str().unwrap()]), 0, want, "");
    ends(lab.map(["batch", "-"]).stdin(File::open(file).unwrap()), 0, want, "");
    ends(&mut batch(&lab, &[], ""), 0, "", "");
    ends(&mut batch(&lab, &[], "\n\n#\n"), 0, "", "");
}

#[test]
fn tables_are_printed_whole() {
    let lab = Lab::new();
    let pin = lab.hash("h");
    let words = ["--pin", pin.to_str().unwrap(), "--", "sh", "-c"];
    let alone = stdout_of(lab.exec(words).arg("bpf-map; bpf-map get --help"));
    let lines = "printf 'list\\nget --help\\nget h 1\\n' | bpf-map batch";
    let both = stdout_of(lab.exec(words).arg(lines));
    assert_eq!(both, alone + "42\n");
}

#[test]
fn answer_is_printed_before_the_next_line_is_read() {
    let lab = Lab::new();
    lab.hash("h");
    let mut child = wrapped(&["timeout", "60"], &lab.map(["batch"]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut ask, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut answers = BufReader::new(answers).lines();
    for n in 0..100 {
        // Half a line that follows does not hold the answer back either.
        let (end, start) = if n % 2 == 0 { ("\nget /sys/fs/b", "") } else { ("\n", "pf/h 1\n") };
        let line = format!("{start}set /sys/fs/bpf/h 1 {n}\nget /sys/fs/bpf/h 1{end}");
        ask.write_all(line.as_bytes()).unwrap();
        if n % 2 == 1 {
            assert_eq!(answers.next().unwrap().unwrap(), (n - 1).to_string());
        }
        assert_eq!(answers.next().unwrap().unwrap(), "");
        assert_eq!(answers.next().unwrap().unwrap(), n.to_string());
    }
    drop(ask);
    assert!(answers.next().is_none());
    assert!(child.wait().unwrap().success());
}

#[test]
fn closed_pipe_ends_batch_without_failure() {
    let lab = Lab::new();
    lab.hash("h");
    std::fs::write(lab.path("lines"), "get /sys/fs/bpf/h 1\n".repeat(100_000)).unwrap();
    let piped = "trap '' PIPE; { bpf-map batch lines; echo $? >status; } | head -n 1";
    assert_eq!(stdout_of(&mut lab.program("sh", ["-c", piped])), "42\n");
    eventually("the status", || {
        std::fs::read_to_string(lab.path("status")).is_ok_and(|status| status == "0\n")
    });
    let run = run(&mut lab.program("sh", ["-c", "exec bpf-map batch lines >/dev/full"]));
    let error = "bpf-map: standard output: write: no space left on device\n";
    assert_eq!((run.status, run.stderr.as_str()), (2, error));
}

#[test]
fn many_maps_are_read_and_written_in_one_batch() {
    let lab = Lab::new();
    // More than are held open at a time.
    let maps: Vec<String> =
        (0..400).map(|n| lab.array(&format!("m{n}"), 2).display().to_string()).collect();
    let sets = maps.iter().enumerate().map(|(n, map)| format!("set {map} 1 {n}\n"));
    let gets = maps.iter().map(|map| format!("get {map} 1 0\n"));
    let input: String = sets.chain(gets).collect();
    std::fs::write(lab.path("lines"), input).unwrap();
    let want: String = (0..400).map(|n| format!("{n}\t0\n")).collect();
    let mut command = wrapped(&["prlimit", "--nofile=600:600"], &lab.map(["batch", "lines"]));
    assert_eq!(stdout_of(&mut command), "\n".repeat(400) + &want);
}

#[test]
fn both_ways_do_the_same() {
    let lab = Lab::new();
    lab.hash("h");
    lab.array("a", 2);
    let per_cpu = "map create /sys/fs/bpf/p type percpu_array key 4 value 8 entries 2 name p";
    bpftool(&per_cpu.split(' ').collect::<Vec<_>>());
    let queue = "map create /sys/fs/bpf/q type queue key 0 value 4 entries 2 name q";
    bpftool(&queue.split(' ').collect::<Vec<_>>());
    // A name in quotes goes to the same place; an option goes through the parser.
    for line in [
        "get /sys/fs/bpf/h 1",
        "get /sys/fs/bpf/h 1 1",
        "get /sys/fs/bpf/h",
        "get /sys/fs/bpf/h .a",
        "set /sys/fs/bpf/h 2 5",
        "set /sys/fs/bpf/h 2",
        "set /sys/fs/bpf/h 9 1 2",
        "set /sys/fs/bpf/a 2 1",
        "set /sys/fs/bpf/a 1 7",
        "get /sys/fs/bpf/a 1",
        "get /sys/fs/bpf/a 2",
        "set /sys/fs/bpf/p 1 9",
        "get /sys/fs/bpf/p 1 0",
        "get /sys/fs/bpf/q 1",
        "set /sys/fs/bpf/q 1 1",
        "get id:0 1",
        "get",
    ] {
        let quick = run(&mut batch(&lab, &[], line));
        let mut words = line.split(' ');
        let slow: Vec<&str> =
            words.by_ref().take(1).chain(["--"]).chain(line.split(' ').skip(1)).collect();
        let slow = run(&mut batch(&lab, &[], slow.join(" ")));
        assert_eq!(quick, slow, "{line}");
        // And as it does alone.
        let alone = run(&mut lab.map(line.split(' ')));
        let one_line = alone.stdout.trim_end_matches('\n').replace('\n', "\t") + "\n";
        assert_eq!((quick.status, quick.stdout), (alone.status, one_line), "{line}");
        let command = line.split(' ').next().unwrap();
        let see = format!(" (see bpf-map {command} --help)");
        let message = alone.stderr.replace(&see, "").replacen("bpf-map: ", "bpf-map: line 1: ", 1);
        // A message of a command itself, not of the option parser, has the hint in a batch too.
        assert_eq!(quick.stderr.replace(&see, ""), message, "{line}");
    }
}
