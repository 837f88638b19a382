//! The wait for a name to refer to another object, by the protocol and by
//! `bpf-map agent --wait-change`.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::asleep;
use crate::support::peers::*;
use crate::support::played::*;
use crate::wait::{begin, still_waits};
use nix::sys::signal::Signal;
use std::os::fd::AsFd;

/// The body of a WAIT for a change; 0 milliseconds are without a limit.
fn change(milliseconds: u32, name: &str, id: u32) -> Vec<u8> {
    [&milliseconds.to_ne_bytes()[..], &id.to_ne_bytes(), &string(name)].concat()
}

/// Sends a WAIT for a change without a limit. The agent has received it when this returns.
#[track_caller]
fn begin_wait(client: &Client, name: &str, id: u32, other: &Client) {
    begin(client, &packet(WAIT, CHANGE, 7, &change(0, name, id)), other);
}

#[test]
fn change_before_the_request_is_answered_at_once() {
    let lab = Lab::new();
    let (_agent, path) = serve(&lab);
    let client = Client::connect(&path);
    let map = new_map("hits");
    let id = id_of(&map);
    done(client.put("hits", map.as_fd()));
    let ask = |body: &[u8]| client.ask(WAIT, CHANGE, body, &[]);
    let records = done(ask(&change(0, "hits", id + 1)));
    assert_eq!((names(&records), records[0].id), (vec!["hits"], id));
    assert_eq!(refusal(ask(&change(0, "no", id))), (3, "nothing is stored as \"no\"".into()));
    assert_eq!(refusal(ask(&change(1, "hits", id))), (7, "the time to wait is over".into()));
    assert_eq!(refusal(ask(&change(0, "hits", id)[..7])), (1, "the packet ends too early".into()));
    let two = [change(0, "hits", id), string("hits")].concat();
    assert_eq!(refusal(ask(&two)), (1, "8 bytes after the end of the request".into()));
}

#[test]
fn wait_ends_when_the_name_is_replaced_or_removed() {
    let lab = Lab::new();
    let (_agent, path) = serve(&lab);
    let (client, other) = (Client::connect(&path), Client::connect(&path));
    let (old, new) = (new_map("hits"), new_map("hits"));
    done(other.put("hits", old.as_fd()));
    begin_wait(&client, "hits", id_of(&old), &other);
    // None of these changes what the name refers to.
    done(other.put("other", new.as_fd()));
    other.remove(&["other"]);
    other.put_with(REPLACE, "hits", "u32 -> hex[8]", &old);
    still_waits(&client, &other);
    other.put_with(REPLACE, "hits", "", &new);
    assert_eq!(done(client.answer(7, false))[0].id, id_of(&new));
    begin_wait(&client, "hits", id_of(&new), &other);
    still_waits(&client, &other);
    other.remove(&["hits"]);
    let removed = (3, "nothing is stored as \"hits\"".into());
    assert_eq!(refusal(client.answer(7, false)), removed);
}

#[test]
fn all_clients_that_wait_for_a_change_are_answered() {
    let lab = Lab::new();
    let (_agent, path) = serve(&lab);
    let other = Client::connect(&path);
    let (old, new) = (new_map("hits"), new_map("hits"));
    done(other.put("hits", old.as_fd()));
    let waiting: Vec<Client> = (0..50).map(|_| Client::connect(&path)).collect();
    waiting.iter().for_each(|client| begin_wait(client, "hits", id_of(&old), &other));
    other.put_with(REPLACE, "hits", "", &new);
    for client in &waiting {
        assert_eq!(done(client.answer(7, false))[0].id, id_of(&new));
    }
}

#[test]
fn wait_for_a_change_reveals_no_hidden_name() {
    let lab = Lab::new();
    std::fs::write(lab.path("rules"), "seen:uid=1001:list\n*:uid=1001:read,write,put\n").unwrap();
    let (agent, path) = serve_all(&lab, &["--rules", "rules"], &[]);
    let (root, user) = (Client::connect(&path), Client::connect_as(&path, &User::new(1001)));
    let (old, new) = (new_map("hits"), new_map("hits"));
    let id = id_of(&old);
    for name in ["hidden", "seen"] {
        done(root.put(name, old.as_fd()));
    }
    for name in ["hidden", "absent"] {
        for id in [0, id] {
            let answer = user.ask(WAIT, CHANGE, &change(0, name, id), &[]);
            let rule = "not allowed by rule *:uid=1001:read,write,put";
            assert_eq!(refusal(answer), (2, format!("list of \"{name}\": {rule}")));
        }
    }
    // When the name becomes hidden, the client does not learn of later changes.
    begin_wait(&user, "seen", id, &root);
    still_waits(&user, &root);
    std::fs::write(lab.path("rules"), "*:uid=1001:read\n").unwrap();
    agent.signal(Signal::SIGHUP);
    let refused = "list of \"seen\": not allowed by rule *:uid=1001:read";
    assert_eq!(refusal(user.answer(7, false)), (2, refused.into()));
    root.put_with(REPLACE, "seen", "", &new);
    assert_eq!(user.get(&["seen"], READ).fds.len(), 1);
    assert!(!user.is_answered());
}

