//! The requests that a client sends, and errors before a request.

use super::*;
use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::played::*;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

#[test]
fn three_hundred_maps_arrive_in_several_packets() {
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

#[test]
fn no_names_request_all_objects_in_order_of_names() {
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
    // Names removed between the list and the request for the fds are skipped.
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
fn agent_objects_keep_their_order_among_other_sources() {
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
fn failed_connection_is_reported_with_its_reason() {
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
        ("file", "no process listens there"),
        ("dead", "no process listens there"),
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
fn malformed_arguments_are_reported_before_connecting() {
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
            "the following required arguments were not provided: [NAME|GLOB]... (see bpf-map agent --help)",
        ),
        (&["agent", "--timeout", "x"], "--timeout x: not a number of seconds"),
    ] {
        assert_eq!(run(&mut lab.map(arguments)), failed("bpf-map", message));
    }
    assert!(!Path::new("a").exists());
}
