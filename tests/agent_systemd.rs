//! The agent under a supervisor that speaks systemd's protocol, and keeps its descriptors.

mod common;

use common::agent::*;
use common::fds::*;
use common::supervisor::{Supervisor, stored_as};
use common::*;
use nix::sys::signal::Signal;
use std::os::fd::AsFd;

const AGENT: [&str; 2] = ["--socket", "agent"];

#[test]
fn all_that_was_put_is_handed_back_after_a_stop_and_after_a_kill() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let mut agent = supervisor.start(&lab, &AGENT, &[]);
    assert_eq!(agent.log, ["bpf-agent: serves on 1 socket, holds 0 objects"]);
    let client = Client::connect(&lab.path("agent"));
    let array = lab.array("array", 1);
    let (program, link) = (pin_program("program"), pin_link("link"));
    client.put_with(0, "map", "", open_pin(&array));
    for (name, mode) in [("reads", READ), ("writes", WRITE)] {
        client.put_with(0, name, "", &client.get(&["map"], mode).fds[0]);
    }
    client.put_with(0, "a prog", "", open_pin(&program));
    client.put_with(0, "größe:1", "u32 -> u64", new_map("more"));
    client.put_with(0, "a.link", "", open_pin(&link));
    for pin in [array, program, link] {
        std::fs::remove_file(pin).unwrap();
    }
    let before = client.held();
    let bounds: Vec<(&str, u8, u8)> =
        before.iter().map(|(r, _)| (&*r.name, r.bound, r.state)).collect();
    let all =
        [("a prog", 3), ("a.link", 3), ("größe:1", 3), ("map", 3), ("reads", 1), ("writes", 2)];
    assert_eq!(bounds, all.map(|(name, bound)| (name, bound, 2)));
    let files = ["a%20prog", "a%2Elink", "gr%C3%B6%C3%9Fe%3A1", "map", "reads", "writes"];
    let mut names: Vec<String> =
        before.iter().zip(files).map(|((record, _), name)| stored_as(record, name)).collect();
    names.sort();
    for end in [Agent::stop, Agent::kill] {
        assert_eq!(supervisor.names(), names);
        end(agent);
        agent = supervisor.start(&lab, &AGENT, &[]);
        assert_eq!(agent.log, ["bpf-agent: serves on 1 socket, holds 6 objects"]);
        // The supervisor does not keep layouts.
        let mut now = Client::connect(&lab.path("agent")).held();
        assert_eq!(now[2].0.layout, "");
        now[2].0.layout = before[2].0.layout.clone();
        assert_eq!(now, before);
    }
}

#[test]
fn the_supervisor_is_told_what_the_agent_does() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let agent = supervisor.start(&lab, &AGENT, &[]);
    agent.signal(Signal::SIGHUP);
    let told = supervisor.hear("READY=1");
    assert_eq!(told.len(), 2, "{told:?}");
    let time = told[0].strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("a time").trim_end();
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: now is where the time is written.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) }, 0);
    let ago = now.tv_sec - time.parse::<i64>().unwrap() / 1_000_000;
    assert!((0..60).contains(&ago), "{time}");
    assert_eq!(told[1], "READY=1\n");
    assert_eq!(agent.stop().status, 0);
    assert_eq!(supervisor.hear("STOPPING=1"), ["STOPPING=1\n"]);
}

#[test]
fn one_object_has_several_names() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let agent = supervisor.start(&lab, &AGENT, &[]);
    let client = Client::connect(&lab.path("agent"));
    let array = lab.array("array", 1);
    let program = open_pin(&pin_program("program"));
    let (map, link) = (open_pin(&array), open_pin(&pin_link("link")));
    for (kind, fd) in [("map", &map), ("prog", &program), ("link", &link)] {
        // One descriptor each time, which the supervisor would store once.
        for n in ["a", "b", "c"] {
            client.put_with(0, &format!("{kind} {n}"), "", fd);
        }
    }
    done(client.ask(REMOVE, 0, &strings(&["map a", "prog b"]), &[]));
    let before = client.held();
    assert_eq!(before.len(), 7);
    agent.kill();
    let _agent = supervisor.start(&lab, &AGENT, &[]);
    assert_eq!(Client::connect(&lab.path("agent")).held(), before);
}

