//! `bpf-map put` and `bpf-map agent`: with a real agent, and to the last byte with a played one.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::played::*;
use std::path::Path;

/// An agent that keeps pins, at the socket `agent` of the lab.
fn agent(lab: &Lab) -> Agent {
    let state = format!("{BPFFS}/state");
    Agent::start(&mut lab.agent(["--socket", "agent", "--state", &state]))
}

/// Puts what must be taken without a word.
#[track_caller]
fn put(lab: &Lab, arguments: &[&str]) {
    let run = run(&mut lab.map([&["put", "--socket", "agent"], arguments].concat()));
    assert_eq!(run, Run { status: 0, stdout: String::new(), stderr: String::new() });
}

/// The objects that the agent holds: name, object kind, id, access, bound and layout of each.
fn held(lab: &Lab) -> Vec<(String, u8, u32, u8, u8, String)> {
    let records = Client::connect(&lab.path("agent")).list();
    let of = |r: Record| (r.name, r.class, r.id, r.access, r.bound, r.layout);
    records.into_iter().map(of).collect()
}

fn failed(message: &str) -> Run {
    Run { status: 2, stdout: String::new(), stderr: format!("bpf-map: {message}\n") }
}

#[test]
fn put_accepts_every_reference_and_names_after_it() {
    let lab = Lab::new();
    let _agent = agent(&lab);
    let pin = lab.array("pinned", 1);
    let (prog, link) = (pin_program("prog"), pin_link("link"));
    let id = map_id(&pin);
    let prog_id: u32 = id_of_pinned("prog", &prog).parse().unwrap();
    let link_id: u32 = id_of_pinned("link", &link).parse().unwrap();
    let kernel_name = unique("kn");
    let created = format!("{kernel_name}=array,value=4,entries=1");
    let kernel_pin = format!("{BPFFS}/other");
    stdout_of(&mut lab.map(["create", &created, "--pin", &kernel_pin]));
    let kernel_id = map_id(Path::new(&kernel_pin));
    let (by_id, program_by_id) = (format!("id:{kernel_id}"), format!("x=prog:id:{prog_id}"));
    let (link_by_id, by_name) = (format!("y=link:id:{link_id}"), format!("n=name:{kernel_name}"));
    let (prog_pin, link_pin) =
        (format!("prog:{}", prog.display()), format!("link:{}", link.display()));
    for reference in [
        pin.to_str().unwrap(),
        "a#1=/sys/fs/bpf/pinned",
        &by_id,
        &by_name,
        &prog_pin,
        &program_by_id,
        &link_pin,
        &link_by_id,
    ] {
        put(&lab, &[reference]);
    }
    put(&lab, &[&format!("prog:id:{prog_id}")]);
    let map = |name: &str, id| (name.to_owned(), 1, id, 3, 3, String::new());
    let other = |name: &str, class, id| (name.to_owned(), class, id, 3, 3, String::new());
    let mut want = vec![
        map("a#1", id),
        map(&kernel_name, kernel_id),
        other("link", 3, link_id),
        map("n", kernel_id),
        other("noop_socket", 2, prog_id),
        map("pinned", id),
        other("prog", 2, prog_id),
        other("x", 2, prog_id),
        other("y", 3, link_id),
    ];
    want.sort();
    assert_eq!(held(&lab), want);
}

#[test]
fn inherited_objects_are_put_with_access_and_layout() {
    let lab = Lab::new();
    let _agent = agent(&lab);
    lab.array("pinned", 1);
    pin_program("prog");
    pin_link("link");
    let script = "set -e; export BPF_AGENT=agent; bpf-map put hits; bpf-map put two=$BPF_MAP0; \
                  bpf-map put -r ro=fd:$BPF_MAP0; bpf-map put $BPF_MAP1; \
                  bpf-map put prog:filter; bpf-map put z=prog:$BPF_PROG0; \
                  bpf-map put link:env:link";
    let spec = "hits=array,value=struct{packets: u64},entries=1";
    let mut command = lab.exec(["--create", spec, "--pin", "/sys/fs/bpf/pinned"]);
    command.args(["--prog", "filter=/sys/fs/bpf/prog", "--link", "/sys/fs/bpf/link"]);
    assert_eq!(stdout_of(command.args(["--", "sh", "-c", script])), "");
    let brief = |(name, class, _, access, bound, layout): (String, u8, u32, u8, u8, String)| {
        format!("{name} {class} {access} {bound} {layout}")
    };
    let layout = "u32 -> struct{packets: u64}";
    let want = [
        "filter 2 3 3 ".into(),
        format!("hits 1 3 3 {layout}"),
        "link 3 3 3 ".into(),
        "pinned 1 3 3 ".into(),
        format!("ro 1 1 1 {layout}"),
        format!("two 1 3 3 {layout}"),
        "z 2 3 3 ".into(),
    ];
    assert_eq!(held(&lab).into_iter().map(brief).collect::<Vec<_>>(), want);
    // An inherited fd is put with the access mode that it has.
    let mut command = lab.exec(["-r", "--pin", "/sys/fs/bpf/pinned", "--"]);
    stdout_of(command.args(["bpf-map", "put", "as=pinned", "--socket", "agent"]));
    assert!(held(&lab).into_iter().map(brief).any(|held| held == "as 1 1 1 "));
}

