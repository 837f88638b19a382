//! The examples in the `--help` of each command of bpf-map.

use super::options::commands;
use crate::common::fds::pin_program;
use crate::common::*;

/// Commands that need another process.
const NEED_OTHERS: [&str; 4] = ["send", "put", "agent", "trace"];

/// The examples in the help of a command.
fn examples(help: &str) -> Vec<&str> {
    let text = help.rsplit_once("\nExample").map_or("", |(_, text)| text);
    let lines = text.lines().skip(1).map(|line| line.strip_prefix("  ").expect("indented"));
    lines.collect()
}

#[test]
fn every_help_ends_with_examples_that_work() {
    let lab = Lab::new();
    pin_program("filter");
    std::fs::copy(fixture("types.bpf.o"), lab.path("tool.bpf.o")).unwrap();
    std::fs::copy(fixture("noop.bpf.o"), lab.path("noop.bpf.o")).unwrap();
    let entry = "{\"key\":\"10.0.0.2\",\"value\":{\"packets\":1,\"bytes\":64}}\n";
    std::fs::write(lab.path("saved.jsonl"), entry).unwrap();
    let flows = "bpf-map set flows 10.0.0.1 'packets=1 bytes=64'";
    // Without a tracefs, trace ends with an error.
    let umount = "umount -a -t tracefs,debugfs";
    let mut script =
        format!("{umount}; {flows}; bpf-map push jobs 1 2; bpf-map push seen 10.0.0.1\n");
    for command in commands(&lab) {
        let help = stdout_of(&mut lab.map([&command, "--help"]));
        assert_eq!(stdout_of(&mut lab.map(["help", &command])), help);
        let examples = examples(&help);
        assert!(!examples.is_empty(), "{command}: {help}");
        for example in examples {
            assert!(example.contains(&format!("bpf-map {command}")), "{command}: {example}");
            assert!(example.len() < 80, "{command}: {example}");
            // These need a process that listens or prints: it is only tested that the arguments are valid.
            let invalid = match NEED_OTHERS.contains(&command.as_str()) {
                true => "2>&1 | grep -e --help",
                false => ">/dev/null || echo failed",
            };
            script += &format!("{example} {invalid} && echo {command}\n");
        }
    }
    // An example that works prints nothing but its command, and one with an invalid argument more.
    let sources = [
        "hits=array,key=u32,value=u64,entries=4",
        "flows=hash,key=ip4,value=struct{packets: u64, bytes: u64},entries=8",
        "calls=prog_array,entries=4",
        "jobs=queue,value=u32,entries=8",
        "seen=bloom_filter,value=ip4,entries=8",
    ];
    let sources = sources.iter().flat_map(|spec| ["--create", spec]);
    let words: Vec<&str> = sources.chain(["--", "sh", "-c", &script]).collect();
    let run = run(&mut lab.exec(words));
    assert_eq!(run.stderr, "", "{script}");
    let is_run = |name: &String| !NEED_OTHERS.contains(&name.as_str());
    let mut worked: Vec<&str> = run.stdout.lines().collect();
    worked.dedup();
    assert_eq!(worked, commands(&lab).into_iter().filter(is_run).collect::<Vec<_>>(), "{script}");
}

#[test]
fn help_and_usage_errors_find_the_command() {
    let lab = Lab::new();
    let get = stdout_of(&mut lab.map(["get", "--help"]));
    assert_eq!(stdout_of(&mut lab.map(["--bpffs", "/x", "help", "get"])), get);
    let whole = stdout_of(&mut lab.map(["--help"]));
    assert_eq!(stdout_of(&mut lab.map(["help"])), whole);
    let unknown = "unrecognized subcommand 'gat' (see bpf-map --help)";
    for (words, message) in [
        (&["get", "--wrong"][..], "unexpected argument '--wrong' found (see bpf-map get --help)"),
        (
            &["--bpffs=/x", "get", "--wrong"],
            "unexpected argument '--wrong' found (see bpf-map get --help)",
        ),
        (&["--wrong", "get"], "unexpected argument '--wrong' found (see bpf-map --help)"),
        (&["gat"], unknown),
        (&["help", "gat"], unknown),
    ] {
        fails(&mut lab.map(words), 2, &format!("bpf-map: {message}"));
    }
}