#[test]
fn what_is_replaced_or_removed_is_stored_no_more() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let agent = supervisor.start(&lab, &AGENT, &[]);
    let client = Client::connect(&lab.path("agent"));
    let (old, new) = (new_map("old"), new_map("new"));
    let kept = client.put_with(0, "kept", "", &old);
    client.put_with(0, "replaced", "", &old);
    client.put_with(0, "removed", "", &new);
    let replaced = client.put_with(REPLACE, "replaced", "", &new);
    // Replaced by itself.
    client.put_with(REPLACE, "kept", "u32 -> u64", &old);
    done(client.ask(REMOVE, 0, &string("removed"), &[]));
    let last = [stored_as(&kept[0], "kept"), stored_as(&replaced[0], "replaced")];
    let mut ids = last.map(|name| name.split(' ').nth(3).unwrap().to_owned()).to_vec();
    let stored: Vec<String> = supervisor.names();
    assert_eq!(stored.len(), 2, "{stored:?}");
    let mut found: Vec<String> =
        stored.iter().map(|name| name.split(' ').nth(3).unwrap().to_owned()).collect();
    ids.sort();
    found.sort();
    assert_eq!(found, ids);
    let before: Vec<_> = client.held().into_iter().map(|(r, fd)| (r.name, r.id, fd)).collect();
    agent.kill();
    let agent = supervisor.start(&lab, &AGENT, &[]);
    let client = Client::connect(&lab.path("agent"));
    let now: Vec<_> = client.held().into_iter().map(|(r, fd)| (r.name, r.id, fd)).collect();
    assert_eq!(now, before);
    assert_eq!(supervisor.names(), stored);
    // Nothing holds the map that was replaced everywhere.
    let id = id_of(&old);
    done(client.ask(REMOVE, 0, &string("kept"), &[]));
    drop(old);
    eventually("the end of the map", || !map_exists(id));
    drop(agent);
}

#[test]
fn a_put_that_is_asked_again_after_a_restart_brings_its_layout_back() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let map = new_map("map");
    let layout = "u32 -> u64";
    let ask = |client: &Client| client.put_with(0, "map", layout, &map)[0].layout.clone();
    let agent = supervisor.start(&lab, &AGENT, &[]);
    assert_eq!(ask(&Client::connect(&lab.path("agent"))), layout);
    agent.kill();
    let _agent = supervisor.start(&lab, &AGENT, &[]);
    let client = Client::connect(&lab.path("agent"));
    assert_eq!(client.list()[0].layout, "");
    assert_eq!(ask(&client), layout);
    assert_eq!(client.list()[0].layout, layout);
    assert_eq!(supervisor.names().len(), 1);
    // That is for the layout that was lost, not for another one.
    let body = strings(&["map", "u32 -> i64"]);
    assert_eq!(refusal(client.ask(PUT, 0, &body, &[map.as_fd()])).0, 4);
}

#[test]
fn with_a_state_what_the_supervisor_stores_is_left_alone() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let agent = supervisor.start(&lab, &AGENT, &[]);
    Client::connect(&lab.path("agent")).put_with(0, "map", "", new_map("map"));
    agent.stop();
    let before = supervisor.names();
    let with_state = ["--socket", "agent", "--state", "/sys/fs/bpf/agent"];
    let agent = supervisor.start(&lab, &with_state, &[]);
    assert_eq!(
        agent.log,
        [
            "bpf-agent: warning: 1 descriptor of systemd's left alone: --state is given",
            "bpf-agent: serves on 1 socket, holds 0 objects"
        ]
    );
    assert_eq!((before.len(), supervisor.names()), (1, before));
}
