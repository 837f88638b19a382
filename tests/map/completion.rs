//! `bpf-map completion`, in the shells themselves.

use crate::common::*;
use std::process::Stdio;

/// The candidates for the last of some words, without the descriptions.
fn candidates(lab: &Lab, words: &[&str]) -> Vec<String> {
    let below = ["--create", "hits=array,value=struct{a: u32, b: ip4},entries=1", "--", "bpf-map"];
    let text = stdout_of(&mut lab.exec([&below[..], &["complete", "--"], words].concat()));
    text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn words_are_completed_by_their_position() {
    let lab = Lab::new();
    lab.array("pinned", 1);
    let with_pins = &["hits", "/sys/fs/bpf/pinned", ":files"][..];
    for (words, want) in [
        (&["wat"][..], &["watch"][..]),
        (&["nonsense", ""][..], &[][..]),
        (&["get", ""][..], with_pins),
        (&["get", "--json", ""][..], with_pins),
        (&["get", "--key", ""][..], &[][..]),
        (&["get", "--key", "u32", ""][..], with_pins),
        (&["get", "--key=u32", ""][..], with_pins),
        (&["get", "--", ""][..], with_pins),
        (&["get", "h"][..], &["hits", ":files"][..]),
        (&["get", "/sys/fs/bpf/p"][..], &["/sys/fs/bpf/pinned", ":files"][..]),
        (&["get", "hits", "0", "."][..], &[".a", ".b"][..]),
        (&["get", "hits", "-1", ".b"][..], &[".b"][..]),
        (&["get", "none", "0", "."][..], &[][..]),
        (&["get", "hits", ""][..], &[][..]),
        (&["watch", "hits", "--cou"][..], &["--count"][..]),
        (&["watch", "hits", "--count", ""][..], &[][..]),
        (&["pin", "hits", ""][..], &[":files"][..]),
        (&["pin", "hits", "/run/x", ""][..], &[][..]),
        (&["send", ""][..], with_pins),
        (&["send", "hits", "hits", ""][..], with_pins),
        (&["create", "x", "--pin", ""][..], &[":files"][..]),
        (&["completion", ""][..], &["bash", "zsh", "fish"][..]),
        (&["--ver"][..], &["--version"][..]),
    ] {
        assert_eq!(candidates(&lab, words), want, "{words:?}");
    }
    let commands = candidates(&lab, &[""]);
    assert!(commands.contains(&"list".into()) && !commands.contains(&"complete".into()));
}

#[test]
fn programs_and_links_complete_objects_only() {
    let lab = Lab::new();
    fds::pin_program("prog");
    fds::pin_link("link");
    let sources = [
        "--prog",
        "p=/sys/fs/bpf/prog",
        "--prog",
        "p=/sys/fs/bpf/prog",
        "--link",
        "l=/sys/fs/bpf/link",
    ];
    let complete = |words: &[&str]| {
        let below = [&sources[..], &["--", "bpf-map", "complete", "--"], words].concat();
        let text = stdout_of(&mut lab.exec(below));
        text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for command in ["show", "pin", "put"] {
        // Two programs have one name.
        let programs = ["prog:fd:64", "prog:fd:65", ":files"];
        assert_eq!(complete(&[command, "prog:"]), programs, "{command}");
        assert_eq!(complete(&[command, "link:"]), ["link:l", ":files"], "{command}");
    }
    assert_eq!(complete(&["get", "prog:"]), [":files"]);
}

#[test]
fn names_with_special_characters_are_omitted() {
    let lab = Lab::new();
    for name in ["a\nb", "\u{1b}[2J", "two words"] {
        stdout_of(&mut lab.map([
            "create",
            "m=array,value=4,entries=1",
            "--pin",
            &format!("{BPFFS}/{name}"),
        ]));
    }
    let want = ["hits", "/sys/fs/bpf/two words", ":files"];
    assert_eq!(candidates(&lab, &["show", ""]), want);
}

#[test]
fn unknown_shell_is_refused_with_the_known_ones() {
    let lab = Lab::new();
    let line = "bpf-map: invalid value 'csh' for '<SHELL>' [possible values: bash, zsh, fish] (see bpf-map completion --help)";
    fails(&mut lab.map(["completion", "csh"]), 2, line);
}

/// Runs a shell below bpf-exec, with an inherited map `hits` and a pin with a space in its name.
fn shell(lab: &Lab, words: &[&str]) -> std::process::Command {
    let pin = lab.array("one", 1);
    std::fs::rename(pin, "/sys/fs/bpf/two words").unwrap();
    let spec = "hits=array,value=struct{packets: u64, bytes: u64},entries=1";
    lab.exec([&["--create", spec, "--"], words].concat())
}

#[test]
fn bash_completes_the_typed_word() {
    let lab = Lab::new();
    // A terminal, with everything typed ahead; the last tab completes a field, with a dot before it.
    let typed = "source <(bpf-map completion bash)\n\
                 bpf-map sho\thi\t --js\t >shown\n\
                 bpf-map ge\thi\t 0 .by\t >got\n\
                 bpf-map show /sys/fs/bpf/two\t >pinned\n\
                 exit\n";
    std::fs::write(lab.path("typed"), typed).unwrap();
    let words = ["script", "-qec", "bash --norc --noprofile -i", "/dev/null"];
    let mut command = shell(&lab, &words);
    command.stdin(std::fs::File::open(lab.path("typed")).unwrap()).env("TERM", "dumb");
    let seen = run(command.stderr(Stdio::piped()));
    let read = |name: &str| {
        std::fs::read_to_string(lab.path(name)).unwrap_or_else(|e| panic!("{name}: {e}: {seen:?}"))
    };
    assert!(read("shown").contains("\"name\": \"hits\""), "{seen:?}");
    assert_eq!(read("got"), "0\n", "{seen:?}");
    assert!(read("pinned").contains("pin: /sys/fs/bpf/two words\n"), "{seen:?}");
}

#[test]
fn fish_offers_candidates_with_descriptions() {
    let lab = Lab::new();
    let script = "bpf-map completion fish | source; for line in 'bpf-map wat' 'bpf-map get h' \
                  'bpf-map get hits 0 .b' 'bpf-map show /sys/fs/bpf/t'; complete -C $line; end";
    let run = run(shell(&lab, &["fish", "--no-config", "-c", script]).env("HOME", lab.dir.path()));
    let want = "watch\tPrint values as they change\nhits\tarray\n.bytes\tu64\n\
                /sys/fs/bpf/two\\ words\tarray, pinned\n";
    let plain = run.stdout.replace("two words", "two\\ words");
    let lines: std::collections::BTreeSet<_> = plain.lines().collect();
    assert!(want.lines().all(|line| lines.contains(line)), "{run:?}");
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
}

#[test]
fn zsh_is_given_candidates_and_files_where_they_fit() {
    let lab = Lab::new();
    // The completion system's functions, as far as they are called, outside of a terminal.
    let script = "compdef() { print -r -- \"$@\" }; _describe() { print -rl -- \"${(@P)2}\" }; \
                  _files() { print files }; source <(bpf-map completion zsh); \
                  words=(bpf-map get h) CURRENT=3; _bpf-map; words=(bpf-map wat) CURRENT=2; _bpf-map";
    let stdout = stdout_of(&mut shell(&lab, &["zsh", "-fc", script]));
    assert_eq!(stdout, "_bpf-map bpf-map\nhits:array\nfiles\nwatch:Print values as they change\n");
}
