//! What the command gets, and its names and numbers.

use super::*;
use crate::common::child::{Running, Start};
use crate::common::fds::*;
use crate::common::features::{Feature, element_iterator};
use crate::common::*;
use crate::needs;
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

#[test]
fn command_inherits_the_pinned_objects_and_no_other_fd() {
    let lab = Lab::new();
    let (prog, link, map) = pins(&lab);
    let mut command = lab.exec(["--link", LINK, "--pin", MAP, "--prog", PROG, "--", "cat"]);
    let start = Start { open: vec![3, 65], ..Start::default() };
    let running = Running::cat(&start, &mut command);
    // Fds have the order of the command line and skip open ones; maps are first in the environment.
    running.fds().assert_numbers(&[0, 1, 2, 3, 64, 65, 66, 67], "the command's fds");
    let want = [
        "BPF_NUM_MAPS=1",
        "BPF_MAP0=66",
        "BPF_MAP0_NAME=map",
        "BPF_NUM_PROGS=1",
        "BPF_PROG0=67",
        "BPF_PROG0_NAME=filter",
        "BPF_NUM_LINKS=1",
        "BPF_LINK0=64",
        "BPF_LINK0_NAME=flows",
    ];
    assert_eq!(running.contract(), want);
    assert_eq!(running.fds().target(67), Some("anon_inode:bpf-prog"));
    assert_eq!(running.fdinfo(67, "prog_id"), id_of_pinned("prog", &prog));
    assert_eq!(running.fdinfo(64, "link_id"), id_of_pinned("link", &link));
    assert_eq!(running.fdinfo(64, "link_type"), "iter");
    assert_eq!(running.fdinfo(66, "map_id"), map_id(&map).to_string());
    assert_eq!(running.end(), NOTHING);
}

#[test]
fn inherited_object_outlives_its_pin() {
    let lab = Lab::new();
    let (prog, link, _) = pins(&lab);
    let ids = [("prog", id_of_pinned("prog", &prog)), ("link", id_of_pinned("link", &link))];
    let exists = |(kind, id): &(&str, String)| {
        let show = Command::new("bpftool").args([kind, "show", "id", id]).output();
        show.expect("bpftool").status.success()
    };
    let mut command = lab.exec(["--prog", PROG, "--link", LINK, "--", "cat"]);
    let running = Running::cat(&Start::default(), &mut command);
    std::fs::remove_file(prog).unwrap();
    std::fs::remove_file(link).unwrap();
    assert!(ids.iter().all(exists));
    assert_eq!(running.end(), NOTHING);
    eventually("their end", || !ids.iter().any(exists));
}

/// An element iterator holds a reference to its map and reads it without another one.
#[test]
fn inherited_element_iterator_keeps_its_map() {
    needs!(Feature::ElementIterator);
    let lab = Lab::new();
    let map = lab.hash("map");
    let id = map_id(&map);
    assert_eq!(run(&mut element_iterator(Path::new(LINK), &map)), NOTHING);
    let running = Running::cat(&Start::default(), &mut lab.exec(["--link", LINK, "--", "cat"]));
    std::fs::remove_file(map).unwrap();
    let [key, value] = [1u64, 42].map(u64::to_ne_bytes);
    assert_eq!(std::fs::read(LINK).unwrap(), [key, value].concat());
    std::fs::remove_file(LINK).unwrap();
    assert!(map_exists(id));
    assert_eq!(running.end(), NOTHING);
    eventually("the map's end", || !map_exists(id));
}

#[test]
fn name_is_the_given_one_then_the_pins_then_the_kernels() {
    let lab = Lab::new();
    let (prog, link, _) = pins(&lab);
    let by_id = [("prog", id_of_pinned("prog", &prog)), ("link", id_of_pinned("link", &link))]
        .map(|(kind, id)| (kind, format!("id:{id}"), id));
    for (kind, by_id, id) in &by_id {
        let pin = if *kind == "prog" { PROG } else { LINK };
        let file = Some(pin.rsplit('/').next().unwrap());
        let of_kernel = (*kind == "prog").then_some("noop_socket");
        for (source, name) in [
            (pin.to_owned(), file),
            (by_id.clone(), of_kernel),
            (format!("given={pin}"), Some("given")),
            (format!("given={by_id}"), Some("given")),
        ] {
            let option = format!("--{kind}");
            let words = [option.as_str(), &source, "--dry-run", "--json"];
            let json = stdout_of(&mut lab.exec(words));
            let json: Value = serde_json::from_str(&json).unwrap();
            assert_eq!(json[0]["name"], json!(name), "{source}");
            assert_eq!(json[0]["id"].to_string(), *id, "{source}");
            // Without a name there is no variable for one.
            let variables = handed_over(&lab, &words[..2]);
            assert_eq!(variables.len(), 3 + usize::from(name.is_some()), "{variables:?}");
        }
    }
}

