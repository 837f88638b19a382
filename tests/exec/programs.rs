//! Programs of object files, compared with the same programs loaded by libbpf.

use crate::common::features::{Feature, has};
use crate::common::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// The output of bpftool about a pinned program, without the parts that differ between two loads.
fn described(pin: &str) -> Value {
    let mut shown: Value =
        serde_json::from_str(&bpftool(&["-j", "prog", "show", "pinned", pin])).unwrap();
    let members = shown.as_object_mut().unwrap();
    for member in ["id", "loaded_at", "btf_id", "pids", "map_ids", "bytes_memlock"] {
        let is_there = members.remove(member).is_some();
        if member == "btf_id" {
            members.insert("typed".into(), is_there.into());
        }
    }
    // The lines of the source, and instructions without numbers of maps.
    let code = bpftool(&["prog", "dump", "xlated", "pinned", pin, "linum"]);
    let line = |line: &str| match line.split_once("map[id:") {
        Some((before, after)) => format!("{before}{}", after.trim_start_matches(char::is_numeric)),
        None => line.to_owned(),
    };
    let code: Vec<String> = code.lines().map(line).collect();
    members.insert("code".into(), code.into());
    shown
}

#[test]
fn programs_equal_those_that_bpftool_loads() {
    let lab = Lab::new();
    let mut compared = 0;
    for object in ["programs", "tail", "noop", "map_iter", "stack", "guarded"] {
        let file = fixture(&format!("{object}.bpf.o"));
        let theirs = format!("{BPFFS}/{object}");
        // libbpf does not support sections `tc/NAME`.
        let given: &[&str] = if object == "tail" { &["type", "tc"] } else { &[] };
        bpftool(&[&["prog", "loadall", &file, &theirs], given].concat());
        for pin in std::fs::read_dir(&theirs).unwrap() {
            let pin = pin.unwrap();
            let name = pin.file_name().into_string().unwrap();
            let ours = format!("{BPFFS}/ours");
            let program = format!("{file}#{name}");
            let script = format!("bpftool prog pin id $BPF_PROG0_ID {ours}");
            stdout_of(&mut lab.exec(["--prog", &program, "--", "sh", "-c", &script]));
            assert_eq!(described(&ours), described(pin.path().to_str().unwrap()), "{name}");
            std::fs::remove_file(&ours).unwrap();
            compared += 1;
        }
    }
    assert!(compared >= 8, "{compared}");
}

/// The ids of the maps of a program that the command inherits.
const MAPS_OF_PROGRAM: &str =
    "bpftool -j prog show id $BPF_PROG0_ID; env | grep '^BPF_MAP[0-9]*_\\(ID\\|NAME\\)='";

fn maps_of(output: &str) -> (Vec<u64>, BTreeMap<String, u64>) {
    let (json, environment) = output.split_once('\n').unwrap();
    let json: Value = serde_json::from_str(json).unwrap();
    let used = json["map_ids"]
        .as_array()
        .map_or(Vec::new(), |ids| ids.iter().map(|id| id.as_u64().unwrap()).collect());
    let names = environment.lines().filter_map(|line| line.split_once("_NAME="));
    let id = |prefix: &str| {
        variable(environment, &format!("{prefix}_ID")).unwrap().parse::<u64>().unwrap()
    };
    (used, names.map(|(prefix, name)| (name.to_owned(), id(prefix))).collect())
}

