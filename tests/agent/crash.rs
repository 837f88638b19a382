//! The agent killed between any two system calls: the next one finds what was asked for done, or
//! not begun, and never loses what was answered.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::traced::{Stop, Traced};
use crate::common::*;
use std::os::fd::AsFd;

/// An object: its record, without the time, and the object that the received fd refers to.
type Held = (Record, (String, u32, i32));

/// A request, and how the client notices that it was carried out.
struct Request<'a> {
    /// Makes the objects that exist before the request.
    prepare: &'a dyn Fn(&Lab, &Client),
    ask: &'a dyn Fn(&Lab, &Client),
    /// Whether the client can notice at this stop that the request was carried out.
    is_answered: &'a dyn Fn(&Client, Stop) -> bool,
}

fn start(lab: &Lab, state: &str) -> Agent {
    Agent::start(&mut lab.agent(["--socket", "agent", "--state", state]))
}

fn held(client: &Client) -> Vec<Held> {
    client.held().into_iter().map(|(r, fd)| (Record { time: 0, ..r }, fd)).collect()
}

fn has_answer(client: &Client, _: Stop) -> bool {
    client.has_something()
}

/// Has an agent process the request, and kills it at the given stop or as soon as it has answered.
/// Returns the objects held before the request, and whether the agent has answered.
fn killed_at(stop: usize, lab: &Lab, state: &str, request: &Request) -> (Vec<Held>, bool) {
    let agent = start(lab, state);
    let client = Client::connect(&lab.path("agent"));
    (request.prepare)(lab, &client);
    let old = held(&client);
    let traced = Traced::seize(agent.pid());
    (request.ask)(lab, &client);
    let answered = (0..stop).any(|_| (request.is_answered)(&client, traced.step()));
    agent.kill();
    (old, answered)
}

/// Returns the objects that the next agent holds. Fails if that agent logs a warning, or leaves
/// unfinished files in the state directory.
#[track_caller]
fn found_by_the_next(lab: &Lab, state: &str, at: usize) -> Vec<Held> {
    let agent = start(lab, state);
    assert_eq!(agent.log.len(), 1, "stop {at}: {:#?}", agent.log);
    let held = held(&Client::connect(&lab.path("agent")));
    let mut files: Vec<String> = std::fs::read_dir(state)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let name = |(r, _): &Held| r.name.replace('.', "%2E").replace(':', "%3A");
    let mut names: Vec<String> = held.iter().map(name).collect();
    names.sort();
    assert_eq!(files, names, "stop {at}");
    for (record, fd) in &held {
        assert_eq!((record.state, record.pin_id, record.id), (1, record.id, fd.1), "stop {at}");
    }
    assert_eq!(agent.stop().status, 0);
    std::fs::remove_dir_all(state).unwrap();
    held
}

/// Kills an agent at each stop on the way to the answer. Returns how many there are, and the last
/// at which what was asked for was not done.
fn at_every_stop(lab: &Lab, request: &Request) -> (usize, usize) {
    let state = format!("{BPFFS}/agent");
    let (_, answered) = killed_at(usize::MAX, lab, &state, request);
    assert!(answered);
    let new = found_by_the_next(lab, &state, 0);
    let mut last = 0;
    for at in 1.. {
        let (old, answered) = killed_at(at, lab, &state, request);
        assert_ne!(old, new, "nothing is asked for");
        let found = found_by_the_next(lab, &state, at);
        if found == old {
            assert!(!answered, "stop {at}: what was answered is lost");
            last = at;
        } else {
            assert_eq!(found, new, "stop {at}: neither as it was nor as it was to be");
        }
        if answered {
            println!("{at} stops; done after stop {last}");
            return (at, last);
        }
    }
    unreachable!()
}

/// Two layouts that take more than one piece each.
fn layout(letter: char) -> String {
    format!("u32 -> enum:u64{{{}=0}}", letter.to_string().repeat(9000))
}

#[test]
fn killed_while_it_stores_a_map() {
    let lab = Lab::new();
    let (other, map) = (new_map("other"), new_map("map"));
    let (stops, _) = at_every_stop(
        &lab,
        &Request {
            prepare: &|_, client| drop(client.put_with(0, "other", "", &other)),
            ask: &|_, client| {
                let body = strings(&["map", &layout('a')]);
                client.send(&packet(PUT, 0, 1, &body), &[map.as_fd()]).unwrap();
            },
            is_answered: &has_answer,
        },
    );
    // A directory, four links, the pin, and the rename: two stops each.
    assert!(stops > 2 * 7, "{stops} stops");
}

#[test]
fn killed_while_it_replaces_a_map() {
    let lab = Lab::new();
    let (old, new) = (new_map("old"), new_map("new"));
    let (stops, last) = at_every_stop(
        &lab,
        &Request {
            prepare: &|_, client| drop(client.put_with(0, "map", &layout('a'), &old)),
            ask: &|_, client| {
                let body = strings(&["map", &layout('b')]);
                client.send(&packet(PUT, REPLACE, 1, &body), &[new.as_fd()]).unwrap();
            },
            is_answered: &has_answer,
        },
    );
    // The old one is taken apart when the new one is in place.
    assert!(last > 2 * 7 && stops > last + 2 * 6, "{stops} stops, {last}");
}

#[test]
fn killed_while_it_removes_a_map() {
    let lab = Lab::new();
    let (other, map) = (new_map("other"), new_map("map"));
    let (stops, last) = at_every_stop(
        &lab,
        &Request {
            prepare: &|_, client| {
                client.put_with(0, "other", "", &other);
                client.put_with(0, "map", &layout('a'), &map);
            },
            ask: &|_, client| {
                client.send(&packet(REMOVE, 0, 1, &string("map")), &[]).unwrap();
            },
            is_answered: &has_answer,
        },
    );
    assert!(stops > last + 2 * 6, "{stops} stops, {last}");
}