#[test]
fn directory_gives_all_objects_of_the_kind_in_order() {
    let lab = Lab::new();
    std::fs::create_dir_all(format!("{BPFFS}/all/b/c")).unwrap();
    std::fs::create_dir(format!("{BPFFS}/elsewhere")).unwrap();
    lab.array("all/array", 1);
    for name in ["all/z", "all/b/c/deep", "all/a", "elsewhere/other"] {
        pin_program(name);
    }
    for name in ["all/b/link", "all/y"] {
        pin_link(name);
    }
    symlink("/sys/fs/bpf/elsewhere", "/sys/fs/bpf/all/to-directory").unwrap();
    symlink("/sys/fs/bpf/elsewhere/other", "/sys/fs/bpf/all/to-other").unwrap();
    let names = |words: &[&str]| -> Vec<String> {
        let variables = handed_over(&lab, words);
        let name = |line: &String| Some(line.split_once("_NAME=")?.1.to_owned());
        variables.iter().filter_map(name).collect()
    };
    assert_eq!(names(&["--prog", "/sys/fs/bpf/all"]), ["a", "deep", "z"]);
    assert_eq!(names(&["--link", "/sys/fs/bpf/all"]), ["link", "y"]);
    assert_eq!(names(&["--pin", "/sys/fs/bpf/all"]), ["array"]);
    // A symbolic link that is named itself is followed.
    assert_eq!(names(&["--prog", "/sys/fs/bpf/all/to-other"]), ["to-other"]);
    for (option, dir, noun, number) in [
        ("--prog", "all", "program", 3),
        ("--link", "all", "link", 2),
        ("--link", "elsewhere", "link", 0),
    ] {
        let s = if number == 1 { "" } else { "s" };
        let message = format!(
            "x: assign name: {BPFFS}/{dir}: {number} {noun}{s} found, NAME= needs exactly one"
        );
        refused(&lab, &[option, &format!("x={BPFFS}/{dir}")], &message);
    }
    for (option, noun, options) in
        [("--prog", "program", &[][..]), ("--link", "link", &[]), ("--link", "link", &["-r"])]
    {
        std::fs::create_dir_all(format!("{BPFFS}/empty/below")).unwrap();
        let words = [options, &[option, "/sys/fs/bpf/empty", "--", "env"]].concat();
        let run = run(&mut lab.exec(words));
        let warning = format!("bpf-exec: warning: {BPFFS}/empty: no {noun} is pinned there\n");
        assert_eq!((run.status, run.stderr), (0, warning));
        assert_eq!(contract(&run.stdout), ["BPF_NUM_MAPS=0"]);
    }
}

#[test]
fn kinds_are_numbered_separately_and_keep_their_numbers() {
    let lab = Lab::new();
    pins(&lab);
    let (a, b) = (format!("a={PROG}"), format!("b={PROG}"));
    // The middle one moves a program and a link, and leaves the map out.
    let script = r#"export BPF_PROG7=$BPF_PROG0 BPF_PROG7_NAME=moved BPF_LINK1=$BPF_LINK0
        unset BPF_PROG0 BPF_PROG0_NAME BPF_LINK0 BPF_LINK0_NAME; exec "$@""#;
    let outer = ["--prog", &a, "--link", LINK, "--pin", MAP, "--", "sh", "-c", script, "sh"];
    let inner = ["bpf-exec", "--prog", &b, "--prog", &a, "--", "bpf-exec", "--", "cat"];
    let running = Running::cat(&Start::default(), &mut lab.exec([&outer[..], &inner].concat()));
    let want = [
        "BPF_NUM_MAPS=1",
        "BPF_MAP0=66",
        "BPF_MAP0_NAME=map",
        "BPF_NUM_PROGS=3",
        "BPF_PROG0=67",
        "BPF_PROG0_NAME=b",
        "BPF_PROG1=68",
        "BPF_PROG1_NAME=a",
        "BPF_PROG7=64",
        "BPF_PROG7_NAME=moved",
        "BPF_NUM_LINKS=1",
        "BPF_LINK1=65",
    ];
    assert_eq!(running.contract(), want);
    running.fds().assert_numbers(&[0, 1, 2, 64, 65, 66, 67, 68], "the command's fds");
    let prog = id_of_pinned("prog", Path::new(PROG));
    assert!([64, 67, 68].iter().all(|&fd| running.fdinfo(fd, "prog_id") == prog));
    assert_eq!(running.end(), NOTHING);
}