#[test]
fn program_uses_the_maps_that_are_given() {
    let lab = Lab::new();
    let file = fixture("tail.bpf.o");
    let program = format!("{file}#entry");
    let script = ["--", "sh", "-c", MAPS_OF_PROGRAM];
    let sorted = |mut ids: Vec<u64>| {
        ids.sort_unstable();
        ids
    };
    // Maps of the same file, in either order.
    for words in
        [[["--object", &file], ["--prog", &program]], [["--prog", &program], ["--object", &file]]]
    {
        let output = stdout_of(&mut lab.exec([&words.concat()[..], &script].concat()));
        let (used, given) = maps_of(&output);
        assert_eq!(given.keys().collect::<Vec<_>>(), ["next", "seen"]);
        assert_eq!(sorted(used), sorted(given.into_values().collect()));
    }
    // An inherited map, and a map with a name on the command line; the other map is new.
    let seen = "seen=array,key=u32,value=u64,entries=3";
    let inner = lab.exec([&["--prog", &program][..], &script].concat());
    let mut nested = lab.exec(["--create", seen, "--"]);
    nested.arg(inner.get_program()).args(inner.get_args());
    let (used, given) = maps_of(&stdout_of(&mut nested));
    assert_eq!((used.len(), used.contains(&given["seen"])), (2, true));
    let array = lab.array("other", 3);
    let named = format!("seen={}", array.display());
    let words = ["--pin", &named, "--prog", &program];
    let (used, given) = maps_of(&stdout_of(&mut lab.exec([&words[..], &script].concat())));
    assert_eq!((used.len(), used.contains(&given["seen"])), (2, true));
    // An inherited map that is not handed over is not used.
    let inner = lab.exec([&["--clean", "--prog", &program][..], &["--", "true"]].concat());
    let mut nested = lab.exec(["--create", "seen=array,key=u32,value=u64,entries=4", "--"]);
    nested.arg(inner.get_program()).args(inner.get_args());
    assert_eq!(stdout_of(&mut nested), "");
}

#[test]
fn map_that_is_not_as_declared_is_refused() {
    let lab = Lab::new();
    let file = fixture("tail.bpf.o");
    let program = format!("{file}#entry");
    let create = ["--create", "seen=array,key=u32,value=u64,entries=4"];
    let line = format!(
        "bpf-exec: {file}: seen: reuse map: a different map has this name: \
         max entries 3 declared, 4 given"
    );
    let end = ["--prog", &program, "--", "touch", "ran"];
    fails(&mut lab.exec([&create[..], &end].concat()), 125, &line);
    let twice = ["--object", &file, "--object", &file];
    let line = "bpf-exec: next: find map: several maps have this name";
    fails(&mut lab.exec([&twice[..], &end].concat()), 125, line);
    assert!(!lab.path("ran").exists());
}

#[test]
fn program_has_the_name_of_its_function() {
    let lab = Lab::new();
    let file = fixture("programs.bpf.o");
    let reads = format!("{file}#raw_tp/sys_enter");
    let named = format!("x={file}#chosen");
    let environment = stdout_of(&mut lab.exec(["--prog", &reads, "--prog", &named, "--", "env"]));
    let want = [
        "BPF_NUM_MAPS=0",
        "BPF_NUM_PROGS=2",
        "BPF_PROG0=64",
        "BPF_PROG0_NAME=reads",
        "BPF_PROG1=65",
        "BPF_PROG1_NAME=x",
    ];
    assert_eq!(contract(&environment), want);
}

#[test]
fn declared_pins_are_reused_and_removed_after_a_failure() {
    let lab = Lab::new();
    let program = format!("{}#count", fixture("count.bpf.o"));
    let pins = || ["packets", "proto"].map(|name| std::path::Path::new(BPFFS).join(name).exists());
    for end in
        [&["--pin", "/sys/fs/bpf/none", "--", "true"][..], &["--", "./missing"], &["--dry-run"]]
    {
        run(&mut lab.exec([&["--prog", &program][..], end].concat()));
        assert_eq!(pins(), [false; 2], "{end:?}");
    }
    let script = ["--", "sh", "-c", MAPS_OF_PROGRAM];
    let command = || lab.exec([&["--prog", &program][..], &script].concat());
    let (first, _) = maps_of(&run(&mut command()).stdout);
    assert_eq!(pins(), [true; 2]);
    let (again, _) = maps_of(&run(&mut command()).stdout);
    assert_eq!((first.len(), again), (2, first));
}

