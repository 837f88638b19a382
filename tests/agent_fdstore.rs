//! What the supervisor does not store, does not confirm, or hands back wrong; and a kill while it
//! stores.

mod common;

use common::agent::*;
use common::fds::*;
use common::supervisor::{Supervisor, stored_as};
use common::traced::Traced;
use common::*;
use std::os::fd::{AsFd, OwnedFd};

const AGENT: [&str; 2] = ["--socket", "agent"];

#[test]
fn what_the_supervisor_does_not_confirm_is_refused_and_not_stored_later() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let mut agent = supervisor.start(&lab, &AGENT, &[]);
    let client = Client::connect(&lab.path("agent"));
    let (old, new) = (new_map("old"), new_map("new"));
    client.put_with(0, "map", "", &old);
    let before = (supervisor.names(), client.held());
    supervisor.be_silent(true);
    let body = strings(&["map", ""]);
    let answer = client.ask(PUT, REPLACE, &body, &[new.as_fd()]);
    assert_eq!(refusal(answer), (9, "systemd does not answer".into()));
    agent.line("refused: systemd does not answer");
    supervisor.be_silent(false);
    assert_eq!(client.held(), before.1);
    // All that was said is heard by the time that this is confirmed.
    client.put_with(0, "later", "", new_map("later"));
    done(client.ask(REMOVE, 0, &string("later"), &[]));
    assert_eq!(supervisor.names(), before.0);
    agent.kill();
    let _agent = supervisor.start(&lab, &AGENT, &[]);
    assert_eq!(Client::connect(&lab.path("agent")).held(), before.1);
}

#[test]
fn a_name_that_no_stored_descriptor_can_have_is_refused() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let agent = supervisor.start(&lab, &AGENT, &[]);
    let client = Client::connect(&lab.path("agent"));
    let map = new_map("map");
    let record = client.put_with(0, "x", "", &map).remove(0);
    let room = 255 - (stored_as(&record, "").len());
    let another = new_map("another");
    for (length, is_fine) in [(room, true), (room + 1, false)] {
        let name = "y".repeat(length);
        let answer = client.put(&name, another.as_fd());
        let mine = stored_as(&Record { id: id_of(&another), ..record.clone() }, &name);
        // The numbers in it may be longer than those of the first.
        if mine.len() <= 255 {
            assert_eq!((answer.status, is_fine), (0, true), "{}", answer.reason);
        } else {
            let why = format!("a name of {} bytes for systemd, which takes 255", mine.len());
            assert_eq!(refusal(answer), (9, why));
        }
    }
    let before = client.held();
    agent.kill();
    let _agent = supervisor.start(&lab, &AGENT, &[]);
    assert_eq!(Client::connect(&lab.path("agent")).held(), before);
}

#[test]
fn no_more_is_taken_than_the_supervisor_stores() {
    let lab = Lab::new();
    let mut supervisor = Supervisor::new(&lab);
    supervisor.room = Some(2);
    let agent = supervisor.start(&lab, &AGENT, &[]);
    let client = Client::connect(&lab.path("agent"));
    let maps = ["a", "b", "c"].map(new_map);
    for (name, map) in ["a", "b"].iter().zip(&maps) {
        client.put_with(0, name, "", map);
    }
    // What is replaced is stored until what replaces it is.
    let why = "systemd stores 2 objects, as many as may be";
    for (flags, name) in [(0, "c"), (REPLACE, "a")] {
        let answer = client.ask(PUT, flags, &strings(&[name, ""]), &[maps[2].as_fd()]);
        assert_eq!(refusal(answer), (9, why.into()));
    }
    done(client.ask(REMOVE, 0, &string("b"), &[]));
    client.put_with(REPLACE, "a", "", &maps[2]);
    assert_eq!(supervisor.names().len(), 1);
    agent.stop();
    supervisor.room = Some(0);
    let agent = supervisor.start(&lab, &AGENT, &[]);
    assert_eq!(
        agent.log,
        [
            "bpf-agent: warning: without --state what is stored goes with the agent",
            "bpf-agent: serves on 1 socket, holds 1 object"
        ]
    );
}

