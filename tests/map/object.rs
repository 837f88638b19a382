//! `bpf-map object`, and global variables by name.

use crate::common::*;
use serde_json::{Value, json};

#[test]
fn objects_are_listed_without_privileges() {
    let lab = Lab::new();
    for name in ["sections.bpf.o", "legacy.bpf.o"] {
        std::fs::copy(fixture(name), lab.path(name)).unwrap();
        make_accessible(&lab.path(name));
    }
    let list = lab.map(["object", "sections.bpf.o"]);
    let want = "\
NAME       SECTION         TYPE   KEY  VALUE  ENTRIES  FLAGS        PIN  LAYOUT
hashed     maps            hash     4      8       16  NO_PREALLOC  -    -
listed     maps            array    4      4        2  -            -    -
tcp_event  maps/tcp_event  array    4     16        3  -            -    -

PROGRAM  SECTION  TYPE           SIZE
counted  socket   socket_filter    96
";
    assert_eq!(stdout_of(&mut wrapped(&NOBODY, &list)), want);
    let list = lab.map(["object", "--json", "legacy.bpf.o"]);
    let list: Value = serde_json::from_str(&stdout_of(&mut wrapped(&NOBODY, &list))).unwrap();
    let shared = json!({
        "name": "shared", "section": "maps", "type": "hash", "key_size": 4, "value_size": 8,
        "max_entries": 16, "flags": [], "map_extra": 0, "id": 7,
        "pin": "/sys/fs/bpf/tc/globals/shared",
        "layout": "u32 -> struct{left: u32, right: u32}",
    });
    assert_eq!(list["maps"][0], shared);
    let program =
        json!({"name": "counted", "section": "classifier", "type": "sched_cls", "size": 104});
    assert_eq!(list["programs"], json!([program]));
    fails(
        &mut lab.map(["object", "/dev/null"]),
        2,
        "bpf-map: /dev/null: read object: not a regular file",
    );
}

#[test]
fn diff_compares_an_object_with_pinned_maps() {
    let lab = Lab::new();
    let file = fixture("legacy.bpf.o");
    let outcomes = |status| {
        let run = run(&mut lab.map(["object", "--diff", "--json", &file]));
        assert_eq!((run.status, run.stderr.as_str()), (status, ""));
        let list: Value = serde_json::from_str(&run.stdout).unwrap();
        let maps = list["maps"].as_array().unwrap().clone();
        maps.iter().map(|map| map["outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(0), ["created"; 4]);
    stdout_of(&mut lab.exec(["--object", &file, "--", "true"]));
    assert_eq!(outcomes(0), ["reused", "reused", "created", "created"]);
    let shared = "/sys/fs/bpf/tc/globals/shared";
    stdout_of(&mut lab.map(["unpin", shared]));
    stdout_of(&mut lab.map(["create", "x=hash,key=4,value=8,entries=17", "--pin", shared]));
    assert_eq!(outcomes(1), ["refused", "reused", "created", "created"]);
    let run = run(&mut lab.map(["object", "--diff", &file]));
    let line = run.stdout.lines().find(|line| line.starts_with("shared ")).unwrap();
    let words: Vec<_> = line.split("  ").filter(|word| !word.is_empty()).collect();
    let want = ["shared", "refused", shared, "max entries 16 declared, 17 pinned"];
    assert_eq!((run.status, &words[..]), (1, &want[..]));
}

#[test]
fn diff_with_a_pin_that_cannot_be_compared_is_incomplete() {
    let lab = Lab::new();
    let file = lab.path("legacy.bpf.o");
    std::fs::copy(fixture("legacy.bpf.o"), &file).unwrap();
    let shared = "/sys/fs/bpf/tc/globals/shared";
    std::fs::create_dir_all(shared).unwrap();
    let mut diff = lab.map(["object", "--diff", "legacy.bpf.o"]);
    let line_of = |command: &mut std::process::Command| {
        let run = run(command);
        assert_eq!((run.status, run.stderr.as_str()), (2, ""), "{}", run.stdout);
        let words = |line: &str| {
            line.split("  ")
                .map(str::trim)
                .filter(|word| !word.is_empty())
                .collect::<Vec<_>>()
                .join("|")
        };
        run.stdout.lines().map(words).find(|line| line.starts_with("shared|")).unwrap()
    };
    let want = format!("shared|unknown|{shared}|open pin: a directory, not a map");
    assert_eq!(line_of(&mut diff), want);
    std::fs::remove_dir(shared).unwrap();
    stdout_of(&mut lab.map(["create", "x=hash,key=4,value=8,entries=16", "--pin", shared]));
    make_accessible(&file);
    for directory in [BPFFS, "/sys/fs/bpf/tc", "/sys/fs/bpf/tc/globals"] {
        std::fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
    let map = lab.reachable("bpf-map");
    let diff = lab.program(&map, ["object", "--diff", "legacy.bpf.o"]);
    let want = format!("shared|unknown|{shared}|open pin: permission denied");
    assert_eq!(line_of(&mut wrapped(&NOBODY, &diff)), want);
}

#[test]
fn global_variables_are_read_and_written_by_name() {
    let lab = Lab::new();
    let script = "bpf-map get declared.bss .hits; bpf-map set declared.bss .hits 7
        bpf-map add declared.bss .hits 2; bpf-map get declared.bss 0; bpf-map get .data.totals .total.bytes
        bpf-map get first .x";
    let file = fixture("declared.bpf.o");
    let run = run(&mut lab.exec(["--object", &file, "--", "sh", "-c", script]));
    // A map with two entries needs a key.
    let stderr = "bpf-map: first: key .x: expected a whole number (u32), found \".x\"\n";
    let stdout = "0\n9\nhits=9 last=0\n2\n";
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (2, stdout, stderr));
}
