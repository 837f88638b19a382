//! Many names at once: the packets of what is listed and handed out.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::peers::serve_all;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::Stdio;

const FULL: &str = "0123456789";

#[test]
fn any_number_of_names_is_handed_out_in_the_order_asked() {
    let lab = Lab::new();
    let (agent, path) = serve(&lab);
    let client = Client::connect(&path);
    let put = |name: &str| {
        let map = new_map("many");
        done(client.put(name, map.as_fd()));
        (name.to_owned(), id_of(&map))
    };
    let short: Vec<_> = (0..600).map(|n| put(&format!("m{n}"))).collect();
    let long: Vec<_> = (0..254).map(|n| put(&format!("x{}{n:0>99}", FULL.repeat(10)))).collect();
    let before = agent.fds();
    for (count, packets) in [(1, 1), (2, 1), (253, 1), (254, 2), (600, 3)] {
        // Not in the order in which they are stored.
        let asked: Vec<_> = short[..count].iter().rev().collect();
        check_get(&client, &asked, packets);
    }
    // A packet is closed after 32 KiB too: with records of 260 bytes after 127.
    check_get(&client, &long.iter().collect::<Vec<_>>(), 2);
    check_get(&client, &long[..127].iter().collect::<Vec<_>>(), 1);
    check_get(&client, &long[..128].iter().collect::<Vec<_>>(), 2);
    // The same name over and over is as many descriptors.
    check_get(&client, &[&short[7], &short[7], &short[3], &short[7]], 1);
    check_get(&client, &[&short[7]; 300], 2);
    agent.fds().assert_more(0, &before);
}

#[track_caller]
fn check_get(client: &Client, asked: &[&(String, u32)], packets: usize) {
    let words: Vec<&str> = asked.iter().map(|(name, _)| name.as_str()).collect();
    let got = client.get(&words, 0);
    assert_eq!((got.status, got.reason.as_str(), got.packets), (0, "", packets));
    assert_eq!(names(&got.records), words);
    let ids: Vec<u32> = asked.iter().map(|(_, id)| *id).collect();
    assert_eq!(got.fds.iter().map(id_of).collect::<Vec<_>>(), ids);
    assert_eq!(got.records.iter().map(|record| record.id).collect::<Vec<_>>(), ids);
}

#[test]
fn get_ends_with_the_first_name_that_is_refused() {
    let lab = Lab::new();
    let (mut agent, path) = serve(&lab);
    let client = Client::connect(&path);
    done(client.put("here", new_map("here").as_fd()));
    let absent = (3, "nothing is stored as \"not here\"".to_owned());
    // Each packet is decided as a whole: one with such a name has no descriptors.
    for (names, packets) in [(0, 1), (200, 1), (252, 1), (253, 2), (400, 2), (506, 3)] {
        let mut words = vec!["here"; names];
        words.push("not here");
        let got = client.get(&words, 0);
        let sent = (packets - 1) * 253;
        assert_eq!((got.fds.len(), got.records.len(), got.packets), (sent, sent, packets));
        assert_eq!((got.status, got.reason), absent, "{names}");
        let pid = std::process::id();
        assert!(
            agent
                .line("get \"not here\": ")
                .starts_with(&format!("bpf-agent: uid 0 gid 0 pid {pid} "))
        );
    }
    assert_eq!(refusal(client.ask(INFO, 0, &string("not here"), &[])), absent);
    // The log has a line "granted" for each fd that was sent.
    let granted = agent.log.iter().filter(|line| line.contains("get \"here\"")).count();
    assert_eq!(granted, 253 + 253 + 506);
}

#[test]
fn get_opens_each_descriptor_once() {
    let lab = Lab::new();
    let state = format!("{BPFFS}/agent");
    let (agent, path) = serve_all(&lab, &["--state", &state], &[]);
    let client = Client::connect(&path);
    done(client.put("hits", new_map("once").as_fd()));
    let mut strace = lab.program("strace", ["-o", "trace", "-e", "trace=bpf,sendmsg", "-p"]);
    strace.arg(agent.pid().to_string()).stderr(Stdio::piped());
    let mut strace = strace.spawn().expect("strace");
    let mut line = String::new();
    BufReader::new(strace.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.ends_with(" attached\n"), "{line}");
    // Read-only, which is not what the agent holds.
    assert_eq!(client.get(&["hits"], READ).fds.len(), 1);
    assert_eq!(agent.stop().status, 0);
    strace.wait().unwrap();
    let trace = std::fs::read_to_string(lab.path("trace")).unwrap();
    let opened = trace.lines().filter(|line| line.contains("BPF_OBJ_GET,")).count();
    let sent = trace.lines().filter(|line| line.contains("SCM_RIGHTS")).count();
    assert_eq!((opened, sent), (1, 1), "{trace}");
}

#[test]
fn list_has_the_names_that_match_the_glob() {
    let lab = Lab::new();
    let (_agent, path) = serve(&lab);
    let client = Client::connect(&path);
    assert_eq!(client.list(), []);
    let map = new_map("listed");
    for name in ["b", "filter.o#1", "a b", "a", "filter.o#12", "Z", "ä"] {
        done(client.put(name, map.as_fd()));
    }
    let all = ["Z", "a", "a b", "b", "filter.o#1", "filter.o#12", "ä"];
    for (glob, want) in [
        ("", &all[..]),
        ("*", &all),
        ("a", &["a"]),
        ("?", &["Z", "a", "b"]),
        ("??", &["ä"]),
        ("filter.o#*", &["filter.o#1", "filter.o#12"]),
        ("*#1", &["filter.o#1"]),
        ("* *", &["a b"]),
        ("[ab]", &[]),
        ("A", &[]),
        // A pattern that matches no possible name is accepted.
        ("a/b", &[]),
        ("7", &[]),
    ] {
        assert_eq!(names(&done(client.ask(LIST, 0, &string(glob), &[]))), want, "{glob}");
    }
    // The longest that a name can need.
    let glob = format!("{}a", "*?".repeat(200));
    assert_eq!(done(client.ask(LIST, 0, &string(&glob), &[])), []);
    let want = (1, "a glob of 402 bytes, longer than 401".to_owned());
    assert_eq!(refusal(client.ask(LIST, 0, &string(format!("*{glob}")), &[])), want);
}

#[test]
fn long_list_is_complete_while_names_change() {
    let lab = Lab::new();
    let (_agent, path) = serve(&lab);
    let client = Client::connect(&path);
    let map = new_map("long");
    let mut stay: Vec<String> = (0..1200).map(|n| format!("n{n}")).collect();
    for name in &stay {
        done(client.put(name, map.as_fd()));
    }
    stay.sort_unstable();
    let answer = client.ask(LIST, 0, &string(""), &[]);
    assert!(answer.packets > 1, "{}", answer.packets);
    assert_eq!(names(&done(answer)), stay);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let other = Client::connect(&path);
            // Between the names that stay.
            let gone: Vec<String> = (0..60).map(|n| format!("n{}x", n * 20)).collect();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for name in &gone {
                    done(other.put(name, map.as_fd()));
                }
                other.remove(&gone);
            }
        });
        let mut changes = 0;
        for _ in 0..40 {
            let listed = client.list();
            let found = names(&listed);
            assert!(found.is_sorted_by(|a, b| a < b), "{found:?}");
            let steady: Vec<&str> = found.iter().copied().filter(|n| !n.ends_with('x')).collect();
            assert_eq!(steady, stay);
            changes += usize::from(found.len() != stay.len());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(changes > 0, "nothing came and went");
    });
}