#[test]
fn layout_from_btf_is_stored() {
    let lab = Lab::new();
    let _agent = agent(&lab);
    std::fs::create_dir("/sys/fs/bpf/maps").unwrap();
    let object = fixture("types.bpf.o");
    let words = ["prog", "loadall", &object, "/sys/fs/bpf/progs", "type", "tc", "pinmaps"];
    bpftool(&[&words[..], &["/sys/fs/bpf/maps"]].concat());
    put(&lab, &["/sys/fs/bpf/maps/t_lpm"]);
    let json = stdout_of(&mut lab.map(["show", "--json", "/sys/fs/bpf/maps/t_lpm"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(held(&lab)[0].5.starts_with("lpm{"));
    assert_eq!(json["layout"], held(&lab)[0].5);
}

#[test]
fn taken_name_is_kept_without_replace() {
    let lab = Lab::new();
    let _agent = agent(&lab);
    let ids = ["one", "two"].map(|name| map_id(&lab.array(name, 1)));
    put(&lab, &["hits=/sys/fs/bpf/one"]);
    put(&lab, &["hits=/sys/fs/bpf/one"]); // the same once more changes nothing
    let run = run(&mut lab.map(["put", "hits=/sys/fs/bpf/two", "--socket", "agent"]));
    assert_eq!((run.status, run.stdout.as_str()), (2, ""));
    assert!(run.stderr.starts_with("bpf-map: agent#hits: put: "), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 1);
    assert_eq!(held(&lab).iter().map(|held| held.2).collect::<Vec<_>>(), [ids[0]]);
    put(&lab, &["hits=/sys/fs/bpf/two", "--replace"]);
    assert_eq!(held(&lab).iter().map(|held| held.2).collect::<Vec<_>>(), [ids[1]]);
}

#[test]
fn unusable_object_is_reported_and_not_sent() {
    let lab = Lab::new();
    lab.array("pinned", 1);
    let (prog, link) = (pin_program("prog"), pin_link("link"));
    std::fs::rename(lab.array("comma", 1), "/sys/fs/bpf/a,b").unwrap();
    let link_id = id_of_pinned("link", &link);
    let nameless = format!("link:id:{link_id}: it has no name: put NAME= before it");
    let by_id = format!("link:id:{link_id}");
    assert!(prog.exists());
    for (reference, message) in [
        ("/sys/fs/bpf/none", "/sys/fs/bpf/none: open pin: no such file or directory"),
        ("/sys/fs/bpf/prog", "/sys/fs/bpf/prog: open pin: a BPF program, not a map"),
        ("prog:/sys/fs/bpf/pinned", "/sys/fs/bpf/pinned: open pin: a BPF map, not a program"),
        ("link:/sys/fs/bpf/prog", "/sys/fs/bpf/prog: open pin: a BPF program, not a link"),
        ("prog:filter", "prog:filter: no inherited program has this name"),
        ("link:77", "link:77: descriptor 77 is closed"),
        ("link:id:x", "link:id:x: not a link id"),
        ("prog:name:no_such_prog", "no_such_prog: find program by name: no program has this name"),
        ("link:name:x", "x: find link by name: links have no names"),
        ("hits", "hits: no inherited map has this name"),
        ("7=/sys/fs/bpf/pinned", "7=/sys/fs/bpf/pinned: a name is a number"),
        ("=/sys/fs/bpf/pinned", "=/sys/fs/bpf/pinned: a name is empty"),
        (
            "/sys/fs/bpf/a,b",
            "/sys/fs/bpf/a,b: a,b: put another NAME= before it: a name holds '/', '=', ',' or a control byte",
        ),
        (&by_id, &nameless),
        ("/sys/fs/bpf/pinned", "agent: connect: no such file or directory"),
    ] {
        assert_eq!(run(&mut lab.map(["put", reference, "--socket", "agent"])), failed(message));
    }
    for (reference, noun) in [("prog:/sys/fs/bpf/prog", "program"), ("link:x", "link")] {
        let message =
            format!("{reference}: open read-only: a {noun} has no read-only file descriptor");
        assert_eq!(run(&mut lab.map(["put", "-r", reference, "--socket=agent"])), failed(&message));
    }
}

#[test]
fn put_sends_one_fd_with_name_and_layout() {
    let lab = Lab::new();
    let path = lab.path("agent");
    let spec = "hits=array,value=struct{a: u32, b: u32},entries=1";
    for (options, flags) in [(&[][..], 0), (&["--replace"], REPLACE)] {
        let below = ["--create", spec, "--", "bpf-map", "put", "hits", "--socket=agent"];
        let run = play(&path, &mut lab.exec([&below[..], options].concat()), |played| {
            let client = played.accept();
            let request = client.receive().unwrap();
            let layout = "u32 -> struct{a: u32, b: u32}";
            assert_eq!(request.bytes, packet(PUT, flags, 1, &strings(&["hits", layout])));
            let ids: Vec<u32> = request.fds.iter().map(id_of).collect();
            assert_eq!(ids.len(), 1);
            // A lost reply: the same is asked again, with the descriptor.
            drop(client);
            let client = played.accept();
            let request = client.receive().unwrap();
            assert_eq!(request.bytes, packet(PUT, flags, 2, &strings(&["hits", layout])));
            assert_eq!(request.fds.iter().map(id_of).collect::<Vec<_>>(), ids);
            client.send(&reply(0, 2, &[record("hits", ids[0])]), &[]).unwrap();
        });
        assert_eq!(run, Run { status: 0, stdout: String::new(), stderr: String::new() });
    }
}

#[test]
fn list_is_a_table_or_json_with_every_field() {
    let lab = Lab::new();
    let path = lab.path("agent");
    let list = |records: &[Record], arguments: &[&str]| {
        let mut command = lab.map([&["agent", "--socket", "agent"], arguments].concat());
        let run = play(&path, &mut command, |played| {
            let client = played.asked(&packet(LIST, LAYOUTS, 1, &string("")));
            client.send(&reply(0, 1, records), &[]).unwrap();
            assert!(client.receive().unwrap().bytes.is_empty());
        });
        assert_eq!((run.status, run.stderr.as_str()), (0, ""));
        run.stdout
    };
    let records = [
        Record {
            class: 2,
            access: 0,
            kind: 6,
            details: [0; 4],
            state: 4,
            time: 0,
            ..record("xdp", 12)
        },
        Record {
            access: 1,
            state: 3,
            id: 7,
            pin_id: 1009,
            details: [4, 8, 1024, 1 << 10],
            uid: 1000,
            gid: 100,
            time: 951_782_400,
            layout: format!("u32 -> struct{{{}}}", "a: u32, ".repeat(20)),
            ..record("hits\u{202e}", 0)
        },
        Record {
            class: 3,
            kind: 4,
            state: 1,
            details: [12, 0, 0, 0],
            pin_id: 5,
            ..record("it", 5)
        },
        Record { kind: 99, state: 1, access: 2, layout: "u8\u{1b} -> u8".into(), ..record("a", 1) },
    ];
    let want = "\
NAME          KIND       ID  TYPE     ACCESS  BOUND  STATE    BY             SINCE                 LAYOUT
a             map         1  type 99  w       rw     pinned   0:0 4242       2023-11-14T22:13:20Z  u8\\x1b -> u8
hits\\u{202e}  map   7->1009  array    r       rw     changed  1000:100 4242  2000-02-29T00:00:00Z  u32 -> struct{a: u32, a: u32, a: u32, a: u32, a: u32, a: u3…
it            link        5  iter     rw      rw     pinned   0:0 4242       2023-11-14T22:13:20Z  -
xdp           prog       12  xdp      -       rw     gone     0:0 4242       1970-01-01T00:00:00Z  -
";
    assert_eq!(list(&records, &[]), want);
    assert_eq!(list(&[], &[]), "");
    assert_eq!(list(&[], &["--json"]), "[]\n");
    let json: serde_json::Value = serde_json::from_str(&list(&records, &["--json"])).unwrap();
    let want = serde_json::json!([
        {"kind": "map", "name": "a", "id": 1, "pin_id": null, "type": "type 99", "key_size": 4,
         "value_size": 8, "max_entries": 1, "flags": [], "access": "w", "bound": "rw",
         "state": "pinned", "uid": 0, "gid": 0, "pid": 4242, "since": "2023-11-14T22:13:20Z",
         "layout": "u8\u{1b} -> u8"},
        {"kind": "map", "name": "hits\u{202e}", "id": 7, "pin_id": 1009, "type": "array",
         "key_size": 4, "value_size": 8, "max_entries": 1024, "flags": ["MMAPABLE"], "access": "r",
         "bound": "rw", "state": "changed", "uid": 1000, "gid": 100, "pid": 4242,
         "since": "2000-02-29T00:00:00Z", "layout": records[1].layout},
        {"kind": "link", "name": "it", "id": 5, "pin_id": 5, "type": "iter", "prog_id": 12,
         "access": "rw", "bound": "rw", "state": "pinned", "uid": 0, "gid": 0, "pid": 4242,
         "since": "2023-11-14T22:13:20Z", "layout": null},
        {"kind": "prog", "name": "xdp", "id": 12, "pin_id": null, "type": "xdp", "access": "-",
         "bound": "rw", "state": "gone", "uid": 0, "gid": 0, "pid": 4242,
         "since": "1970-01-01T00:00:00Z", "layout": null},
    ]);
    assert_eq!(json, want);
}

#[test]
fn unknown_names_are_reported_and_the_others_processed() {
    let lab = Lab::new();
    let _agent = agent(&lab);
    let pin = lab.array("pinned", 1);
    for name in ["a", "b", "c"] {
        put(&lab, &[&format!("{name}={}", pin.display())]);
    }
    let mut command = lab.map(["agent", "--socket=agent", "--json", "c", "none", "a"]);
    let shown = run(&mut command);
    let absent = |what| format!("bpf-map: agent#none: {what}: nothing is stored as \"none\"\n");
    assert_eq!((shown.status, shown.stderr), (1, absent("look up")));
    let json: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(
        (&json[0]["name"], &json[1]["name"], &json[2]),
        (&"c".into(), &"a".into(), &serde_json::Value::Null)
    );
    assert_eq!(json[0]["state"], "pinned");
    assert_eq!(json[0]["id"], json[0]["pin_id"]);
    let removed = run(&mut lab.map(["agent", "--socket=agent", "--remove", "a", "none", "c"]));
    assert_eq!(removed, Run { status: 1, stdout: String::new(), stderr: absent("remove") });
    assert_eq!(held(&lab).iter().map(|held| held.0.as_str()).collect::<Vec<_>>(), ["b"]);
    // A pin that leads elsewhere by now shows both ids.
    let other = map_id(&lab.array("other", 1));
    std::fs::rename("/sys/fs/bpf/other", format!("{BPFFS}/state/b/map")).unwrap();
    let table = stdout_of(&mut lab.map(["agent", "--socket=agent", "b"]));
    let line = table.lines().nth(1).unwrap();
    let ids = format!(" {}->{other} ", map_id(&pin));
    assert!(line.contains(&ids) && line.contains(" changed "), "{table}");
}

#[test]
fn agent_subcommands_are_completed() {
    let lab = Lab::new();
    let _agent = agent(&lab);
    let pin = lab.array("pinned", 1);
    put(&lab, &[&format!("b={}", pin.display())]);
    let candidates = |words: &[&str]| {
        let text = stdout_of(&mut lab.map([&["complete", "--"], words].concat()));
        text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Without those of the agent's state.
    let pinned = ["/sys/fs/bpf/pinned", ":files"];
    for (words, want) in [
        (&["put", ""][..], &pinned[..]),
        (&["put", "x", ""], &pinned),
        (&["put", "--re"], &["--replace", "--read-only"]),
        (&["put", "--socket", ""], &[":files"]),
        (&["agent", ""], &[]),
        (
            &["agent", "--"],
            &["--socket", "--json", "--remove", "--wait-change", "--timeout", "--help"],
        ),
        (&["agent", "--socket", ""], &[":files"]),
        (&["agent", "--timeout", ""], &[]),
    ] {
        assert_eq!(candidates(words), want, "{words:?}");
    }
}
