//! Many names at once: the packets of what is listed and handed out.

mod common;

use common::agent::*;
use common::fds::*;
use common::*;
use std::os::fd::AsFd;

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
    assert_eq!(agent.fds(), before);
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
fn one_absent_name_and_nothing_is_handed_out() {
    let lab = Lab::new();
    let (_agent, path) = serve(&lab);
    let client = Client::connect(&path);
    done(client.put("here", new_map("here").as_fd()));
    let mut words = vec!["here"; 400];
    words.push("not here");
    let absent = (3, "nothing is stored as \"not here\"".to_owned());
    let got = client.get(&words, 0);
    assert_eq!((got.fds.len(), got.packets), (0, 1));
    assert_eq!(refusal(got), absent);
    assert_eq!(refusal(client.ask(INFO, 0, &string("not here"), &[])), absent);
}

#[test]
fn a_list_has_what_matches_the_glob() {
    let lab = Lab::new();
    let (_agent, path) = serve(&lab);
    let client = Client::connect(&path);
    assert_eq!(client.list(), []);
    let map = new_map("listed");
    for name in ["b", "filter.o:1", "a b", "a", "filter.o:12", "Z", "ä"] {
        done(client.put(name, map.as_fd()));
    }
    let all = ["Z", "a", "a b", "b", "filter.o:1", "filter.o:12", "ä"];
    for (glob, want) in [
        ("", &all[..]),
        ("*", &all),
        ("a", &["a"]),
        ("?", &["Z", "a", "b"]),
        ("??", &["ä"]),
        ("filter.o:*", &["filter.o:1", "filter.o:12"]),
        ("*:1", &["filter.o:1"]),
        ("* *", &["a b"]),
        ("[ab]", &[]),
        ("A", &[]),
        // What no name can be is no mistake.
        ("a/b", &[]),
        ("7", &[]),
    ] {
        assert_eq!(names(&done(client.ask(LIST, 0, &string(glob), &[]))), want, "{glob}");
    }
    // The longest that a name can need.
    let glob = format!("{}a", "*?".repeat(200));
    assert_eq!(done(client.ask(LIST, 0, &string(&glob), &[])), []);
    let want = (1, "a glob of 402 bytes, where no name needs more than 401".to_owned());
    assert_eq!(refusal(client.ask(LIST, 0, &string(format!("*{glob}")), &[])), want);
}

#[test]
fn a_long_list_has_every_name_while_others_come_and_go() {
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
