//! `show`, `list`, `pin` and `unpin` of programs and links.

use crate::common::*;
use serde_json::{Value, json};
use std::path::Path;

/// What a command prints that inherits a program `p` and a link `l`.
fn inheriting(lab: &Lab, words: &[&str]) -> std::process::Command {
    let sources = ["--prog", "p=/sys/fs/bpf/prog", "--link", "l=/sys/fs/bpf/link", "--"];
    lab.exec([&sources[..], words].concat())
}

fn read(json: &str) -> Value {
    serde_json::from_str(json).expect("JSON")
}

fn pinned(kind: &str, pin: &Path) -> Value {
    read(&bpftool(&["-j", kind, "show", "pinned", pin.to_str().unwrap()]))
}

fn pin_both() -> (std::path::PathBuf, std::path::PathBuf) {
    (fds::pin_program("prog"), fds::pin_link("link"))
}

#[test]
fn program_is_shown_as_bpftool_reports_it() {
    let lab = Lab::new();
    let (prog, _) = pin_both();
    let theirs = pinned("prog", &prog);
    let id = format!("prog:id:{}", theirs["id"]);
    for reference in ["prog:p", "prog:fd:64", "prog:64", "prog:env:p", &id, "prog:/sys/fs/bpf/prog"]
    {
        let words = ["bpf-map", "show", "--json", reference];
        let ours = read(&stdout_of(&mut inheriting(&lab, &words)));
        for (field, of_bpftool) in [
            ("id", "id"),
            ("name", "name"),
            ("type", "type"),
            ("tag", "tag"),
            ("uid", "uid"),
            ("jited", "jited"),
            ("memlock", "bytes_memlock"),
        ] {
            assert_eq!(ours[field], theirs[of_bpftool], "{reference}: {field}");
        }
        assert_eq!((&ours["pins"], &ours["map_ids"]), (&json!([prog]), &json!([])));
        // Both clocks are rounded, and the wall clock may be adjusted.
        let [at, loaded] = [&ours["loaded_at"], &theirs["loaded_at"]].map(|t| t.as_i64().unwrap());
        assert!((at - loaded).abs() <= 5, "{at} {loaded}");
    }
    let text = stdout_of(&mut inheriting(&lab, &["bpf-map", "show", "prog:p"]));
    let [id, tag, memlock] = ["id", "tag", "bytes_memlock"].map(|field| &theirs[field]);
    let (head, rest) = text.split_once("loaded_at: ").unwrap();
    let want = format!(
        "name: noop_socket\nid: {id}\ntype: socket_filter\ntag: {}\n",
        tag.as_str().unwrap()
    );
    assert_eq!(head, want);
    let (date, rest) = rest.split_once('\n').unwrap();
    assert!(date.len() == 20 && date.ends_with('Z'), "{date}");
    let jited = &theirs["jited"];
    assert_eq!(
        rest,
        format!("uid: 0\njited: {jited}\nmemlock: {memlock}\npin: /sys/fs/bpf/prog\n")
    );
}

#[test]
fn link_is_shown_as_bpftool_reports_it() {
    let lab = Lab::new();
    let (_, link) = pin_both();
    let theirs = pinned("link", &link);
    let id = format!("link:id:{}", theirs["id"]);
    for reference in ["link:l", "link:fd:65", &id, "link:/sys/fs/bpf/link"] {
        let words = ["bpf-map", "show", "--json", reference];
        let ours = read(&stdout_of(&mut inheriting(&lab, &words)));
        for field in ["id", "type", "prog_id"] {
            assert_eq!(ours[field], theirs[field], "{reference}: {field}");
        }
        assert_eq!(ours["attachment"]["target_name"], theirs["target_name"], "{ours}");
        assert_eq!(ours["pins"], json!([link]));
    }
    let text = stdout_of(&mut inheriting(&lab, &["bpf-map", "show", "link:l"]));
    let (id, prog_id) = (&theirs["id"], &theirs["prog_id"]);
    let want = format!(
        "id: {id}\ntype: iter\nprog_id: {prog_id}\ntarget_name: bpf_map\npin: /sys/fs/bpf/link\n"
    );
    assert_eq!(text, want);
}

#[test]
fn maps_that_a_program_uses_are_shown() {
    let lab = Lab::new();
    std::fs::create_dir("/sys/fs/bpf/maps").unwrap();
    let object = fixture("types.bpf.o");
    let words = ["prog", "loadall", &object, "/sys/fs/bpf/progs", "type", "tc", "pinmaps"];
    bpftool(&[&words[..], &["/sys/fs/bpf/maps"]].concat());
    let pin = std::fs::read_dir("/sys/fs/bpf/progs").unwrap().next().unwrap().unwrap().path();
    let reference = format!("prog:{}", pin.display());
    let ours = read(&stdout_of(&mut lab.map(["show", "--json", &reference])));
    let sorted = |ids: &Value| {
        let mut ids: Vec<u64> =
            ids.as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        ids.sort_unstable();
        ids
    };
    let used = sorted(&ours["map_ids"]);
    assert!(!used.is_empty());
    assert_eq!(used, sorted(&pinned("prog", &pin)["map_ids"]));
    let text = stdout_of(&mut lab.map(["show", &reference]));
    assert!(text.contains("\nmap_ids: "), "{text}");
}

