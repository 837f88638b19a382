//! `--dry-run` and `bpf-map list`.

use super::*;
use crate::common::fds::*;
use crate::common::*;
use serde_json::{Value, json};
use std::path::Path;

/// The ids of the pinned program and link, and of the link's program, from bpftool.
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
fn dry_run_prints_tables_and_json() {
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
    // If no map is inherited, only the inherited programs and links are listed.
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
    // With --all, only maps of other processes are added, above the inherited objects.
    let all: Vec<Value> = serde_json::from_str(&below(&[], &["list", "--all", "--json"])).unwrap();
    let (maps, ours) = all.split_at(all.len() - 3);
    assert!(maps.iter().all(|row| row["kind"] == "map"));
    assert!(maps.iter().any(|row| row["pins"] == json!([MAP])));
    assert_eq!(ours, objects(other));
    // A user who may see no map still sees the inherited objects.
    let program = lab.reachable("bpf-map");
    let words = [&["--"], &NOBODY[..], &[&program, "list", "--all"]].concat();
    assert_eq!(stdout_of(&mut lab.exec([&sources[..], &words].concat())), tables(other));
}
