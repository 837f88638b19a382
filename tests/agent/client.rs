//! `bpf-exec --agent` and `bpf-map agent`, with an agent that the test plays, packet by packet,
//! as wrong as it likes.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::played::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

/// One packet of an answer: its bytes, and its descriptors by their place in a list.
type Sent = (Vec<u8>, Vec<usize>);

/// Answers the one request that is to come with these packets, as long as the client takes them.
fn answer(played: &Played, request: &[u8], fds: &[BorrowedFd], packets: &[Sent]) {
    let client = played.asked(request);
    for (bytes, which) in packets {
        let fds: Vec<BorrowedFd> = which.iter().map(|&at| fds[at]).collect();
        if client.send(bytes, &fds).is_err() {
            return;
        }
    }
    // Whatever it says next: that it has gone.
    let _ = client.receive();
}

/// bpf-exec, and a command that must not run.
fn exec(lab: &Lab, arguments: &[&str]) -> Command {
    lab.exec([arguments, &["--", "echo", "ran"]].concat())
}

fn failed(program: &str, message: &str) -> Run {
    let status = if program == "bpf-exec" { 125 } else { 2 };
    Run { status, stdout: String::new(), stderr: format!("{program}: {message}\n") }
}

/// A request for hits, as bpf-exec sends it first.
fn get_hits() -> Vec<u8> {
    packet(GET, READ | WRITE, 1, &string("hits"))
}