#[test]
fn what_is_stored_and_not_understood_is_dropped_and_told() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let map = new_map("map");
    let id = id_of(&map);
    let name = |class: &str, id: u32, name: &str| {
        format!("bpf-agent v1 {class} id={id} access=rw uid=1 gid=2 pid=3 time=4 {name}")
    };
    let clone = |fd: &OwnedFd| fd.try_clone().unwrap();
    let pipe = std::io::pipe().unwrap().0;
    supervisor.plant(&name("map", id, "good"), clone(&map));
    let newer = name("map", id, "newer").replace("v1", "v2");
    for (name, fd) in [
        (name("map", id + 1, "another"), clone(&map)),
        (name("prog", id, "prog"), clone(&map)),
        (name("map", id, "pipe"), pipe.into()),
        (name("map", id, "12"), clone(&map)),
        (name("map", id, "a.b"), clone(&map)),
        (newer.clone(), clone(&map)),
        ("bpf-agent ".into(), clone(&map)),
    ] {
        supervisor.plant(&name, fd);
    }
    let agent = supervisor.start(&lab, &AGENT, &[]);
    let text = |name: &str| name.strip_prefix("bpf-agent ").unwrap().to_owned();
    let dropped = |text: String, why: &str| {
        format!("bpf-agent: stored descriptor \"{text}\": {why}, dropped")
    };
    assert_eq!(
        agent.log,
        [
            dropped(text(&name("map", id + 1, "another")), "it is something else"),
            dropped(text(&name("prog", id, "prog")), "it is something else"),
            dropped(text(&name("map", id, "pipe")), "it is something else"),
            dropped(text(&name("map", id, "12")), "not understood"),
            dropped(text(&name("map", id, "a.b")), "not understood"),
            dropped(text(&newer), "not understood"),
            dropped(String::new(), "not understood"),
            "bpf-agent: serves on 1 socket, holds 1 object".into(),
        ]
    );
    assert_eq!(supervisor.names(), [name("map", id, "good")]);
    let client = Client::connect(&lab.path("agent"));
    assert_eq!(what_is(&client.get(&["good"], 0).fds[0]), what_is(&map));
    assert_eq!(client.list().len(), 1);
}

/// Kills an agent between any two system calls on its way to the answer of a replacement.
#[test]
fn killed_while_it_replaces_a_map_it_holds_the_one_or_the_other() {
    let lab = Lab::new();
    let (old, new) = (new_map("old"), new_map("new"));
    let mut last = 0;
    for at in 1.. {
        let supervisor = Supervisor::new(&lab);
        let agent = supervisor.start(&lab, &AGENT, &[]);
        let client = Client::connect(&lab.path("agent"));
        client.put_with(0, "map", "", &old);
        let traced = Traced::seize(agent.pid());
        let body = strings(&["map", ""]);
        client.send(&packet(PUT, REPLACE, 1, &body), &[new.as_fd()]).unwrap();
        let answered = (0..at).any(|_| {
            traced.step();
            client.has_something()
        });
        agent.kill();
        let agent = supervisor.start(&lab, &AGENT, &[]);
        let found = Client::connect(&lab.path("agent")).held();
        let names: Vec<String> = found.iter().map(|(r, _)| stored_as(r, &r.name)).collect();
        assert_eq!(supervisor.names(), names, "stop {at}");
        assert_eq!(found.len(), 1, "stop {at}");
        let found = &found[0].1;
        if *found == what_is(&old) {
            assert!(!answered, "stop {at}: what was answered is lost");
            last = at;
        } else {
            assert_eq!(*found, what_is(&new), "stop {at}");
        }
        agent.kill();
        if answered {
            println!("{at} stops; the old one up to {last}");
            assert!(at > last && last > 2 * 6, "{at} stops, {last}");
            return;
        }
    }
}