#[test]
fn inherited_programs_alone_do_not_add_pinned_maps() {
    let lab = Lab::new();
    pins(&lab);
    let words = ["--prog", PROG, "--", "bpf-exec"];
    let want = ["BPF_NUM_MAPS=0", "BPF_NUM_PROGS=1", "BPF_PROG0=64", "BPF_PROG0_NAME=filter"];
    assert_eq!(handed_over(&lab, &words), want);
}

#[test]
fn clean_closes_all_programs_and_links() {
    let lab = Lab::new();
    pins(&lab);
    let outer = ["--prog", PROG, "--link", LINK, "--prog", PROG, "--"];
    let unset = ["env", "-u", "BPF_PROG1", "-u", "BPF_LINK0", "-u", "BPF_NUM_LINKS"];
    let inner = ["bpf-exec", "--clean", "--fd-base", "90", "--pin", MAP, "--", "cat"];
    let words = [&outer[..], &unset, &inner].concat();
    let mut command = lab.exec(words);
    let running = Running::cat(&Start { open: vec![70], ..Start::default() }, &mut command);
    running.fds().assert_numbers(&[0, 1, 2, 70, 90], "the command's fds");
    let want = ["BPF_NUM_MAPS=1", "BPF_MAP0=90", "BPF_MAP0_NAME=map"];
    assert_eq!(running.contract(), want);
    let run = running.end();
    // BPF_NUM_PROGS was left at 2 on purpose.
    let warning = "bpf-exec: warning: BPF_NUM_PROGS is 2 (found 1 program)\n";
    assert_eq!((run.status, run.stderr.as_str()), (0, warning));
}

#[test]
fn inherited_program_is_set_in_a_program_array() {
    let lab = Lab::new();
    let (prog, ..) = pins(&lab);
    let words = ["--create", "jumps=prog_array,entries=1", "--prog", PROG, "--", "sh", "-c"];
    let id = id_of_pinned("prog", &prog);
    for program in ["prog:fd:$BPF_PROG0", "prog:$BPF_PROG0", "prog:filter", "prog:env:filter"] {
        let script = format!("bpf-map set jumps 0 {program}; bpf-map get jumps 0");
        assert_eq!(stdout_of(lab.exec(words).arg(script)), format!("{id}\n"), "{program}");
    }
}

#[test]
fn library_finds_programs_and_links_by_name_and_number() {
    let lab = Lab::new();
    pins(&lab);
    let objects = binary("objects");
    let (x, y) = (format!("x={PROG}"), format!("x={LINK}"));
    let sources = ["--prog", &x, "--prog", &x, "--link", &y, "--prog", PROG, "--"];
    for (words, status, stdout, stderr) in [
        (&["run", "filter"][..], 0, "0\n", ""),
        (&["run", "1"], 0, "0\n", ""),
        (&["run", "x"], 2, "", "objects: x: several inherited objects have this name: [0, 1]\n"),
        (&["run", "flows"], 2, "", "objects: flows: not inherited\n"),
        (&["run", "3"], 2, "", "objects: BPF_PROG3: not inherited\n"),
        (&["read", "1"], 2, "", "objects: BPF_LINK1: not inherited\n"),
        (&["read", "filter"], 2, "", "objects: filter: not inherited\n"),
        (&["run"], 2, "", "objects: usage: objects run PROGRAM | objects read LINK\n"),
    ] {
        let mut command = lab.exec(sources);
        let want = Run { status, stdout: stdout.into(), stderr: stderr.into() };
        assert_eq!(run(command.arg(&objects).args(words)), want, "{words:?}");
    }
    // The same name may be used by another object kind.
    assert_eq!(stdout_of(lab.exec(sources).arg(&objects).args(["read", "x"])), "read\n");
    // A malformed variable causes a warning, and the others are used.
    let mut command = lab.exec(sources);
    command.args(["env", "BPF_PROG1=64", "BPF_LINK0=900"]).arg(&objects).args(["run", "0"]);
    let warnings = "objects: warning: BPF_LINK0: descriptor 900 is closed, dropped\n";
    assert_eq!(run(&mut command), Run { status: 0, stdout: "0\n".into(), stderr: warnings.into() });
}
