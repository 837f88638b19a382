//! Pins that were changed by hand below a running agent, or while it was away: it hands out what
//! was stored, or nothing.

mod common;

use common::agent::*;
use common::fds::*;
use common::*;
use std::fs::{remove_dir_all, remove_file, rename};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const STATE: &str = "/sys/fs/bpf/agent";
const PIN: &str = "/sys/fs/bpf/agent/hits/map";
/// States of a record.
const PINNED: u8 = 1;
const CHANGED: u8 = 3;
const GONE: u8 = 4;
/// Statuses of a reply.
const EXISTS: u8 = 4;
const MISTAKEN: u8 = 8;
const FAILED: u8 = 9;

fn start(lab: &Lab) -> Agent {
    Agent::start(&mut lab.agent(["--socket", "agent", "--state", STATE]))
}

/// An agent that holds a new map as `hits`.
fn with_hits(lab: &Lab) -> (Agent, Client, OwnedFd) {
    let agent = start(lab);
    let client = Client::connect(&lab.path("agent"));
    let map = new_map("hits");
    assert_eq!(client.put("hits", map.as_fd()).status, 0);
    (agent, client, map)
}

fn replace(client: &Client, name: &str, fd: BorrowedFd) -> Answer {
    client.ask(PUT, REPLACE, &strings(&[name, ""]), &[fd])
}

/// That LIST, INFO and ID tell the same of `hits`.
#[track_caller]
fn tells(client: &Client, id: u32, state: u8, pin_id: u32) {
    let told = |r: &Record| (r.name.clone(), r.id, r.state, r.pin_id);
    let want = [("hits".to_owned(), id, state, pin_id)];
    assert_eq!(client.list().iter().map(told).collect::<Vec<_>>(), want);
    for operation in [INFO, ID] {
        let answer = client.ask(operation, 0, &string("hits"), &[]);
        assert_eq!((answer.status, answer.reason.as_str()), (0, ""));
        assert_eq!(answer.records.iter().map(told).collect::<Vec<_>>(), want);
    }
}

/// That `hits` is handed out as stored, with what can be had without its pin.
#[track_caller]
fn still_hands_out(agent: &mut Agent, client: &Client, map: &OwnedFd, why: &str) {
    for flags in [0, READ | WRITE] {
        assert_eq!(what_is(&client.get(&["hits"], flags).fds[0]), what_is(map));
    }
    for flags in [READ, WRITE] {
        let got = client.get(&["hits"], flags);
        let why = format!("{why}: no descriptor with less access can be made of it");
        assert_eq!((got.status, got.reason.as_str(), got.fds.len()), (MISTAKEN, &*why, 0));
        agent.line(&format!("refused: {why}"));
    }
}

#[track_caller]
fn is_done(answer: &Answer) {
    assert_eq!((answer.status, answer.reason.as_str()), (0, ""));
}

#[test]
fn a_pin_that_was_swapped_is_told_and_what_was_stored_is_handed_out() {
    let lab = Lab::new();
    let (mut agent, client, map) = with_hits(&lab);
    let id = id_of(&map);
    tells(&client, id, PINNED, id);
    let other = lab.array("other", 1);
    let other_id = map_id(&other);
    rename(&other, PIN).unwrap();
    tells(&client, id, CHANGED, other_id);
    let why = format!("its pin leads to id {other_id}, where map {id} was stored");
    still_hands_out(&mut agent, &client, &map, &why);
    // An object of another kind, too.
    rename(pin_program("program"), PIN).unwrap();
    let program = what_is(open_pin(PIN.as_ref())).1;
    tells(&client, id, CHANGED, program);
    let why = format!("its pin leads to id {program}, where map {id} was stored");
    still_hands_out(&mut agent, &client, &map, &why);
    // Whoever puts the same map again is not told that all is well while it is not.
    is_done(&client.put("hits", map.as_fd()));
    tells(&client, id, PINNED, id);
    agent.kill();
    assert_eq!(start(&lab).log, ["bpf-agent: serves on 1 socket, holds 1 object"]);
}

#[test]
fn a_pin_that_is_gone_is_told_and_what_was_stored_is_handed_out() {
    let lab = Lab::new();
    let (mut agent, client, map) = with_hits(&lab);
    let id = id_of(&map);
    let why = format!("the pin of map {id} is gone, or cannot be opened");
    let vanish: [fn(); 2] = [
        || remove_file(PIN).unwrap(),
        || {
            remove_dir_all(format!("{STATE}/hits")).unwrap();
        },
    ];
    for vanish in vanish {
        vanish();
        tells(&client, id, GONE, 0);
        still_hands_out(&mut agent, &client, &map, &why);
        is_done(&client.put("hits", map.as_fd()));
        tells(&client, id, PINNED, id);
        vanish();
        let new = new_map("new");
        is_done(&replace(&client, "hits", new.as_fd()));
        tells(&client, id_of(&new), PINNED, id_of(&new));
        is_done(&replace(&client, "hits", map.as_fd()));
        vanish();
        is_done(&client.ask(REMOVE, 0, &string("hits"), &[]));
        assert!(client.list().is_empty());
        is_done(&client.put("hits", map.as_fd()));
    }
}

