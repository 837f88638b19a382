//! Replies that are wrong, and replies that refuse.

use super::*;
use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::played::*;
use std::os::fd::{AsFd, OwnedFd};

#[test]
fn malformed_reply_is_refused_and_no_command_runs() {
    let lab = Lab::new();
    let path = lab.path("agent");
    let pin = lab.array("pinned", 1);
    let prog = open_pin(&pin_program("prog"));
    let link = open_pin(&pin_link("link"));
    let read_only = open_pin_with(&pin, 8);
    let (map, other) = (new_map("held"), new_map("other"));
    let (pipe, _end) = std::io::pipe().unwrap();
    let pipe = OwnedFd::from(pipe);
    let fds: [&OwnedFd; 6] = [&map, &other, &prog, &link, &pipe, &read_only];
    let fds = fds.map(AsFd::as_fd);
    let id = id_of(&map);
    let hits = record("hits", id);
    let with = |change: fn(&mut Record)| {
        let mut record = hits.clone();
        change(&mut record);
        reply(0, 1, &[record])
    };
    let right = reply(0, 1, std::slice::from_ref(&hits));
    let more = reply(MORE, 1, std::slice::from_ref(&hits));
    let with_byte = |at: usize, byte: u8| {
        let mut bytes = right.clone();
        bytes[at] = byte;
        bytes
    };
    let strange = "a reply not understood: a reply with an unknown value: ";
    let not_understood = |what: &str| format!("{strange}{what}");
    let other_id = id_of(&other);
    let cases: Vec<(&str, Vec<Sent>, String)> = vec![
        (
            "another number",
            vec![(reply(0, 2, std::slice::from_ref(&hits)), vec![0])],
            "a reply to request 2, where 1 was asked".into(),
        ),
        (
            "another version",
            vec![(with_byte(0, 1), vec![0])],
            "a reply not understood: version 1, where only 2 is known".into(),
        ),
        ("a status", vec![(with_byte(1, 11), vec![0])], not_understood("a status")),
        ("a flag", vec![(with_byte(2, 2), vec![0])], {
            "a reply not understood: flags 0x2 are not known here".into()
        }),
        (
            "truncated",
            vec![(right[..right.len() - 1].to_vec(), vec![0])],
            "a reply not understood: the packet ends too early".into(),
        ),
        (
            "half a header",
            vec![(right[..5].to_vec(), vec![])],
            "a reply not understood: the packet ends too early".into(),
        ),
        (
            "trailing bytes",
            vec![([&right[..], b"xy"].concat(), vec![0])],
            "a reply not understood: 2 bytes after the end of the request".into(),
        ),
        ("a kind", vec![(with(|r| r.class = 4), vec![0])], not_understood("a kind of object")),
        ("an access", vec![(with(|r| r.access = 4), vec![0])], not_understood("an access")),
        ("a state", vec![(with(|r| r.state = 5), vec![0])], not_understood("a state")),
        (
            "a name that cannot be",
            vec![(with(|r| r.name = "a/b".into()), vec![0])],
            "a reply not understood: a name holds '/', '=', ',' or a control byte".into(),
        ),
        (
            "no descriptor",
            vec![(right.clone(), vec![])],
            "a reply with 0 descriptors for 1 record".into(),
        ),
        (
            "two descriptors",
            vec![(right.clone(), vec![0, 1])],
            "a reply with 2 descriptors for 1 record".into(),
        ),
        (
            "a descriptor in another packet",
            vec![(more.clone(), vec![0]), (reply(0, 1, &[]), vec![1])],
            "a reply with 1 descriptor for 0 records".into(),
        ),
        (
            "another class",
            vec![(with(|r| r.class = 2), vec![0])],
            "\"hits\" is a BPF map, not a BPF program as declared".into(),
        ),
        (
            "a program for a map",
            vec![(right.clone(), vec![2])],
            "\"hits\" is a BPF program, not a BPF map as declared".into(),
        ),
        (
            "a link for a program",
            vec![(with(|r| r.class = 2), vec![3])],
            "\"hits\" is a BPF link, not a BPF program as declared".into(),
        ),
        ("a pipe", vec![(right.clone(), vec![4])], "\"hits\" is a pipe".into()),
        (
            "another map",
            vec![(right.clone(), vec![1])],
            format!("\"hits\" has id {other_id}, not {id} as declared"),
        ),
        (
            "more access than in the record",
            vec![(with(|r| r.access = 1), vec![0])],
            "\"hits\" has access rw, not r as declared".into(),
        ),
        (
            "no access in the record",
            vec![(with(|r| r.access = 0), vec![0])],
            "\"hits\" has access rw, not - as declared".into(),
        ),
        (
            "another name",
            vec![(with(|r| r.name = "lost".into()), vec![0])],
            "\"lost\" in place of \"hits\"".into(),
        ),
        (
            "a second record",
            vec![(reply(0, 1, &[hits.clone(), hits.clone()]), vec![0, 0])],
            "a reply with 2 records for 1 name".into(),
        ),
        ("no record", vec![(reply(0, 1, &[]), vec![])], "a reply with 0 records for 1 name".into()),
        (
            "more than was asked for, later",
            vec![(more.clone(), vec![0]), (right.clone(), vec![0])],
            "a reply with 2 records for 1 name".into(),
        ),
        (
            "a refusal with a descriptor",
            vec![(no(3, 1, "no"), vec![0])],
            "a refusal with 1 descriptor".into(),
        ),
        (
            "a packet that is too long",
            vec![(vec![0; 131_073], vec![])],
            "a reply of more than 131072 bytes".into(),
        ),
    ];
    assert_eq!(id_of(&read_only), map_id(&pin));
    for (what, packets, message) in cases {
        let run = play(&path, &mut exec(&lab, &["--agent", "agent#hits"]), |played| {
            answer(played, &get_hits(), &fds, &packets);
        });
        assert_eq!(run, failed("bpf-exec", &format!("agent#hits: get: {message}")), "{what}");
    }
}

