//! Programs and links: every source of them, how they reach the command, and what tells of them.

use crate::common::child::{Running, Start};
use crate::common::fds::*;
use crate::common::features::{Feature, element_iterator};
use crate::common::*;
use crate::needs;
use nix::sys::stat::Mode;
use serde_json::{Value, json};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NOTHING: Run = Run { status: 0, stdout: String::new(), stderr: String::new() };
const PROG: &str = "/sys/fs/bpf/filter";
const LINK: &str = "/sys/fs/bpf/flows";
const MAP: &str = "/sys/fs/bpf/map";

/// A pinned program, link and map.
fn pins(lab: &Lab) -> (PathBuf, PathBuf, PathBuf) {
    let map = lab.hash("map");
    (pin_program("filter"), pin_link("flows"), map)
}

fn chmod(path: impl AsRef<Path>, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// What env(1) tells of the contract, below bpf-exec with `words`.
#[track_caller]
fn handed_over(lab: &Lab, words: &[&str]) -> Vec<String> {
    let environment = stdout_of(&mut lab.exec([words, &["--", "env"]].concat()));
    contract(&environment).into_iter().map(String::from).collect()
}

/// bpf-exec with `words` must fail with this line, and run nothing and leave nothing.
#[track_caller]
fn refused(lab: &Lab, words: &[&str], message: &str) {
    let before = lab.files();
    let mut command = lab.exec(words);
    fails(command.args(["--", "touch", "ran"]), 125, &format!("bpf-exec: {message}"));
    assert_eq!(lab.files(), before, "{words:?}");
}

#[test]
fn the_command_gets_the_very_objects_that_are_pinned_and_no_other_descriptor() {
    let lab = Lab::new();
    let (prog, link, map) = pins(&lab);
    let mut command = lab.exec(["--link", LINK, "--pin", MAP, "--prog", PROG, "--", "cat"]);
    let start = Start { open: vec![3, 65], ..Start::default() };
    let running = Running::cat(&start, &mut command);
    // Descriptors in the order of the command line, around what was open; maps first in the environment.
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
fn what_the_command_holds_outlives_its_pin_and_ends_with_the_command() {
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
fn a_name_is_the_one_given_else_the_pins_else_the_kernels() {
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
fn a_directory_gives_all_of_the_class_below_it_in_order() {
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
    // What is named outright is followed.
    assert_eq!(names(&["--prog", "/sys/fs/bpf/all/to-other"]), ["to-other"]);
    for (option, dir, noun, number) in [
        ("--prog", "all", "program", 3),
        ("--link", "all", "link", 2),
        ("--link", "elsewhere", "link", 0),
    ] {
        let s = if number == 1 { "" } else { "s" };
        let message = format!("x: name a {noun}: {BPFFS}/{dir} gives {number} {noun}{s}, not one");
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
fn each_class_is_numbered_by_itself_and_what_is_inherited_keeps_its_number() {
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
fn inherited_programs_alone_are_not_joined_by_every_pinned_map() {
    let lab = Lab::new();
    pins(&lab);
    let words = ["--prog", PROG, "--", "bpf-exec"];
    let want = ["BPF_NUM_MAPS=0", "BPF_NUM_PROGS=1", "BPF_PROG0=64", "BPF_PROG0_NAME=filter"];
    assert_eq!(handed_over(&lab, &words), want);
}

/// What the command finds of the contract, and the warnings, given variables and a stdin.
fn inherit(lab: &Lab, variables: &[&str], stdin: Stdio) -> (Vec<String>, String) {
    let mut command = lab.exec(["--pin", MAP, "--", "env"]);
    command.envs(variables.iter().map(|entry| entry.split_once('=').expect("a value")));
    let run = run(command.stdin(stdin));
    assert_eq!(run.status, 0, "{variables:?} {run:?}");
    (contract(&run.stdout).into_iter().map(String::from).collect(), run.stderr)
}

#[test]
fn inherited_variables_that_are_not_as_they_should_be_are_warnings() {
    let lab = Lab::new();
    let (prog, link, map) = pins(&lab);
    let new = ["BPF_NUM_MAPS=1", "BPF_MAP0=64", "BPF_MAP0_NAME=map"];
    // The variables, the stdin, the warnings, and what is there beside the new map.
    type Case<'a> = (&'a [&'a str], Stdio, &'a [&'a str], &'a [&'a str]);
    let cases: [Case; 12] = [
        (
            &["BPF_NUM_PROGS=1", "BPF_PROG0=900"],
            Stdio::null(),
            &["BPF_PROG0: descriptor 900 is closed, dropped"],
            &[],
        ),
        (
            &["BPF_NUM_PROGS=1", "BPF_PROG0=0"],
            Stdio::null(),
            &["BPF_PROG0: descriptor 0 is a file, not a program, dropped"],
            &[],
        ),
        (
            &["BPF_NUM_PROGS=1", "BPF_PROG0=0"],
            open_pin(&map).into(),
            &["BPF_PROG0: descriptor 0 is a BPF map, not a program, dropped"],
            &[],
        ),
        (
            &["BPF_NUM_LINKS=1", "BPF_LINK0=0"],
            open_pin(&prog).into(),
            &["BPF_LINK0: descriptor 0 is a BPF program, not a link, dropped"],
            &[],
        ),
        (
            &["BPF_NUM_PROGS=1", "BPF_PROG0=0"],
            open_pin(&link).into(),
            &["BPF_PROG0: descriptor 0 is a BPF link, not a program, dropped"],
            &[],
        ),
        (
            &["BPF_NUM_LINKS=2", "BPF_LINK00=0"],
            open_pin(&link).into(),
            &["BPF_LINK00: not a number for a link, dropped", "BPF_NUM_LINKS is 2 (found 0 links)"],
            &[],
        ),
        (
            &["BPF_PROG0=-1", "BPF_NUM_PROGS=x"],
            Stdio::null(),
            &[
                "BPF_PROG0: \"-1\" is not a descriptor number, dropped",
                "BPF_NUM_PROGS: \"x\" is not a number",
            ],
            &[],
        ),
        // Counts of none, and names of nothing, are dropped without a word.
        (
            &["BPF_NUM_PROGS=0", "BPF_NUM_LINKS=0", "BPF_PROG3_NAME=stale", "BPF_LINK0_NAME=stale"],
            Stdio::null(),
            &[],
            &[],
        ),
        // What really is one is kept, whatever is wrong with the count.
        (
            &["BPF_PROG9=0"],
            open_pin(&prog).into(),
            &["BPF_NUM_PROGS is not set (found 1 program)"],
            &["BPF_NUM_PROGS=1", "BPF_PROG9=0"],
        ),
        (
            &["BPF_NUM_LINKS=7", "BPF_LINK2=0", "BPF_LINK2_NAME=x"],
            open_pin(&link).into(),
            &["BPF_NUM_LINKS is 7 (found 1 link)"],
            &["BPF_NUM_LINKS=1", "BPF_LINK2=0", "BPF_LINK2_NAME=x"],
        ),
        // Only maps have layouts: this variable is somebody else's.
        (
            &["BPF_NUM_PROGS=1", "BPF_PROG3=0", "BPF_PROG3_LAYOUT=mine"],
            open_pin(&prog).into(),
            &[],
            &["BPF_NUM_PROGS=1", "BPF_PROG3=0"],
        ),
        (&["BPF_PROG3_LAYOUT=mine", "BPF_PROGRAM=x", "BPF_LINK=y"], Stdio::null(), &[], &[]),
    ];
    for (variables, stdin, warnings, kept) in cases {
        let stderr: String = warnings.iter().map(|w| format!("bpf-exec: warning: {w}\n")).collect();
        let (found, warned) = inherit(&lab, variables, stdin);
        let foreign = ["BPF_PROG3_LAYOUT=mine", "BPF_PROGRAM=x", "BPF_LINK=y"];
        let (theirs, ours): (Vec<_>, Vec<_>) =
            found.iter().map(String::as_str).partition(|line| foreign.contains(line));
        assert_eq!((&ours[..], warned), (&[&new, kept].concat()[..], stderr), "{variables:?}");
        assert_eq!(theirs.len(), variables.iter().filter(|v| foreign.contains(v)).count());
    }
}

#[test]
fn what_is_no_such_pin_or_id_is_an_error_that_says_what_it_is() {
    let lab = Lab::new();
    pins(&lab);
    std::fs::write(lab.path("file"), "").unwrap();
    nix::unistd::mkfifo(&lab.path("fifo"), Mode::S_IRWXU).unwrap();
    for (option, value, cause) in [
        ("--prog", MAP, "/sys/fs/bpf/map: open pin: a BPF map, not a program"),
        ("--prog", LINK, "/sys/fs/bpf/flows: open pin: a BPF link, not a program"),
        ("--link", MAP, "/sys/fs/bpf/map: open pin: a BPF map, not a link"),
        ("--link", PROG, "/sys/fs/bpf/filter: open pin: a BPF program, not a link"),
        ("--prog", "/sys/fs/bpf/no", "/sys/fs/bpf/no: open pin: no such file or directory"),
        ("--link", "id", "id: open pin: no such file or directory"),
        ("--link", "file", "file: open pin: not on a bpf file system"),
        ("--prog", "fifo", "fifo: open pin: not on a bpf file system"),
        ("--prog", "/", "/: read directory: not on a bpf file system"),
        ("--prog", "id:4294967295", "id 4294967295: open program by id: no such program"),
        ("--link", "id:4294967295", "id 4294967295: open link by id: no such link"),
        ("--prog", "id:", "--prog id:: not a program id"),
        ("--link", "id:-1", "--link id:-1: not a link id"),
        ("--link", "id:4294967296", "--link id:4294967296: not a link id"),
        ("--prog", "7=/x", "--prog 7=/x: the name is a number"),
        ("--prog", "=/x", "--prog =/x: the name is empty"),
        ("--link", "a:b=id:7", "--link a:b=id:7: the name holds '/', ':', '=' or a control byte"),
    ] {
        // Nothing comes of a source that is all right.
        for before in [&["--prog", PROG, "--link", LINK][..], &["--create=x=ringbuf,entries=4k"]] {
            refused(&lab, &[before, &[option, value]].concat(), cause);
        }
    }
}

#[test]
fn a_user_gets_what_the_pins_permissions_allow() {
    let lab = Lab::new();
    let (prog, link, map) = pins(&lab);
    let exec = lab.reachable("bpf-exec");
    let nobody = |words: &[&str]| {
        let words = [&NOBODY[1..], &[exec.as_str()], words, &["--", "env"]].concat();
        lab.program(NOBODY[0], words)
    };
    chmod(BPFFS, 0o755);
    for (option, pin, mode, cause) in [
        ("--prog", &prog, 0o600, Some("permission denied")),
        ("--prog", &prog, 0o444, None),
        ("--link", &link, 0o600, Some("permission denied")),
        // A link's descriptor has no access but read-write.
        ("--link", &link, 0o444, Some("permission denied")),
        ("--link", &link, 0o666, None),
        // What may be read is told for what it is.
        ("--link", &map, 0o444, Some("a BPF map, not a link")),
        ("--link", &prog, 0o444, Some("a BPF program, not a link")),
        ("--prog", &map, 0o444, Some("a BPF map, not a program")),
        ("--prog", &link, 0o444, Some("a BPF link, not a program")),
    ] {
        chmod(pin, mode);
        let path = pin.to_str().unwrap();
        let mut command = nobody(&[option, path]);
        match cause {
            Some(cause) => {
                fails(&mut command, 125, &format!("bpf-exec: {path}: open pin: {cause}"));
            }
            None => assert_eq!(contract(&stdout_of(&mut command)).len(), 4, "{option} {mode:o}"),
        }
    }
    let message = "operation not permitted (CAP_SYS_ADMIN is needed)";
    for (option, what) in [("--prog", "program"), ("--link", "link")] {
        let line = format!("bpf-exec: id 1: open {what} by id: {message}");
        fails(&mut nobody(&[option, "id:1"]), 125, &line);
    }
}

#[test]
fn read_only_refuses_programs_and_links_but_leaves_those_that_no_variable_names() {
    let lab = Lab::new();
    let (prog, link, _) = pins(&lab);
    let by_id = format!("id:{}", id_of_pinned("prog", &prog));
    let object = by_id.replace(':', " ");
    let program = "open read-only: a program has no read-only descriptor";
    let linked = "open read-only: a link has no read-only descriptor";
    for (words, message) in [
        (&["-r", "--prog", PROG][..], format!("{PROG}: {program}")),
        (&["-r", "--pin", MAP, "--prog", &by_id], format!("{object}: {program}")),
        (&["-r", "--link", BPFFS], format!("{BPFFS}: {linked}")),
        (&["-r", "--dry-run", "--link", LINK], format!("{LINK}: {linked}")),
        // Told before anybody is waited for.
        (&["-r", "--import", "socket", "--prog", PROG], format!("{PROG}: {program}")),
        (&["--prog", PROG, "--", "bpf-exec", "-r"], format!("BPF_PROG0: {program}")),
        (&["--link", LINK, "--", "bpf-exec", "-r", "--pin", MAP], format!("BPF_LINK0: {linked}")),
    ] {
        refused(&lab, words, &message);
    }
    let outer = ["--prog", PROG, "--link", LINK, "--pin", MAP, "--"];
    // Dropped ones are no matter; their numbers count as taken all the same.
    let clean = ["bpf-exec", "-r", "--clean", "--pin", MAP];
    let map = ["BPF_NUM_MAPS=1", "BPF_MAP0=67", "BPF_MAP0_NAME=map"];
    assert_eq!(handed_over(&lab, &[&outer[..], &clean].concat()), map);
    // Here the map is a stray as well: it alone is replaced.
    let unset = ["env", "-u", "BPF_PROG0", "-u", "BPF_LINK0", "-u", "BPF_MAP0", "-u"];
    let unset = [&unset[..], &["BPF_NUM_PROGS", "-u", "BPF_NUM_LINKS", "-u", "BPF_NUM_MAPS"]];
    let inner = ["bpf-exec", "-r", "--create", "x=ringbuf,entries=4k", "--", "cat"];
    let words = [&outer[..], &unset.concat(), &inner].concat();
    let running = Running::cat(&Start::default(), &mut lab.exec(words));
    assert_eq!(running.contract()[..2], ["BPF_NUM_MAPS=1", "BPF_MAP0=67"]);
    running.fds().assert_numbers(&[0, 1, 2, 64, 65, 66, 67], "the command's fds");
    assert_eq!(running.fdinfo(64, "prog_id"), id_of_pinned("prog", &prog));
    assert_eq!(running.fdinfo(65, "link_id"), id_of_pinned("link", &link));
    assert_eq!(running.fdinfo(66, "flags"), "00");
    assert_eq!(running.end(), NOTHING);
}

#[test]
fn clean_drops_and_closes_programs_and_links_whether_named_or_not() {
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

/// What bpftool knows of the pinned program and link: their ids, and what the link attaches.
fn ids() -> [u32; 3] {
    let [prog, link] = [("prog", PROG), ("link", LINK)]
        .map(|(kind, pin)| id_of_pinned(kind, Path::new(pin)).parse().expect("a number"));
    let shown = bpftool(&["-j", "link", "show", "pinned", LINK]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    [prog, link, shown["prog_id"].as_u64().expect("an id") as u32]
}

/// The tables of two programs, one of a name that could break a line, and of a link.
fn tables(other: u32) -> String {
    let [prog, link, attached] = ids().map(|id| id.to_string());
    let other = other.to_string();
    let (p, l, a) = (prog.len().max(other.len()).max(2), link.len().max(2), attached.len().max(7));
    [
        format!("INDEX  PROGRAM  FD  {:>p$}  TYPE\n", "ID"),
        format!("    0  filter   64  {prog:>p$}  socket_filter\n"),
        format!("    1  ab c     65  {other:>p$}  socket_filter\n"),
        format!("\nINDEX  LINK   FD  {:>l$}  TYPE  {:>a$}\n", "ID", "PROG_ID"),
        format!("    0  flows  66  {link:>l$}  iter  {attached:>a$}\n"),
    ]
    .concat()
}

/// The same as JSON.
fn objects(other: u32) -> Vec<Value> {
    let [prog, link, attached] = ids();
    let program = |index: u32, name: &str, id: u32| {
        json!({"kind": "prog", "index": index, "name": name, "fd": 64 + index, "id": id,
               "type": "socket_filter"})
    };
    let linked = json!({"kind": "link", "index": 0, "name": "flows", "fd": 66, "id": link,
                        "type": "iter", "prog_id": attached});
    vec![program(0, "filter", prog), program(1, "ab c", other), linked]
}

const BROKEN: &str = "/sys/fs/bpf/ab c";

#[test]
fn what_would_be_handed_over_is_told_in_tables_and_as_json() {
    let lab = Lab::new();
    pins(&lab);
    let other = id_of_pinned("prog", &pin_program("ab c")).parse().unwrap();
    let sources = ["--prog", PROG, "--prog", BROKEN, "--link", LINK];
    let with = |words: &[&str]| lab.exec([&sources, words].concat());
    assert_eq!(stdout_of(&mut with(&["--dry-run", "--", "touch", "ran"])), tables(other));
    let verbose = run(&mut with(&["-v", "--", "true"]));
    assert_eq!(verbose, Run { stderr: tables(other), ..NOTHING });
    let json = stdout_of(&mut with(&["--dry-run", "--json"]));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), json!(objects(other)));
    assert!(json.starts_with("[\n  {\"kind\": \"prog\", \"index\": 0, "), "{json}");
    // Maps come first, whatever the order of the command line, in the table that they always had.
    let maps = stdout_of(&mut lab.exec(["--pin", MAP, "--fd-base", "67", "--dry-run"]));
    let all = stdout_of(&mut with(&["--pin", MAP, "--dry-run"]));
    assert_eq!(all, format!("{maps}\n{}", tables(other)));
    let json = stdout_of(&mut with(&["--pin", MAP, "--dry-run", "--json"]));
    let json: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!((&json[0]["kind"], &json[0]["name"]), (&json!("map"), &json!("map")));
    assert_eq!(json[1..], objects(other));
    assert!(!lab.path("ran").exists());
}

#[test]
fn bpf_map_lists_inherited_programs_and_links_below_the_maps() {
    let lab = Lab::new();
    pins(&lab);
    let other = id_of_pinned("prog", &pin_program("ab c")).parse().unwrap();
    let sources = ["--prog", PROG, "--prog", BROKEN, "--link", LINK];
    let below = |more: &[&str], words: &[&str]| {
        stdout_of(&mut lab.exec([&sources[..], more, &["--", "bpf-map"], words].concat()))
    };
    // Where no map is inherited, what is inherited is all that is listed.
    assert_eq!(below(&[], &[]), tables(other));
    let json: Value = serde_json::from_str(&below(&[], &["list", "--json"])).unwrap();
    assert_eq!(json, json!(objects(other)));
    let maps = stdout_of(&mut lab.exec(["--pin", MAP, "--fd-base", "67", "--", "bpf-map"]));
    assert_eq!(below(&["--pin", MAP], &["list"]), format!("{maps}\n{}", tables(other)));
    let json: Vec<Value> =
        serde_json::from_str(&below(&["--pin", MAP], &["list", "--json"])).unwrap();
    let map = (json[0]["kind"].as_str(), json[0]["fd"].as_u64(), &json[0]["pins"]);
    assert_eq!(map, (Some("map"), Some(67), &json!([MAP])));
    assert_eq!(json[1..], objects(other));
    // With --all those of other processes are maps only; ours stay below them.
    let all: Vec<Value> = serde_json::from_str(&below(&[], &["list", "--all", "--json"])).unwrap();
    let (maps, ours) = all.split_at(all.len() - 3);
    assert!(maps.iter().all(|row| row["kind"] == "map"));
    assert!(maps.iter().any(|row| row["pins"] == json!([MAP])));
    assert_eq!(ours, objects(other));
    // A user who may see no map sees what was inherited all the same.
    let program = lab.reachable("bpf-map");
    let words = [&["--"], &NOBODY[..], &[&program, "list", "--all"]].concat();
    assert_eq!(stdout_of(&mut lab.exec([&sources[..], &words].concat())), tables(other));
}

#[test]
fn a_lock_refuses_running_a_program_and_reading_an_iterator() {
    let lab = Lab::new();
    pins(&lab);
    let (bpf_map, objects) = (lab.reachable("bpf-map"), lab.reachable("objects"));
    let sources = ["--prog", PROG, "--link", LINK, "--pin", MAP, "--"];
    let warning = "bpf-exec: warning: --lock: the command starts as root, which the filter does not hold back\n";
    for (words, stdout) in
        [(["run", "filter"], "0\n"), (["run", "0"], "0\n"), (["read", "flows"], "read\n")]
    {
        let command = [&sources, &NOBODY[..], &[&objects], &words].concat();
        assert_eq!(stdout_of(&mut lab.exec(&command)), stdout, "{words:?}");
        let run = run(&mut lab.exec([&["--lock"], &command[..]].concat()));
        let stderr = format!("{warning}objects: Operation not permitted (os error 1)\n");
        assert_eq!(run, Run { status: 2, stdout: String::new(), stderr });
    }
    // The map can still be used.
    let get = [&["--lock"], &sources[..], &NOBODY, &[&bpf_map, "get", "map", "1"]].concat();
    let want = Run { status: 0, stdout: "42\n".into(), stderr: warning.into() };
    assert_eq!(run(&mut lab.exec(get)), want);
}

#[test]
fn a_program_goes_into_a_program_array_by_the_number_that_the_variable_has() {
    let lab = Lab::new();
    let (prog, ..) = pins(&lab);
    let words = ["--create", "jumps=prog_array,entries=1", "--prog", PROG, "--", "sh", "-c"];
    let script = "bpf-map set jumps 0 prog:fd:$BPF_PROG0; bpf-map get jumps 0";
    let id = stdout_of(lab.exec(words).arg(script));
    assert_eq!(id, format!("{}\n", id_of_pinned("prog", &prog)));
}

#[test]
fn the_library_gives_programs_and_links_by_name_and_number() {
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
    // The same name is no matter among other classes.
    assert_eq!(stdout_of(lab.exec(sources).arg(&objects).args(["read", "x"])), "read\n");
    // What is wrong in the environment is a warning, and the rest is given out.
    let mut command = lab.exec(sources);
    command.args(["env", "BPF_PROG1=64", "BPF_LINK0=900"]).arg(&objects).args(["run", "0"]);
    let warnings = "objects: warning: BPF_LINK0: descriptor 900 is closed, dropped\n";
    assert_eq!(run(&mut command), Run { status: 0, stdout: "0\n".into(), stderr: warnings.into() });
}
