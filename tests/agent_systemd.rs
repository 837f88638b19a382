//! The agent under a supervisor that speaks systemd's protocol, and keeps its descriptors.

mod common;

use common::agent::*;
use common::fds::*;
use common::supervisor::Supervisor;
use common::traced::Traced;
use common::*;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const AGENT: [&str; 2] = ["--socket", "agent"];

/// An object as clients are told of it, and as they get it.
fn held(client: &Client) -> Vec<(Record, (String, u32, i32))> {
    let fd = |r: &Record| what_is(&client.get(&[&r.name], 0).fds[0]);
    client.list().into_iter().map(|r| (r.clone(), fd(&r))).collect()
}

#[track_caller]
fn put(client: &Client, flags: u16, name: &str, layout: &str, fd: impl AsFd) -> Vec<Record> {
    done(client.ask(PUT, flags, &strings(&[name, layout]), &[fd.as_fd()]))
}

/// The name under which the supervisor stores what this record says.
fn stored_as(record: &Record, name: &str) -> String {
    let Record { id, uid, gid, pid, time, .. } = record;
    let class = ["map", "prog", "link"][usize::from(record.class) - 1];
    let access = ["-", "r", "w", "rw"][usize::from(record.bound)];
    format!(
        "bpf-agent v1 {class} id={id} access={access} uid={uid} gid={gid} pid={pid} time={time} {name}"
    )
}

#[test]
fn all_that_was_put_is_handed_back_after_a_stop_and_after_a_kill() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let mut agent = supervisor.start(&lab, &AGENT, &[]);
    assert_eq!(agent.log, ["bpf-agent: serves on 1 socket, holds 0 objects"]);
    let client = Client::connect(&lab.path("agent"));
    let array = lab.array("array", 1);
    let (program, link) = (pin_program("program"), pin_link("link", &array));
    put(&client, 0, "map", "", open_pin(&array));
    for (name, mode) in [("reads", READ), ("writes", WRITE)] {
        put(&client, 0, name, "", &client.get(&["map"], mode).fds[0]);
    }
    put(&client, 0, "a prog", "", open_pin(&program));
    put(&client, 0, "größe:1", "u32 -> u64", new_map("more"));
    put(&client, 0, "a.link", "", open_pin(&link));
    for pin in [array, program, link] {
        std::fs::remove_file(pin).unwrap();
    }
    let before = held(&client);
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
        let mut now = held(&Client::connect(&lab.path("agent")));
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
    let (map, link) = (open_pin(&array), open_pin(&pin_link("link", &array)));
    for (kind, fd) in [("map", &map), ("prog", &program), ("link", &link)] {
        // One descriptor each time, which the supervisor would store once.
        for n in ["a", "b", "c"] {
            put(&client, 0, &format!("{kind} {n}"), "", fd);
        }
    }
    done(client.ask(REMOVE, 0, &strings(&["map a", "prog b"]), &[]));
    let before = held(&client);
    assert_eq!(before.len(), 7);
    agent.kill();
    let _agent = supervisor.start(&lab, &AGENT, &[]);
    assert_eq!(held(&Client::connect(&lab.path("agent"))), before);
}

#[test]
fn what_is_replaced_or_removed_is_stored_no_more() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let agent = supervisor.start(&lab, &AGENT, &[]);
    let client = Client::connect(&lab.path("agent"));
    let (old, new) = (new_map("old"), new_map("new"));
    let kept = put(&client, 0, "kept", "", &old);
    put(&client, 0, "replaced", "", &old);
    put(&client, 0, "removed", "", &new);
    let replaced = put(&client, REPLACE, "replaced", "", &new);
    // Replaced by itself.
    put(&client, REPLACE, "kept", "u32 -> u64", &old);
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
    let before: Vec<_> = held(&client).into_iter().map(|(r, fd)| (r.name, r.id, fd)).collect();
    agent.kill();
    let agent = supervisor.start(&lab, &AGENT, &[]);
    let client = Client::connect(&lab.path("agent"));
    let now: Vec<_> = held(&client).into_iter().map(|(r, fd)| (r.name, r.id, fd)).collect();
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
    let ask = |client: &Client| put(client, 0, "map", layout, &map)[0].layout.clone();
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
fn what_the_supervisor_does_not_confirm_is_refused_and_not_stored_later() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let mut agent = supervisor.start(&lab, &AGENT, &[]);
    let client = Client::connect(&lab.path("agent"));
    let (old, new) = (new_map("old"), new_map("new"));
    put(&client, 0, "map", "", &old);
    let before = (supervisor.names(), held(&client));
    supervisor.be_silent(true);
    let body = strings(&["map", ""]);
    let answer = client.ask(PUT, REPLACE, &body, &[new.as_fd()]);
    assert_eq!(refusal(answer), (9, "systemd does not answer".into()));
    agent.line("refused: systemd does not answer");
    supervisor.be_silent(false);
    assert_eq!(held(&client), before.1);
    // All that was said is heard by the time that this is confirmed.
    put(&client, 0, "later", "", new_map("later"));
    done(client.ask(REMOVE, 0, &string("later"), &[]));
    assert_eq!(supervisor.names(), before.0);
    agent.kill();
    let _agent = supervisor.start(&lab, &AGENT, &[]);
    assert_eq!(held(&Client::connect(&lab.path("agent"))), before.1);
}

#[test]
fn a_name_that_no_stored_descriptor_can_have_is_refused() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let agent = supervisor.start(&lab, &AGENT, &[]);
    let client = Client::connect(&lab.path("agent"));
    let map = new_map("map");
    let record = put(&client, 0, "x", "", &map).remove(0);
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
    let before = held(&client);
    agent.kill();
    let _agent = supervisor.start(&lab, &AGENT, &[]);
    assert_eq!(held(&Client::connect(&lab.path("agent"))), before);
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
        put(&client, 0, name, "", map);
    }
    // What is replaced is stored until what replaces it is.
    let why = "systemd stores 2 objects, as many as may be";
    for (flags, name) in [(0, "c"), (REPLACE, "a")] {
        let answer = client.ask(PUT, flags, &strings(&[name, ""]), &[maps[2].as_fd()]);
        assert_eq!(refusal(answer), (9, why.into()));
    }
    done(client.ask(REMOVE, 0, &string("b"), &[]));
    put(&client, REPLACE, "a", "", &maps[2]);
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

#[test]
fn with_a_state_what_the_supervisor_stores_is_left_alone() {
    let lab = Lab::new();
    let supervisor = Supervisor::new(&lab);
    let agent = supervisor.start(&lab, &AGENT, &[]);
    put(&Client::connect(&lab.path("agent")), 0, "map", "", new_map("map"));
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
        put(&client, 0, "map", "", &old);
        let traced = Traced::seize(agent.pid());
        let body = strings(&["map", ""]);
        client.send(&packet(PUT, REPLACE, 1, &body), &[new.as_fd()]).unwrap();
        let has_answer = || {
            // SAFETY: open as long as the client is.
            let fd = unsafe { BorrowedFd::borrow_raw(client.fd()) };
            poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 1
        };
        let answered = (0..at).any(|_| {
            traced.step();
            has_answer()
        });
        agent.kill();
        let agent = supervisor.start(&lab, &AGENT, &[]);
        let found = held(&Client::connect(&lab.path("agent")));
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