#[test]
fn program_or_link_that_cannot_be_shown_is_one_line() {
    let lab = Lab::new();
    pin_both();
    lab.array("map", 1);
    for (words, line) in [
        (&["prog:none"][..], "prog:none: no inherited program has this name"),
        (&["prog:l"], "prog:l: no inherited program has this name"),
        (&["link:fd:64"], "link:fd:64: descriptor 64 is a BPF program, not a link"),
        (&["prog:/sys/fs/bpf/map"], "/sys/fs/bpf/map: open pin: a BPF map, not a program"),
        (&["/sys/fs/bpf/prog"], "/sys/fs/bpf/prog: open pin: a BPF program, not a map"),
        (&["prog:id:x"], "prog:id:x: not a program id"),
        (&["prog:p", "--key", "u32"], "prog:p: --key and --value are only possible with a map"),
    ] {
        let words = [&["bpf-map", "show"], words].concat();
        fails(&mut inheriting(&lab, &words), 2, &format!("bpf-map: {line}"));
    }
}

#[test]
fn program_is_found_by_its_kernel_name() {
    let lab = Lab::new();
    // Programs of other tests have the names in the fixtures.
    let name = format!("noop_{:06x}", std::process::id() & 0xff_ffff);
    let mut object = std::fs::read(fixture("noop.bpf.o")).unwrap();
    let end = object.len() - name.len();
    for at in 0..end {
        if object[at..].starts_with(b"noop_socket\0") {
            object[at..at + name.len()].copy_from_slice(name.as_bytes());
        }
    }
    std::fs::write(lab.path("named.bpf.o"), object).unwrap();
    let load = |pin: &str| {
        let path = lab.path("named.bpf.o");
        bpftool(&["prog", "load", path.to_str().unwrap(), pin, "type", "socket"]);
        pinned("prog", Path::new(pin))["id"].to_string()
    };
    let first = load("/sys/fs/bpf/first");
    let reference = format!("prog:name:{name}");
    let shown = read(&stdout_of(&mut lab.map(["show", "--json", &reference])));
    assert_eq!(shown["id"].to_string(), first);
    let second = load("/sys/fs/bpf/second");
    let both = format!("2 programs have this name: ids {first}, {second}");
    for (reference, line) in [
        (reference.as_str(), format!("{name}: find program by name: {both}")),
        ("link:name:x", "x: find link by name: links have no names".into()),
        ("prog:name:", "\"\": find program by name: the name is empty".into()),
    ] {
        fails(&mut lab.map(["show", reference]), 2, &format!("bpf-map: {line}"));
    }
}

#[test]
fn programs_and_links_are_pinned_and_unpinned_by_reference() {
    let lab = Lab::new();
    let (prog, link) = pin_both();
    let files = lab.files();
    for (kind, reference, source) in [("prog", "prog:p", &prog), ("link", "link:fd:65", &link)] {
        let new = Path::new("/sys/fs/bpf/new");
        let text = new.to_str().unwrap();
        let words = ["bpf-map", "pin", reference, text];
        assert_eq!(stdout_of(&mut inheriting(&lab, &words)), "", "{reference}");
        assert_eq!(pinned(kind, new)["id"], pinned(kind, source)["id"]);
        let other = if kind == "prog" { "link" } else { "prog" };
        let (found, wanted) = match kind {
            "prog" => ("a BPF program", "a link"),
            _ => ("a BPF link", "a program"),
        };
        let line = format!(
            "bpf-map: {text}: unpin: {found}, not {wanted} ({kind}:PATH or --force removes it)"
        );
        fails(&mut lab.map(["unpin", &format!("{other}:{text}")]), 2, &line);
        assert_eq!(stdout_of(&mut lab.map(["unpin", &format!("{kind}:{text}")])), "");
        assert!(!new.exists());
    }
    let map = lab.array("map", 1);
    let line = "bpf-map: /sys/fs/bpf/map: unpin: a BPF map, not a program (--force removes it)";
    fails(&mut lab.map(["unpin", "prog:/sys/fs/bpf/map"]), 2, line);
    assert_eq!(stdout_of(&mut lab.map(["unpin", map.to_str().unwrap()])), "");
    let line = "bpf-map: prog:p: unpin: not a path (write prog:./p for a pin in this directory)";
    fails(&mut inheriting(&lab, &["bpf-map", "unpin", "prog:p"]), 2, line);
    let line = "bpf-map: prog:./none: unpin: no such file or directory";
    fails(lab.map(["unpin", "prog:./none"]).current_dir(BPFFS), 2, &line.replace("prog:", ""));
    assert_eq!(lab.files(), files);
}

#[test]
fn inherited_programs_and_links_are_listed() {
    let lab = Lab::new();
    let (prog, link) = pin_both();
    let rows = read(&stdout_of(&mut inheriting(&lab, &["bpf-map", "list", "--json"])));
    let [prog, link] = [pinned("prog", &prog), pinned("link", &link)];
    let want = json!([
        {"kind": "prog", "index": 0, "name": "p", "fd": 64, "id": prog["id"], "type": prog["type"]},
        {"kind": "link", "index": 0, "name": "l", "fd": 65, "id": link["id"], "type": "iter",
         "prog_id": link["prog_id"]},
    ]);
    assert_eq!(rows, want);
    let table = stdout_of(&mut inheriting(&lab, &["bpf-map"]));
    let heads: Vec<&str> = table.lines().map(|line| line.trim_start()).collect();
    assert!(
        heads[0].starts_with("INDEX  PROGRAM ") && heads[3].starts_with("INDEX  LINK "),
        "{table}"
    );
    assert!(heads[1].starts_with("0  p ") && heads[4].starts_with("0  l "), "{table}");
}