/// What an agent holds after a restart that found the pin of `hits` so.
struct Mistaken {
    agent: Agent,
    client: Client,
    map: OwnedFd,
    why: String,
}

/// Starts an agent after `meddle` has had its way with the pin of the map that was stored.
fn mistaken(lab: &Lab, state: u8, meddle: impl Fn() -> u32) -> Mistaken {
    let (agent, _, map) = with_hits(lab);
    agent.stop();
    let (id, pin_id) = (id_of(&map), meddle());
    let why = match pin_id {
        0 => format!("the pin of map {id} is gone, or cannot be opened"),
        _ => format!("its pin leads to id {pin_id}, where map {id} was stored"),
    };
    let agent = start(lab);
    let warning = format!("bpf-agent: \"hits\": {why}");
    assert_eq!(agent.log, [&warning, "bpf-agent: serves on 1 socket, holds 1 object"]);
    let client = Client::connect(&lab.path("agent"));
    tells(&client, id, state, pin_id);
    Mistaken { agent, client, map, why }
}

fn is_mended(lab: &Lab, state: u8, meddle: impl Fn() -> u32) {
    // Nothing is handed out, and nothing but what was stored or a replacement takes the name.
    let Mistaken { mut agent, client, map, why } = mistaken(lab, state, &meddle);
    for flags in [0, READ, WRITE, READ | WRITE] {
        let got = client.get(&["hits"], flags);
        assert_eq!((got.status, &got.reason, got.fds.len()), (MISTAKEN, &why, 0));
        agent.line(&format!("refused: {why}"));
    }
    let new = new_map("new");
    assert_eq!(client.put("hits", new.as_fd()).status, EXISTS);
    is_done(&replace(&client, "hits", new.as_fd()));
    tells(&client, id_of(&new), PINNED, id_of(&new));
    assert_eq!(what_is(&client.get(&["hits"], 0).fds[0]), what_is(&new));
    is_done(&client.ask(REMOVE, 0, &string("hits"), &[]));
    drop((agent, client, map));

    let Mistaken { agent, client, .. } = mistaken(lab, state, &meddle);
    is_done(&client.ask(REMOVE, 0, &string("hits"), &[]));
    assert_eq!(client.get(&["hits"], 0).reason, "nothing is stored as \"hits\"");
    drop((agent, client));

    // The very map that was stored is welcome.
    let Mistaken { agent, client, map, .. } = mistaken(lab, state, &meddle);
    is_done(&client.put("hits", map.as_fd()));
    assert_eq!(what_is(&client.get(&["hits"], 0).fds[0]), what_is(&map));
    agent.kill();
    let agent = start(lab);
    assert_eq!(agent.log, ["bpf-agent: serves on 1 socket, holds 1 object"]);
}

#[test]
fn a_pin_that_was_swapped_meanwhile_is_refused_until_it_is_put_anew_or_removed() {
    let lab = Lab::new();
    is_mended(&lab, CHANGED, || {
        let other = lab.array("other", 1);
        let id = map_id(&other);
        rename(other, PIN).unwrap();
        id
    });
}

#[test]
fn a_pin_that_went_meanwhile_is_refused_until_it_is_put_anew_or_removed() {
    let lab = Lab::new();
    is_mended(&lab, GONE, || {
        remove_file(PIN).unwrap();
        0
    });
}

#[test]
fn without_its_file_system_the_agent_hands_out_what_it_holds_and_takes_nothing() {
    let lab = Lab::new();
    let (mut agent, client, map) = with_hits(&lab);
    nix::mount::umount2(BPFFS, nix::mount::MntFlags::MNT_DETACH).unwrap();
    tells(&client, id_of(&map), GONE, 0);
    assert_eq!(what_is(&client.get(&["hits"], 0).fds[0]), what_is(&map));
    let why = format!("{STATE}: not the state any more: unmounted, or replaced");
    let new = new_map("new");
    for put in [
        client.put("new", new.as_fd()),
        client.put("hits", map.as_fd()),
        replace(&client, "hits", new.as_fd()),
    ] {
        assert_eq!((put.status, put.reason.as_str()), (FAILED, &*why));
        agent.line(&why);
    }
    assert_eq!(client.list().len(), 1);
    assert_eq!(agent.stop().status, 0);
}