#[test]
fn programs_that_cannot_be_loaded_are_refused_with_one_line() {
    let lab = Lab::new();
    let file = fixture("refused.bpf.o");
    let before = lab.files();
    for (name, cause) in [
        ("refused", "refused: load program: R1 invalid mem access"),
        ("missing_helper", "missing_helper: load program: invalid func unknown#4000"),
        (
            "lacks",
            "lacks: load program: it reaches a type, field or enumerator that this kernel does not have",
        ),
        (
            "nameless",
            "nameless: load program: the section \"prog\" does not name a program type: use --prog-type",
        ),
        (
            "operation",
            "operation: load program: a program of the type struct_ops depends on others \
             (load it with bpftool, and use its pin)",
        ),
        (
            "none",
            "load program: it has no program \"none\"; programs: \"good\", \"third\", \
             \"nameless\", \"lacks\", \"refused\", \"missing_helper\", \"operation\"",
        ),
    ] {
        let program = format!("{file}#{name}");
        let run = run(&mut lab.exec(["--prog", &program, "--", "touch", "ran"]));
        assert_eq!((run.status, run.stderr.lines().count()), (125, 1), "{}", run.stderr);
        let line = format!("bpf-exec: {file}: {cause}");
        assert!(run.stderr.starts_with(&line), "{}", run.stderr);
    }
    // Other programs of the file may be invalid.
    let good = format!("{file}#good");
    assert_eq!(stdout_of(&mut lab.exec(["--prog", &good, "--", "true"])), "");
    for (words, line) in [
        (&["--prog", "#f"][..], "--prog #f: the path of a file is missing"),
        (&["--prog", "x.o#"], "--prog x.o#: the name of a program is missing after #"),
        (&["--prog", "x.o#f"], "x.o: read object: no such file or directory"),
        (&["--prog", "id:1", "--prog-type", "xdp"], "--prog-type: no --prog FILE#NAME before it"),
        (
            &["--read-only", "--prog", "x.o#f"],
            "x.o#f: open read-only: a program has no read-only file descriptor",
        ),
    ] {
        let run = run(&mut lab.exec([words, &["--", "touch", "ran"]].concat()));
        let found = (run.status, run.stderr.as_str());
        assert_eq!(found, (125, format!("bpf-exec: {line}\n").as_str()), "{words:?}");
    }
    assert_eq!(lab.files(), before);
}

#[test]
fn program_type_is_given_by_an_option() {
    let lab = Lab::new();
    let program = format!("{}#nameless", fixture("refused.bpf.o"));
    let show = "bpftool prog show id $BPF_PROG0_ID";
    let words = ["--prog", &program, "--prog-type", "sched_act", "--", "sh", "-c", show];
    let shown = stdout_of(&mut lab.exec(words));
    assert!(shown.contains(": sched_act  name nameless "), "{shown}");
    let words = ["--prog", &program, "--prog-type", "tc", "--", "true"];
    let run = run(&mut lab.exec(words));
    assert_eq!((run.status, run.stderr.lines().count()), (125, 1), "{}", run.stderr);
    assert!(run.stderr.contains("not one of socket_filter, kprobe, sched_cls, "), "{}", run.stderr);
}

#[test]
fn log_of_the_verifier_follows_the_error() {
    let lab = Lab::new();
    let program = format!("{}#refused", fixture("refused.bpf.o"));
    let run = run(&mut lab.exec(["--prog", &program, "--verbose", "--", "touch", "ran"]));
    let lines: Vec<_> = run.stderr.lines().collect();
    assert_eq!((run.status, run.stdout.as_str()), (125, ""));
    assert!(lines.len() > 3 && lines[0].contains("load program: R1 invalid mem access"));
    assert!(lines.iter().any(|line| line.starts_with("processed 2 insns")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("(61) r0 = *(u32 *)(r1 +0)")), "{lines:?}");
}

#[test]
fn refused_type_and_missing_privilege_are_reported_as_that() {
    let lab = Lab::new();
    let noop = lab.path("noop.bpf.o");
    std::fs::copy(fixture("noop.bpf.o"), &noop).unwrap();
    make_accessible(&noop);
    let command = lab.exec(["--prog", "noop.bpf.o#noop_tc", "--", "touch", "ran"]);
    let line = "bpf-exec: noop.bpf.o: noop_tc: load program: \
                CAP_BPF is needed, and CAP_NET_ADMIN or CAP_PERFMON for most types";
    fails(&mut wrapped(&NOBODY, &command), 125, line);
    // Hardened kernels refuse iterators over entries before they look at an instruction.
    let file = fixture("elem_iter.bpf.o");
    let program = format!("{file}#elements");
    let run = run(&mut lab.exec(["--prog", &program, "--", "true"]));
    let want = match has(Feature::ElementIterator, "") {
        true => (0, String::new()),
        false => {
            let cause = "the kernel refuses to load a program of the type tracing, \
                         as hardened kernels do";
            (125, format!("bpf-exec: {file}: elements: load program: {cause}\n"))
        }
    };
    assert_eq!((run.status, run.stderr), want);
}

