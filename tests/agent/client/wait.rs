//! The wait for a reply, and what ends it.

use super::*;
use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::played::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::fd::AsFd;
use std::process::Stdio;

#[test]
fn endless_reply_is_abandoned() {
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
fn silent_agent_causes_a_timeout() {
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
        let message = format!("{object}: timed out after 0.2 seconds");
        assert_eq!(run, failed("bpf-exec", &message));
    }
    // Nor one that stops in the middle of its answer.
    let mut command = lab.map(["agent", "--timeout", "0.2", "--socket=agent"]);
    let run = play(&path, &mut command, |played| {
        let client = played.accept();
        client.receive().unwrap();
        let _ = client.send(&reply(MORE, 1, &[]), &[]); // its time may be over
        assert!(client.receive().unwrap().bytes.is_empty());
    });
    let message = "agent: list: timed out after 0.2 seconds";
    assert_eq!(run, failed("bpf-map", message));
}

#[test]
fn connection_closed_without_a_reply_is_retried_five_times() {
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
fn wait_is_one_request_with_a_time_limit() {
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
                // Without a limit, or longer than the field of the request can hold.
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
    assert_eq!(run, failed("bpf-exec", "agent: wait: timed out after 9 seconds"));
}

#[test]
fn signal_ends_the_wait_and_leaves_no_socket() {
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
