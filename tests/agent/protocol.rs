//! The agent's protocol: putting, listing, describing and removing objects.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

const FULL: &str = "0123456789";

/// A field of the description of an fd in /proc.
fn fdinfo(fd: impl AsFd, field: &str) -> u32 {
    let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
    let text = std::fs::read_to_string(path).expect("fdinfo");
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("{field} in {text}")).trim().parse().expect("a number")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn record_has_every_field_of_each_object_kind() {
    let lab = Lab::new();
    let pin = lab.array("array", 3);
    let (map, prog) = (open_pin(&pin), open_pin(&pin_program("prog")));
    let link = open_pin(&pin_link("link"));
    let (map_id, prog_id, link_id) =
        (id_of(&map), fdinfo(&prog, "prog_id"), fdinfo(&link, "link_id"));
    let attached = fdinfo(&link, "prog_id");
    let state = format!("{BPFFS}/agent");
    for options in [&[][..], &["--state", &state]] {
        let words = [&["--socket", "agent"], options].concat();
        let mut agent = Agent::start(&mut lab.agent(words));
        let client = Client::connect(&lab.path("agent"));
        let started = now();
        let mut wanted: Vec<Record> = Vec::new();
        for (name, fd, class, id) in [
            ("a link", &link, 3, link_id),
            ("a map", &map, 1, map_id),
            ("a prog", &prog, 2, prog_id),
        ] {
            // BPF_LINK_TYPE_ITER is 4, and BPF_PROG_TYPE_SOCKET_FILTER 1.
            let (kind, details, layout) = match class {
                1 => (ARRAY, [4, 8, 3, 0], "u32 -> u64"),
                2 => (1, [0; 4], ""),
                _ => (4, [attached, 0, 0, 0], ""),
            };
            let put = done(client.ask(PUT, 0, &strings(&[name, layout]), &[fd.as_fd()]));
            let (state, pin_id) = if options.is_empty() { (0, 0) } else { (1, id) };
            let want = Record {
                class,
                access: 3,
                bound: 3,
                state,
                id,
                pin_id,
                kind,
                details,
                uid: 0,
                gid: 0,
                pid: std::process::id(),
                time: put[0].time,
                name: name.into(),
                layout: layout.into(),
            };
            assert!((started..=now()).contains(&want.time), "{want:?}");
            agent.line(&format!(": stored {} {id} rw", &name[2..]));
            assert_eq!(put, std::slice::from_ref(&want));
            wanted.push(want);
        }
        for want in wanted.chunks(1) {
            let name = string(&want[0].name);
            assert_eq!(done(client.ask(INFO, 0, &name, &[])), want);
            let wait = [&1u32.to_ne_bytes()[..], &name].concat();
            assert_eq!(done(client.ask(WAIT, 0, &wait, &[])), want);
        }
        assert_eq!(client.list(), wanted);
        // The object of the pin is determined only if the request asks for it.
        let got = client.get(&["a link", "a map", "a prog"], 0);
        for (record, want) in got.records.iter().zip(&wanted) {
            assert_eq!(*record, Record { pin_id: 0, ..want.clone() });
        }
        assert_eq!(fdinfo(&got.fds[0], "link_id"), link_id);
        assert_eq!(fdinfo(&got.fds[1], "map_id"), map_id);
        assert_eq!(fdinfo(&got.fds[2], "prog_id"), prog_id);
        assert_eq!(agent.stop().status, 0);
    }
}