#[test]
fn slots_that_an_object_declares_contain_its_programs() {
    let lab = Lab::new();
    let file = fixture("programs.bpf.o");
    let object = format!("{file}#filled");
    let script = "bpf-map keys filled; bpf-map dump filled | cut -f2 | sort -u | \
                  while read id; do bpftool prog show id $id; done";
    let words = ["--object", &object, "--", "sh", "-c", script];
    let output = stdout_of(&mut lab.exec(words));
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines[..2], ["1", "3"]);
    assert!(lines[2].contains(": sched_cls  name chosen "), "{output}");
    // Without the privilege that programs need, the array remains empty.
    let copy = lab.path("programs.bpf.o");
    std::fs::copy(&file, &copy).unwrap();
    make_accessible(&copy);
    let command =
        lab.exec(["--object", "programs.bpf.o#filled", "--", "bpf-map", "count", "filled"]);
    let only_bpf = [
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        "--inh-caps=-all,+bpf",
        "--ambient-caps=-all,+bpf",
        "--bounding-set=-all,+bpf",
    ];
    let run = run(&mut wrapped(&only_bpf, &command));
    let warning = "bpf-exec: warning: programs.bpf.o: chosen: load program: CAP_BPF is needed, and \
                   CAP_NET_ADMIN or CAP_PERFMON for most types: slots for programs remain empty\n";
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (0, "0\n", warning));
}

#[test]
fn functions_of_old_compilers_are_loaded() {
    let lab = Lab::new();
    // Objects of LLVM before 5 have functions that are neither typed nor sized.
    let mut file = std::fs::read(fixture("legacy.bpf.o")).unwrap();
    let number = |file: &[u8], at: usize, bytes: usize| {
        let mut word = [0; 8];
        word[..bytes].copy_from_slice(&file[at..at + bytes]);
        u64::from_le_bytes(word) as usize
    };
    let table = number(&file, 0x28, 8);
    let symbols = (0..number(&file, 0x3c, 2)).map(|index| table + index * 64);
    let symbols = symbols.into_iter().find(|at| number(&file, at + 4, 4) == 2).unwrap();
    let (from, size) = (number(&file, symbols + 24, 8), number(&file, symbols + 32, 8));
    for symbol in
        (from..from + size).step_by(24).filter(|at| file[at + 4] == 0x12).collect::<Vec<_>>()
    {
        file[symbol + 4] = 0x10;
        file[symbol + 16..symbol + 24].fill(0);
    }
    std::fs::write(lab.path("old.o"), &file).unwrap();
    let show = "bpftool prog show id $BPF_PROG0_ID";
    let shown = stdout_of(&mut lab.exec(["--prog", "old.o#classifier", "--", "sh", "-c", show]));
    assert!(shown.contains(": sched_cls  name counted "), "{shown}");
}

#[test]
fn truncated_programs_are_refused_with_one_line() {
    let lab = Lab::new();
    let object = std::fs::read(fixture("programs.bpf.o")).unwrap();
    for len in (0..object.len()).step_by(64) {
        std::fs::write(lab.path("cut.o"), &object[..len]).unwrap();
        let run = run(&mut lab.exec(["--prog", "cut.o#uses", "--", "touch", "ran"]));
        assert_eq!((run.status, run.stderr.lines().count()), (125, 1), "{len}: {}", run.stderr);
    }
    assert!(!lab.path("ran").exists());
    let left = run(Command::new("find").args([BPFFS, "-mindepth", "1", "!", "-name", "*.debug"]));
    assert_eq!(left.stdout, "");
}