#[test]
fn rules_that_still_permit_do_not_end_the_wait() {
    let lab = Lab::new();
    let rules = "*:uid=1001:list\n";
    std::fs::write(lab.path("rules"), rules).unwrap();
    let (mut agent, path) = serve_all(&lab, &["--rules", "rules"], &[]);
    let (root, user) = (Client::connect(&path), Client::connect_as(&path, &User::new(1001)));
    let (old, new) = (new_map("hits"), new_map("hits"));
    done(root.put("hits", old.as_fd()));
    begin_wait(&user, "hits", id_of(&old), &root);
    agent.signal(Signal::SIGHUP);
    agent.line("rules reloaded");
    still_waits(&user, &root);
    root.put_with(REPLACE, "hits", "", &new);
    assert_eq!(done(user.answer(7, false))[0].id, id_of(&new));
}

/// `bpf-map agent --wait-change`, with the agent at the socket `agent` of the lab.
fn wait_change(lab: &Lab, change: &str, options: &[&str]) -> std::process::Command {
    lab.map([&["agent", "--socket=agent", "--wait-change", change], options].concat())
}

fn ended(status: i32, stdout: &str, stderr: &str) -> Run {
    Run { status, stdout: stdout.into(), stderr: stderr.into() }
}

#[test]
fn bpf_map_prints_the_new_id_and_reports_a_removed_name() {
    let lab = Lab::new();
    let (_agent, path) = serve(&lab);
    let client = Client::connect(&path);
    let maps = [new_map("hits"), new_map("hits")];
    let [old, new] = [0, 1].map(|at| id_of(&maps[at]));
    done(client.put("hits", maps[0].as_fd()));
    let change = format!("hits={old}");
    let waiting = asleep(&mut wait_change(&lab, &change, &[]));
    client.put_with(REPLACE, "hits", "", &maps[1]);
    let printed = format!("{new}\n");
    assert_eq!(waiting.run(), ended(0, &printed, ""));
    // It has changed already.
    assert_eq!(run(&mut wait_change(&lab, &change, &["--timeout=20"])), ended(0, &printed, ""));
    let unchanged = format!("hits={new}");
    let late = "bpf-map: agent#hits: wait for a change: timed out after 0.01 seconds\n";
    let timed = run(&mut wait_change(&lab, &unchanged, &["--timeout=0.01"]));
    assert_eq!(timed, ended(2, "", late));
    let waiting = asleep(&mut wait_change(&lab, &unchanged, &[]));
    client.remove(&["hits"]);
    let removed = "bpf-map: agent#hits: wait for a change: nothing is stored as \"hits\"\n";
    assert_eq!(waiting.run(), ended(1, "", removed));
    assert_eq!(run(&mut wait_change(&lab, &change, &[])), ended(1, "", removed));
}

#[test]
fn malformed_wait_change_is_a_usage_error() {
    let lab = Lab::new();
    let no_id = "not NAME=ID with the id of an object";
    for (change, cause) in [
        ("hits", no_id),
        ("hits=", no_id),
        ("hits=x", no_id),
        ("hits=1=2", no_id),
        ("hits=-1", no_id),
        ("hits=4294967296", no_id),
        ("=1", "a name is empty"),
        ("a/b=1", "a name holds '/', '=', ',' or a control byte"),
    ] {
        let line = format!("bpf-map: --wait-change {change}: {cause}");
        fails(&mut wait_change(&lab, change, &[]), 2, &line);
    }
    for other in ["name", "--json", "--remove"] {
        let run = run(&mut wait_change(&lab, "hits=1", &[other]));
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{other}");
    }
}

#[test]
fn reply_without_a_change_is_an_error() {
    let lab = Lab::new();
    let request = packet(WAIT, CHANGE, 1, &change(0, "hits", 5));
    for (records, cause) in [
        (vec![record("hits", 5)], "a reply without a change"),
        (vec![record("other", 6)], "\"other\" in place of \"hits\""),
        (vec![], "a reply with 0 records for 1 name"),
    ] {
        let run = play(&lab.path("agent"), &mut wait_change(&lab, "hits=5", &[]), |played| {
            let client = played.asked(&request);
            client.send(&reply(0, 1, &records), &[]).unwrap();
            let _ = client.receive();
        });
        let line = format!("bpf-map: agent#hits: wait for a change: {cause}\n");
        assert_eq!(run, ended(2, "", &line));
    }
}