#[test]
fn read_only_refuses_writable_maps() {
    let lab = Lab::new();
    let (path, map, pin) = (lab.path("agent"), new_map("held"), lab.array("pinned", 1));
    let read_only = open_pin_with(&pin, 8);
    let request = packet(GET, READ, 1, &string("hits"));
    let mut command = exec(&lab, &["-r", "--agent", "agent#hits"]);
    let run = play(&path, &mut command, |played| {
        let hits = reply(0, 1, &[record("hits", id_of(&map))]);
        answer(played, &request, &[map.as_fd()], &[(hits, vec![0])]);
    });
    let message = "agent#hits: get: \"hits\" has access rw, not r as requested";
    assert_eq!(run, failed("bpf-exec", message));
    let id = id_of(&read_only);
    let run = play(&path, &mut exec(&lab, &["-r", "--agent", "agent#hits"]), |played| {
        let hits = reply(0, 1, &[Record { access: 1, ..record("hits", id) }]);
        answer(played, &request, &[read_only.as_fd()], &[(hits, vec![0])]);
    });
    assert_eq!(run, Run { status: 0, stdout: "ran\n".into(), stderr: String::new() });
}

#[test]
fn read_only_refuses_named_programs_and_links() {
    let lab = Lab::new();
    let (path, pin) = (lab.path("agent"), pin_program("prog"));
    let prog = open_pin(&pin);
    let id = id_of_pinned("prog", &pin).parse().unwrap();
    let held = Record { class: 2, kind: 1, details: [0; 4], ..record("filter", id) };
    let request = packet(GET, READ, 1, &string("filter"));
    let run = play(&path, &mut exec(&lab, &["-r", "--agent", "agent#filter"]), |played| {
        let filter = reply(0, 1, std::slice::from_ref(&held));
        answer(played, &request, &[prog.as_fd()], &[(filter, vec![0])]);
    });
    let message = "agent#filter: open read-only: a program has no read-only file descriptor";
    assert_eq!(run, failed("bpf-exec", message));
    let link = Record { class: 3, ..record("link", 7) };
    let map = open_pin_with(&lab.array("pinned", 1), 8);
    let hits = Record { access: 1, ..record("hits", id_of(&map)) };
    let mut command = lab.exec(["-r", "--agent", "agent", "--", "sh", "-c", ENV]);
    let run = play(&path, &mut command, |played| {
        let client = played.asked(&packet(LIST, 0, 1, &string("")));
        client.send(&reply(0, 1, &[held.clone(), hits.clone(), link.clone()]), &[]).unwrap();
        assert_eq!(client.receive().unwrap().bytes, packet(GET, READ, 2, &string("hits")));
        client.send(&reply(0, 2, &[hits]), &[map.as_fd()]).unwrap();
    });
    let stdout = "BPF_MAP0=64\nBPF_MAP0_NAME=hits\nBPF_NUM_MAPS=1\n".into();
    assert_eq!(run, Run { status: 0, stdout, stderr: String::new() });
    let run = play(&path, &mut exec(&lab, &["-r", "--agent", "agent"]), |played| {
        let list = reply(0, 1, &[held.clone(), link.clone()]);
        answer(played, &packet(LIST, 0, 1, &string("")), &[], &[(list, vec![])]);
    });
    let stderr = "bpf-exec: warning: agent: the agent has no object that may be read or written\n";
    assert_eq!(run, Run { status: 0, stdout: "ran\n".into(), stderr: stderr.into() });
}