#[test]
fn taken_name_needs_replace() {
    let lab = Lab::new();
    let (mut agent, path) = serve(&lab);
    let client = Client::connect(&path);
    let (first, second) = (new_map("first"), new_map("second"));
    let put = |flags, map: &OwnedFd, layout| {
        client.ask(PUT, flags, &strings(&["hits", layout]), &[map.as_fd()])
    };
    let stored = done(put(0, &first, ""));
    let taken = (4, format!("\"hits\" is the name of map {} already", id_of(&first)));
    assert_eq!(refusal(put(0, &second, "")), taken);
    agent.line(&format!("refused: {}", taken.1));
    // Putting the same map again changes nothing: a client that got no answer can retry.
    let again = Client::connect(&path);
    assert_eq!(again.list(), stored);
    let descriptors = agent.fds();
    assert_eq!(done(again.put("hits", first.as_fd())), stored);
    agent.line(&format!("stored map {} rw, unchanged", id_of(&first)));
    agent.fds().assert_more(0, &descriptors);
    // With another layout it is not the same.
    assert_eq!(refusal(put(0, &first, "u32 -> u64")), taken);
    assert_eq!(done(put(REPLACE, &first, "u32 -> u64"))[0].layout, "u32 -> u64");
    assert_eq!(done(put(REPLACE, &second, ""))[0].id, id_of(&second));
    assert_eq!(id_of(&client.get(&["hits"], 0).fds[0]), id_of(&second));
    agent.fds().assert_more(0, &descriptors);
    // The map that was replaced is not held any more.
    let id = id_of(&first);
    drop(first);
    eventually("the end of the map", || !map_exists(id));
    // REPLACE with a name that is not taken stores the map.
    assert_eq!(done(client.ask(PUT, REPLACE, &strings(&["new", ""]), &[second.as_fd()])).len(), 1);
}

#[test]
fn malformed_or_unfitting_layout_is_refused() {
    let lab = Lab::new();
    let (_agent, path) = serve(&lab);
    let client = Client::connect(&path);
    let map = new_map("layouts");
    let prog = open_pin(&pin_program("prog"));
    let put = |name: &str, layout: &[u8], fd: BorrowedFd| {
        client.ask(PUT, REPLACE, &[string(name), string(layout)].concat(), &[fd])
    };
    let spaces = |count: usize| format!("u32 -> u64{}", " ".repeat(count - 10));
    let deep = format!("u32 -> {}u64{}", "struct{a:".repeat(5000), "}".repeat(5000));
    for (layout, want) in [
        ("u32 -> u32", "layout: a value of 4 bytes, expected 8"),
        ("u64 -> u64", "layout: a key of 8 bytes, expected 4"),
        ("-> u64", "layout: a key of 0 bytes, expected 4"),
        ("u32[1000000000][1000000000][1000000000] -> u8", ""),
        ("u32", ""),
        ("u32 -> ", ""),
        ("u32 -> u64 x", ""),
        ("\u{1b}[2J", ""),
        (&deep, ""),
    ] {
        let (status, reason) = refusal(put("hits", layout.as_bytes(), map.as_fd()));
        assert_eq!(status, 5, "{reason}");
        let fits = if want.is_empty() { reason.starts_with("layout: ") } else { reason == want };
        assert!(fits && !reason.contains('\u{1b}'), "{layout}: {reason}");
    }
    let unfit = |reason: &str| (5, reason.to_owned());
    assert_eq!(
        refusal(put("hits", b"u32 -> \xff", map.as_fd())),
        unfit("a layout that is not UTF-8")
    );
    let answer = refusal(put("hits", b"u32 -> u64", prog.as_fd()));
    assert_eq!(answer, unfit("a layout for a BPF program"));
    assert_eq!(client.list(), []);
    let longest = spaces(65536);
    assert_eq!(done(put("hits", longest.as_bytes(), map.as_fd()))[0].layout, "u32 -> u64");
    assert_eq!(client.get(&["hits"], 0).records[0].layout, "u32 -> u64");
    let (status, reason) = refusal(put("hits", spaces(65537).as_bytes(), map.as_fd()));
    let want = "a layout of 65537 bytes, where at most 65536 are taken";
    assert_eq!((status, reason.as_str()), (1, want));
    // A list has layouts only if they are asked for.
    for (flags, layout) in [(0, ""), (LAYOUTS, "u32 -> u64")] {
        assert_eq!(done(client.ask(LIST, flags, &string(""), &[]))[0].layout, layout);
    }
}