#[test]
fn a_reply_that_is_not_what_was_asked_for_is_refused_and_nothing_runs() {
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
    let strange = "a reply not understood: a reply that holds what is not known: ";
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
            "cut off",
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
            "\"hits\" is a BPF map, and was said to be a BPF program".into(),
        ),
        (
            "a program for a map",
            vec![(right.clone(), vec![2])],
            "\"hits\" is a BPF program, and was said to be a BPF map".into(),
        ),
        (
            "a link for a program",
            vec![(with(|r| r.class = 2), vec![3])],
            "\"hits\" is a BPF link, and was said to be a BPF program".into(),
        ),
        ("a pipe", vec![(right.clone(), vec![4])], "\"hits\" is a pipe".into()),
        (
            "another map",
            vec![(right.clone(), vec![1])],
            format!("\"hits\" has id {other_id}, and was said to have {id}"),
        ),
        (
            "more access than said",
            vec![(with(|r| r.access = 1), vec![0])],
            "\"hits\" has access rw, and was said to have r".into(),
        ),
        (
            "no access said",
            vec![(with(|r| r.access = 0), vec![0])],
            "\"hits\" has access rw, and was said to have -".into(),
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
fn with_read_only_nothing_that_may_write_is_taken() {
    let lab = Lab::new();
    let (path, map, pin) = (lab.path("agent"), new_map("held"), lab.array("pinned", 1));
    let read_only = open_pin_with(&pin, 8);
    let request = packet(GET, READ, 1, &string("hits"));
    let mut command = exec(&lab, &["-r", "--agent", "agent#hits"]);
    let run = play(&path, &mut command, |played| {
        let hits = reply(0, 1, &[record("hits", id_of(&map))]);
        answer(played, &request, &[map.as_fd()], &[(hits, vec![0])]);
    });
    let message = "agent#hits: get: \"hits\" has access rw, and was asked with r";
    assert_eq!(run, failed("bpf-exec", message));
    let id = id_of(&read_only);
    let run = play(&path, &mut exec(&lab, &["-r", "--agent", "agent#hits"]), |played| {
        let hits = reply(0, 1, &[Record { access: 1, ..record("hits", id) }]);
        answer(played, &request, &[read_only.as_fd()], &[(hits, vec![0])]);
    });
    assert_eq!(run, Run { status: 0, stdout: "ran\n".into(), stderr: String::new() });
}

#[test]
fn with_read_only_programs_and_links_are_refused_by_name_and_passed_over_in_a_list() {
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
    let message = "agent#filter: open read-only: a program has no read-only descriptor";
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
    let stderr = "bpf-exec: warning: agent: nothing is held there that may be read or written\n";
    assert_eq!(run, Run { status: 0, stdout: "ran\n".into(), stderr: stderr.into() });
}

#[test]
fn what_an_agent_refuses_is_told_with_its_reason_in_one_line() {
    let lab = Lab::new();
    let path = lab.path("agent");
    for (status, reason, told) in [
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
        assert_eq!(run, failed("bpf-exec", &format!("agent#hits: get: {told}")), "{status}");
        // Of a name that is absent bpf-map tells by its status.
        let run = play(&path, &mut lab.map(["agent", "--socket=agent", "hits"]), |played| {
            let request = packet(INFO, 0, 1, &string("hits"));
            answer(played, &request, &[], &[(no(status, 1, reason), vec![])]);
        });
        let want = failed("bpf-map", &format!("agent#hits: look up: {told}"));
        assert_eq!(run, Run { status: if status == 3 { 1 } else { 2 }, ..want }, "{status}");
    }
}

#[test]
fn a_reply_to_bpf_map_is_checked_too() {
    let lab = Lab::new();
    let (path, map) = (lab.path("agent"), new_map("held"));
    let fds = [map.as_fd()];
    let hits = record("hits", id_of(&map));
    let one = |name: &str| reply(0, 1, &[Record { name: name.into(), ..hits.clone() }]);
    let with_fd = "a reply with descriptors, where none was asked for";
    let id = packet(INFO, 0, 1, &string("hits"));
    let list = packet(LIST, 0, 1, &string(""));
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
fn a_reply_without_an_end_is_given_up() {
    let lab = Lab::new();
    let path = lab.path("agent");
    let long = Record { layout: "x".repeat(60 << 10), ..record("hits", 1) };
    let many: Vec<Record> = (0..2000).map(|_| record("h", 1)).collect();
    for packet in [reply(MORE, 1, &[]), reply(MORE, 1, &[long]), reply(MORE, 1, &many)] {
        let run = play(&path, &mut lab.map(["agent", "--socket=agent"]), |played| {
            let client = played.accept();
            client.receive().unwrap();
            while client.send(&packet, &[]).is_ok() {}
        });
        assert_eq!(run, failed("bpf-map", "agent: list: a reply without an end"));
    }
}

#[test]
fn an_agent_that_does_not_answer_is_left_when_the_time_is_over() {
    let lab = Lab::new();
    let path = lab.path("agent");
    for (arguments, object) in [
        (&["agent#hits"][..], "agent#hits: get"),
        (&["agent"], "agent: list"),
        (&["agent#hits", "--wait"], "agent#hits: wait"),
    ] {
        let mut command = exec(&lab, &[&["--timeout", "0.2", "--agent"], arguments].concat());
        let run = play(&path, &mut command, |played| {
            let client = played.accept();
            client.receive().unwrap();
            assert!(client.receive().unwrap().bytes.is_empty(), "it goes without another word");
        });
        let message = format!("{object}: nothing came of it within 0.2 seconds");
        assert_eq!(run, failed("bpf-exec", &message));
    }
    // Nor one that stops in the middle of its answer.
    let mut command = lab.map(["agent", "--timeout", "0.2", "--socket=agent"]);
    let run = play(&path, &mut command, |played| {
        let client = played.accept();
        client.receive().unwrap();
        client.send(&reply(MORE, 1, &[]), &[]).unwrap();
        assert!(client.receive().unwrap().bytes.is_empty());
    });
    let message = "agent: list: nothing came of it within 0.2 seconds";
    assert_eq!(run, failed("bpf-map", message));
}

#[test]
fn a_connection_that_ends_without_a_reply_is_made_again_five_times() {
    let lab = Lab::new();
    let (path, map) = (lab.path("agent"), new_map("held"));
    let hits = record("hits", id_of(&map));
    let numbered = |number| packet(GET, READ | WRITE, number, &string("hits"));
    for ends in [1, 5] {
        let run = play(&path, &mut exec(&lab, &["--agent", "agent#hits"]), |played| {
            for number in 1..=ends {
                drop(played.asked(&numbered(number)));
            }
            // Half a reply is none.
            let number = ends + 1;
            let hits = reply(0, number, std::slice::from_ref(&hits));
            answer(played, &numbered(number), &[map.as_fd()], &[(hits, vec![0])]);
        });
        let want = Run { status: 0, stdout: "ran\n".into(), stderr: String::new() };
        assert_eq!(run, want, "{ends}");
    }
    let run = play(&path, &mut exec(&lab, &["--agent", "agent#hits"]), |played| {
        for number in 1..=6 {
            let client = played.asked(&numbered(number));
            // Half a reply is none, and an empty packet is the end.
            let half = if number % 2 == 0 { reply(MORE, number, &[]) } else { Vec::new() };
            client.send(&half, &[]).unwrap();
        }
    });
    assert_eq!(run, failed("bpf-exec", "agent#hits: get: the agent ended the connection"));
}

#[test]
fn three_hundred_maps_come_in_as_many_packets_as_it_takes() {
    let lab = Lab::new();
    let path = lab.path("agent");
    let maps: Vec<OwnedFd> = (0..300).map(|_| new_map("held")).collect();
    let names: Vec<String> = (0..300).map(|i| format!("m{i:03}")).collect();
    let fds: Vec<BorrowedFd> = maps.iter().map(AsFd::as_fd).collect();
    let records: Vec<Record> =
        names.iter().zip(&maps).map(|(name, map)| record(name, id_of(map))).collect();
    let argument = format!("agent#{}", names.join(","));
    let report = "env | grep '^BPF_MAP[0-9]*=' | while IFS='=' read -r variable fd; do \
         eval \"name=\\${${variable}_NAME-}\"; \
         echo $name $(sed -n 's/^map_id://p' /proc/self/fdinfo/$fd); done | sort";
    let mut command = lab.exec(["--agent", &argument, "--", "sh", "-c", report]);
    let run = play(&path, &mut command, |played| {
        let client = played.asked(&packet(GET, READ | WRITE, 1, &strings(&names[..253])));
        for (range, flags) in [(0..200, MORE), (200..253, 0)] {
            client.send(&reply(flags, 1, &records[range.clone()]), &fds[range]).unwrap();
        }
        let next = packet(GET, READ | WRITE, 2, &strings(&names[253..]));
        assert_eq!(client.receive().unwrap().bytes, next);
        client.send(&reply(0, 2, &records[253..]), &fds[253..]).unwrap();
    });
    let line = |(name, map)| format!("{name} {}\n", id_of(map));
    let stdout = names.iter().zip(&maps).map(line).collect();
    assert_eq!(run, Run { status: 0, stdout, stderr: String::new() });
}

/// Prints what the contract has of one map.
const ENV: &str = "env | grep ^BPF_ | grep -v _ID= | sort";

#[test]
fn a_layout_is_believed_only_if_it_is_the_maps() {
    let lab = Lab::new();
    let (path, map) = (lab.path("agent"), new_map("held"));
    let dropped =
        |why: &str| format!("bpf-exec: warning: agent#hits: {why}: the layout is dropped\n");
    for (layout, kept, stderr) in [
        ("u32 -> u64", "u32 -> u64", String::new()),
        ("ip4->struct{a:u32,b:u32}", "ip4 -> struct{a: u32, b: u32}", String::new()),
        ("u32 -> u32", "", dropped("layout: a value of 4 bytes, where the map's is 8")),
        ("u64 -> u64", "", dropped("layout: a key of 8 bytes, where the map's is 4")),
        ("-> u64", "", dropped("layout: a key of 0 bytes, where the map's is 4")),
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

#[test]
fn without_names_all_that_may_be_had_comes_in_the_order_of_names() {
    let lab = Lab::new();
    let path = lab.path("agent");
    let maps: Vec<OwnedFd> = (0..3).map(|_| new_map("held")).collect();
    let fds: Vec<BorrowedFd> = maps.iter().map(AsFd::as_fd).collect();
    let [b, a, c] = [("b", 0), ("a", 1), ("c", 2)].map(|(name, at)| record(name, id_of(&maps[at])));
    let none = Record { access: 0, ..record("none", 1) };
    let listed = [reply(MORE, 1, &[b.clone(), none]), reply(0, 1, &[a.clone(), c.clone()])];
    let all = packet(GET, READ | WRITE, 2, &strings(&["a", "b", "c"]));
    let mut command = lab.exec(["--agent", "agent", "--", "sh", "-c", ENV]);
    let run = play(&path, &mut command, |played| {
        let client = played.asked(&packet(LIST, 0, 1, &string("")));
        for packet in &listed {
            client.send(packet, &[]).unwrap();
        }
        assert_eq!(client.receive().unwrap().bytes, all);
        let records = [a.clone(), b.clone(), c.clone()];
        client.send(&reply(0, 2, &records), &[fds[1], fds[0], fds[2]]).unwrap();
    });
    let names = ["a", "b", "c"].iter().enumerate();
    let lines = names.map(|(n, name)| format!("BPF_MAP{n}={}\nBPF_MAP{n}_NAME={name}\n", 64 + n));
    let stdout = lines.collect::<String>() + "BPF_NUM_MAPS=3\n";
    assert_eq!(run, Run { status: 0, stdout, stderr: String::new() });
    // What goes between the list and the descriptors is passed over.
    let run = play(&path, &mut command, |played| {
        let client = played.asked(&packet(LIST, 0, 1, &string("")));
        for packet in &listed {
            client.send(packet, &[]).unwrap();
        }
        assert_eq!(client.receive().unwrap().bytes, all);
        client.send(&no(3, 2, "nothing is stored as \"b\""), &[]).unwrap();
        for (number, name) in (3..).zip(["a", "b", "c"]) {
            let request = packet(GET, READ | WRITE, number, &string(name));
            assert_eq!(client.receive().unwrap().bytes, request);
            match name {
                "a" => client.send(&reply(0, number, std::slice::from_ref(&a)), &fds[1..2]),
                "c" => client.send(&reply(0, number, std::slice::from_ref(&c)), &fds[2..]),
                _ => client.send(&no(3, number, "nothing is stored as \"b\""), &[]),
            }
            .unwrap();
        }
    });
    let stdout = "BPF_MAP0=64\nBPF_MAP0_NAME=a\nBPF_MAP1=65\nBPF_MAP1_NAME=c\nBPF_NUM_MAPS=2\n";
    assert_eq!(run, Run { status: 0, stdout: stdout.into(), stderr: String::new() });
}

#[test]
fn names_are_waited_for_in_one_request_that_says_how_long() {
    let lab = Lab::new();
    let (path, maps) = (lab.path("agent"), [new_map("held"), new_map("held")]);
    let records = [record("a", id_of(&maps[0])), record("b", id_of(&maps[1]))];
    let names = strings(&["a", "b"]);
    for timeout in [None, Some("3000"), Some("100000000")] {
        let options = timeout.map_or(vec![], |seconds| vec!["--timeout", seconds]);
        let arguments = [&options[..], &["--wait", "--agent", "agent#a,b"]].concat();
        let run = play(&path, &mut exec(&lab, &arguments), |played| {
            let client = played.accept();
            let request = client.receive().unwrap().bytes;
            let milliseconds = u32::from_ne_bytes(request[8..12].try_into().unwrap());
            let body = [&milliseconds.to_ne_bytes(), &names[..]].concat();
            assert_eq!(request, packet(WAIT, 0, 1, &body));
            match timeout {
                Some("3000") => assert!((2_980_000..=3_000_001).contains(&milliseconds)),
                // For ever, or longer than the request can say.
                _ => assert_eq!(milliseconds, 0),
            }
            client.send(&reply(0, 1, &records), &[]).unwrap();
            let request = packet(GET, READ | WRITE, 2, &names);
            assert_eq!(client.receive().unwrap().bytes, request);
            client.send(&reply(0, 2, &records), &[maps[0].as_fd(), maps[1].as_fd()]).unwrap();
        });
        assert_eq!(run, Run { status: 0, stdout: "ran\n".into(), stderr: String::new() });
    }
    // The agent's clock may be the first to say that the time is over.
    let mut command = exec(&lab, &["--timeout", "9", "--wait", "--agent", "agent#a,b"]);
    let run = play(&path, &mut command, |played| {
        let client = played.accept();
        client.receive().unwrap();
        client.send(&no(7, 1, "too late"), &[]).unwrap();
    });
    assert_eq!(run, failed("bpf-exec", "agent: wait: nothing came of it within 9 seconds"));
}

#[test]
fn a_signal_ends_the_wait_and_leaves_no_socket() {
    let lab = Lab::new();
    let before = lab.files();
    let path = lab.path("agent");
    for import in [&[][..], &["--import", "uds"]] {
        let played = Played::listen(&path);
        let mut command = exec(&lab, &[import, &["--wait", "--agent", "agent#a"]].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let client = played.accept();
        client.receive().unwrap();
        assert_eq!(lab.path("uds").exists(), !import.is_empty());
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
        eventually("its end", || child.try_wait().unwrap().is_some());
        let run = Run::from(child.wait_with_output().unwrap());
        let stdout = String::new();
        assert_eq!(run, Run { status: 128 + 15, stdout, stderr: String::new() }, "{import:?}");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(lab.files(), before);
    }
}

#[test]
fn an_agents_objects_keep_their_place_among_other_sources_and_may_be_named() {
    let lab = Lab::new();
    let (path, map) = (lab.path("agent"), new_map("held"));
    lab.array("first", 1);
    lab.array("last", 1);
    let mut command = lab.exec(["--pin", "/sys/fs/bpf/first", "--agent", "mine=agent#hits"]);
    command.args(["--pin", "/sys/fs/bpf/last", "--", "sh", "-c", ENV]);
    let hits = reply(0, 1, &[record("hits", id_of(&map))]);
    let run = play(&path, &mut command, |played| {
        answer(played, &get_hits(), &[map.as_fd()], &[(hits.clone(), vec![0])]);
    });
    let names = ["first", "mine", "last"].iter().enumerate();
    let lines = names.map(|(n, name)| format!("BPF_MAP{n}={}\nBPF_MAP{n}_NAME={name}\n", 64 + n));
    let stdout = lines.collect::<String>() + "BPF_NUM_MAPS=3\n";
    assert_eq!(run, Run { status: 0, stdout, stderr: String::new() });
}

#[test]
fn where_nobody_can_be_reached_the_reason_is_told() {
    let lab = Lab::new();
    let datagram = std::os::unix::net::UnixDatagram::bind(lab.path("datagram")).unwrap();
    let stream = std::os::unix::net::UnixListener::bind(lab.path("stream")).unwrap();
    drop(Played::listen(&lab.path("dead")));
    std::fs::write(lab.path("file"), "").unwrap();
    let long = "x".repeat(256);
    for (path, cause) in [
        ("none", "no such file or directory"),
        ("none/agent", "no such file or directory"),
        ("file/agent", "not a directory"),
        ("file", "nobody listens there"),
        ("dead", "nobody listens there"),
        ("datagram", "not an agent's socket"),
        ("stream", "not an agent's socket"),
        (&long, "file name too long"),
    ] {
        let message = format!("{path}: connect: {cause}");
        let argument = format!("{path}#hits");
        assert_eq!(run(&mut exec(&lab, &["--agent", &argument])), failed("bpf-exec", &message));
        assert_eq!(run(&mut lab.map(["agent", "--socket", path])), failed("bpf-map", &message));
    }
    drop((datagram, stream));
}

#[test]
fn agent_below_a_long_path_is_connected_to() {
    let lab = Lab::new();
    let hits = lab.array("hits", 1);
    let directory = lab.path(&format!("{}/{}", "x".repeat(100), "y".repeat(100)));
    std::fs::create_dir_all(&directory).unwrap();
    // The agent binds a path of a few bytes.
    let mut command = lab.agent(["--state", "/sys/fs/bpf/agent", "--socket", "socket"]);
    let agent = Agent::start(command.current_dir(&directory));
    let socket = directory.join("socket");
    let put = run(lab.map(["put"]).arg(&hits).arg("--socket").arg(&socket));
    assert_eq!(put, Run { status: 0, stdout: String::new(), stderr: String::new() });
    let mut source = socket.into_os_string();
    source.push("#hits");
    let mut command = lab.exec(["--agent"]);
    command.arg(source).args(["--", "sh", "-c", "echo $BPF_MAP0 $BPF_MAP0_NAME"]);
    assert_eq!(
        run(&mut command),
        Run { status: 0, stdout: "64 hits\n".into(), stderr: String::new() }
    );
    agent.stop();
}

#[test]
fn what_is_wrong_with_the_arguments_is_told_before_anybody_is_asked() {
    let lab = Lab::new();
    for (arguments, message) in [
        (&["--agent", "a#"][..], "--agent a#: a name is empty"),
        (&["--agent", "a#x,,y"], "--agent a#x,,y: a name is empty"),
        (&["--agent", "/a#b/c#12"], "--agent /a#b/c#12: a name is a number"),
        (&["--agent", "1=a#x"], "--agent 1=a#x: the name is a number"),
        (&["--agent", "b=a"], "--agent b=a: NAME= needs one name after #"),
        (&["--agent", "b=a#x,y"], "--agent b=a#x,y: NAME= needs one name after #"),
        (&["--agent", "a", "--wait"], "--agent a: --wait needs names: --agent a#NAME,…"),
        (
            &["--wait", "--id", "1"],
            "the following required arguments were not provided: \
             --agent <[NAME=]PATH[#NAME,…]> (see bpf-exec --help)",
        ),
    ] {
        assert_eq!(run(&mut exec(&lab, arguments)), failed("bpf-exec", message));
    }
    for (arguments, message) in [
        (&["agent", "b/c"][..], "\"b/c\": a name holds '/', '=', ',' or a control byte"),
        (
            &["agent", "--remove"],
            "the following required arguments were not provided: [NAME|GLOB]... (see bpf-map --help)",
        ),
        (&["agent", "--timeout", "x"], "--timeout x: not a number of seconds"),
    ] {
        assert_eq!(run(&mut lab.map(arguments)), failed("bpf-map", message));
    }
    assert!(!Path::new("a").exists());
}