#[test]
fn refusal_is_reported_with_its_reason_in_one_line() {
    let lab = Lab::new();
    let path = lab.path("agent");
    for (status, reason, printed) in [
        (1, "not understood", "not understood"),
        (2, "no rule allows it", "no rule allows it"),
        (3, "nothing is stored", "nothing is stored"),
        (4, "exists", "exists"),
        (5, "unfit", "unfit"),
        (6, "full", "full"),
        (8, "changed", "changed"),
        (9, "no space left on device", "no space left on device"),
        (10, "version 1 is not known", "version 1 is not known"),
        (2, "", "refused without a reason"),
        (2, "a\nb\u{1b}[2J", "a\\nb\\x1b[2J"),
    ] {
        let run = play(&path, &mut exec(&lab, &["--agent", "agent#hits"]), |played| {
            answer(played, &get_hits(), &[], &[(no(status, 1, reason), vec![])]);
        });
        assert_eq!(run, failed("bpf-exec", &format!("agent#hits: get: {printed}")), "{status}");
        // bpf-map reports a missing name by its exit status.
        let run = play(&path, &mut lab.map(["agent", "--socket=agent", "hits"]), |played| {
            let request = packet(INFO, 0, 1, &string("hits"));
            answer(played, &request, &[], &[(no(status, 1, reason), vec![])]);
        });
        let want = failed("bpf-map", &format!("agent#hits: look up: {printed}"));
        assert_eq!(run, Run { status: if status == 3 { 1 } else { 2 }, ..want }, "{status}");
    }
}

#[test]
fn malformed_reply_to_bpf_map_is_refused() {
    let lab = Lab::new();
    let (path, map) = (lab.path("agent"), new_map("held"));
    let fds = [map.as_fd()];
    let hits = record("hits", id_of(&map));
    let one = |name: &str| reply(0, 1, &[Record { name: name.into(), ..hits.clone() }]);
    let with_fd = "a reply with file descriptors that were not requested";
    let id = packet(INFO, 0, 1, &string("hits"));
    let list = packet(LIST, LAYOUTS, 1, &string(""));
    let cases: [(&[&str], &[u8], Sent, &str); 6] = [
        (&["hits"], &id, (one("hits"), vec![0]), with_fd),
        (&["hits"], &id, (one("lost"), vec![]), "\"lost\" in place of \"hits\""),
        (&["hits"], &id, (reply(0, 1, &[]), vec![]), "a reply with 0 records for 1 name"),
        (&[], &list, (one("hits"), vec![0]), with_fd),
        (&[], &list, (reply(0, 7, &[]), vec![]), "a reply to request 7, where 1 was asked"),
        (&["--remove", "hits"], &packet(REMOVE, 0, 1, &string("hits")), (one("hits"), vec![]), {
            "a reply with 1 record for 0 names: whether it was done is not known"
        }),
    ];
    for (arguments, request, sent, message) in cases {
        let mut command = lab.map([&["agent", "--socket=agent"], arguments].concat());
        let run = play(&path, &mut command, |played| {
            answer(played, request, &fds, std::slice::from_ref(&sent));
        });
        let object = match arguments {
            [] => "agent: list",
            [_] => "agent#hits: look up",
            _ => "agent#hits: remove",
        };
        assert_eq!(run, failed("bpf-map", &format!("{object}: {message}")), "{arguments:?}");
    }
}

#[test]
fn layout_of_another_map_is_refused() {
    let lab = Lab::new();
    let (path, map) = (lab.path("agent"), new_map("held"));
    let dropped =
        |why: &str| format!("bpf-exec: warning: agent#hits: {why}: the layout is dropped\n");
    for (layout, kept, stderr) in [
        ("u32 -> u64", "u32 -> u64", String::new()),
        ("ip4->struct{a:u32,b:u32}", "ip4 -> struct{a: u32, b: u32}", String::new()),
        ("u32 -> u32", "", dropped("layout: a value of 4 bytes, expected 8")),
        ("u64 -> u64", "", dropped("layout: a key of 8 bytes, expected 4")),
        ("-> u64", "", dropped("layout: a key of 0 bytes, expected 4")),
        ("u32 -> x\u{1b}", "", dropped("layout: column 8: expected a type, found \"x\"")),
    ] {
        let mut command = lab.exec(["--agent", "agent#hits", "--", "sh", "-c", ENV]);
        let run = play(&path, &mut command, |played| {
            let hits = Record { layout: layout.into(), ..record("hits", id_of(&map)) };
            answer(played, &get_hits(), &[map.as_fd()], &[(reply(0, 1, &[hits]), vec![0])]);
        });
        let kept =
            if kept.is_empty() { String::new() } else { format!("BPF_MAP0_LAYOUT={kept}\n") };
        let stdout = format!("BPF_MAP0=64\n{kept}BPF_MAP0_NAME=hits\nBPF_NUM_MAPS=1\n");
        assert_eq!(run, Run { status: 0, stdout, stderr }, "{layout:?}");
    }
}