#[test]
fn removed_names_are_free_again() {
    let lab = Lab::new();
    let state = format!("{BPFFS}/agent");
    let (mut agent, path) =
        (Agent::start(&mut lab.agent(["--socket", "agent", "--state", &state])), lab.path("agent"));
    let client = Client::connect(&path);
    let map = new_map("gone");
    assert_eq!(client.list(), []);
    let before = agent.fds();
    let remove = |name: &str| client.ask(REMOVE, 0, &string(name), &[]);
    for name in ["a", "b", "c", "d"] {
        done(client.put(name, map.as_fd()));
    }
    let absent = (3, "nothing is stored as \"x\"".to_owned());
    assert_eq!(refusal(remove("x")), absent);
    // One request removes one name.
    let several = client.ask(REMOVE, 0, &strings(&["a", "b"]), &[]);
    assert_eq!(refusal(several), (1, "5 bytes after the end of the request".into()));
    assert_eq!(names(&client.list()), ["a", "b", "c", "d"]);
    assert_eq!(done(remove("b")), []);
    agent.line("remove \"b\": ");
    client.remove(&["d", "a"]);
    assert_eq!(names(&client.list()), ["c"]);
    assert_eq!(done(remove("c")), []);
    assert_eq!(refusal(client.get(&["c"], 0)), (3, "nothing is stored as \"c\"".into()));
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 0);
    agent.fds().assert_more(0, &before);
    // The name is free again.
    assert_eq!(done(client.put("a", new_map("next").as_fd())).len(), 1);
}

#[test]
fn malformed_name_is_refused_by_every_operation() {
    let lab = Lab::new();
    let (_agent, path) = serve(&lab);
    let client = Client::connect(&path);
    let map = new_map("named");
    let (longest, too_long) = (FULL.repeat(19) + "012345678x", FULL.repeat(20) + "x");
    for name in ["0x1", "a b", "ä", "%", "..", "_-", "id", "*", &longest, "\"\\"] {
        assert_eq!(done(client.put(name, map.as_fd()))[0].name, name);
        assert_eq!(client.get(&[name], 0).fds.len(), 1, "{name}");
    }
    let stored = client.list();
    let kind = "holds '/', '=', ',' or a control byte";
    let other = "looks like an option, or like another reference to a map";
    for (name, want) in [
        ("", "is empty"),
        ("12", "is a number"),
        ("a/b", kind),
        ("a=b", kind),
        ("a,b", kind),
        ("a\n", kind),
        ("\0", kind),
        ("\u{7f}", kind),
        (&too_long, "is longer than 200 bytes"),
        ("-x", other),
        ("id:5", other),
        ("fd:0", other),
        ("env:x", other),
        ("name:x", other),
        ("prog:x", other),
        ("link:x", other),
    ] {
        let want = (1, format!("a name {want}"));
        for operation in [GET, REMOVE, INFO] {
            assert_eq!(refusal(client.ask(operation, 0, &string(name), &[])), want, "{name:?}");
        }
        let wait = [&0u32.to_ne_bytes()[..], &string(name)].concat();
        assert_eq!(refusal(client.ask(WAIT, 0, &wait, &[])), want, "{name:?}");
        assert_eq!(refusal(client.put(name, map.as_fd())), want, "{name:?}");
    }
    // Names that bpf-exec would not hand over.
    for (name, want) in [
        ("a:b", "contains '/', ':', '=' or a control byte"),
        ("\u{202e}x", "contains a control or an invisible character"),
    ] {
        let want = (1, format!("a name {want}"));
        assert_eq!(refusal(client.put(name, map.as_fd())), want, "{name:?}");
        let absent = (3, format!("nothing is stored as {name:?}"));
        assert_eq!(refusal(client.get(&[name], 0)), absent);
    }
    assert_eq!(client.list(), stored);
}
