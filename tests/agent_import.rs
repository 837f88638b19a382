//! Maps that tc sends to the agent: transfer after transfer, each stored whole.

mod common;

use common::agent::*;
use common::fds::*;
use common::sender::{Datagram, Entry, Sender};
use common::*;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

fn entry(id: u32) -> Entry {
    [ARRAY, 4, 8, 1, 0, id, 0, 0, 0]
}

fn maps(count: usize) -> Vec<OwnedFd> {
    (0..count).map(|_| new_map("sent")).collect()
}

fn borrowed(maps: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    maps.iter().map(AsFd::as_fd).collect()
}

/// A transfer in one datagram.
fn send(path: &Path, object: &str, ids: &[u32], maps: &[OwnedFd]) {
    let entries = ids.iter().map(|&id| entry(id)).collect();
    let datagram = Datagram { object: object.into(), ..Datagram::of(entries) };
    datagram.send(path, &borrowed(maps));
}

/// An agent that takes requests at `agent` and imports at `in`.
fn importer(lab: &Lab, options: &[&str]) -> (Agent, Client) {
    let sockets = ["--socket", "agent", "--import", "in"];
    let agent = Agent::start(&mut lab.agent([&sockets, options].concat()));
    let client = Client::connect(&lab.path("agent"));
    // By then the agent has its descriptor of the connection.
    assert!(client.list().is_empty());
    (agent, client)
}

/// What is stored: names and ids of maps.
fn stored(client: &Client) -> Vec<(String, u32)> {
    client.list().into_iter().map(|r| (r.name, r.id)).collect()
}

fn named<S: Into<String>>(
    names: impl IntoIterator<Item = S>,
    maps: &[OwnedFd],
) -> Vec<(String, u32)> {
    names.into_iter().map(Into::into).zip(maps.iter().map(id_of)).collect()
}

/// A line of the log about a sender.
fn line(import: &str, uid: u32, pid: impl std::fmt::Display, what: &str) -> String {
    format!("bpf-agent: import {import}: uid {uid} gid {uid} pid {pid}: {what}")
}

#[test]
fn transfer_after_transfer_is_stored_by_object_and_id() {
    let lab = Lab::new();
    let (mut agent, client) = importer(&lab, &["--import", "in 2"]);
    let (maps, own) = (maps(4), std::process::id());
    send(&lab.path("in"), "count.o", &[7, 0, 4294967295], &maps[..3]);
    for (id, map) in [7, 0, 4294967295u32].iter().zip(&maps) {
        let what = format!("stored map {} as \"count.o:{id}\"", id_of(map));
        assert_eq!(agent.line("stored"), line("in", 0, own, &what));
    }
    send(&lab.path("in 2"), "count.o", &[1], &maps[3..]);
    agent.line("import in 2: uid 0");
    let names = ["count.o:0", "count.o:1", "count.o:4294967295", "count.o:7"];
    let ids = [1, 3, 2, 0].map(|at: usize| id_of(&maps[at]));
    let want: Vec<(String, u32)> = names.map(String::from).into_iter().zip(ids).collect();
    assert_eq!(stored(&client), want);
    for record in client.list() {
        assert_eq!((record.uid, record.gid, record.pid), (0, 0, own));
        assert_eq!((record.bound, &*record.layout), (3, ""));
    }
    assert_eq!(what_is(&client.get(&["count.o:7"], 0).fds[0]), what_is(&maps[0]));
}

#[test]
fn of_an_objects_path_the_last_part_counts() {
    let lab = Lab::new();
    let (mut agent, client) = importer(&lab, &[]);
    let maps = maps(4);
    let long = "x".repeat(64);
    for (object, map) in ["/usr/lib/bpf/a.o", "./b.o", "größe c", &long].iter().zip(&maps) {
        send(&lab.path("in"), object, &[3], std::slice::from_ref(map));
        agent.line("stored");
    }
    let names = ["a.o:3", "b.o:3", "größe c:3", &format!("{long}:3")];
    assert_eq!(stored(&client), named(names, &maps));
}

#[test]
fn ids_that_repeat_are_numbered_anew() {
    let lab = Lab::new();
    let (mut agent, client) = importer(&lab, &[]);
    let maps = maps(4);
    send(&lab.path("in"), "test.o", &[0, 9, 0], &maps[..3]);
    let told = line("in", 0, std::process::id(), "ids repeat in \"test.o\": numbered anew");
    assert_eq!(agent.line("ids repeat"), told);
    agent.line("test.o:2");
    assert_eq!(stored(&client), named(["test.o:0", "test.o:1", "test.o:2"], &maps));
    // Between transfers they do not.
    send(&lab.path("in"), "test.o", &[9], &maps[3..]);
    assert!(agent.line("import in").ends_with("as \"test.o:9\""));
    assert_eq!(client.list().len(), 4);
}

#[test]
fn a_new_export_takes_the_place_of_the_old_one() {
    let lab = Lab::new();
    let (mut agent, client) = importer(&lab, &["--state", "/sys/fs/bpf/agent"]);
    let old = maps(2);
    let ids: Vec<u32> = old.iter().map(id_of).collect();
    send(&lab.path("in"), "test.o", &[1, 2], &old);
    agent.line("test.o:2");
    drop(old);
    let new = maps(2);
    send(&lab.path("in"), "test.o", &[2, 3], &new);
    agent.line("test.o:3");
    let want = [("test.o:1".into(), ids[0]), ("test.o:2".into(), id_of(&new[0]))];
    assert_eq!(stored(&client)[..2], want);
    eventually("the end of the map that was replaced", || !map_exists(ids[1]));
    assert!(map_exists(ids[0]));
}

#[test]
fn who_waits_for_a_name_gets_it_from_a_transfer() {
    let lab = Lab::new();
    let (_agent, client) = importer(&lab, &[]);
    let body = [&0u32.to_ne_bytes()[..], &strings(&["test.o:1", "test.o:2"])].concat();
    client.send(&packet(WAIT, 0, 5, &body), &[]).unwrap();
    let maps = maps(2);
    send(&lab.path("in"), "test.o", &[2, 1], &maps);
    let records = done(client.answer(5, false));
    assert_eq!(names(&records), ["test.o:1", "test.o:2"]);
    assert_eq!((records[0].id, records[1].id), (id_of(&maps[1]), id_of(&maps[0])));
}

#[test]
fn datagrams_of_several_transfers_are_told_apart() {
    let lab = Lab::new();
    let (mut agent, client) = importer(&lab, &[]);
    let maps = maps(8);
    // Two processes send the same object, and one of them another one besides.
    let part = |object: &str, id: u32| {
        let datagram =
            Datagram { total: 2, object: object.into(), ..Datagram::of(vec![entry(id)]) };
        datagram.bytes()
    };
    let fds = borrowed(&maps);
    let messages = |first: u32, object: &str| {
        let fds = |at: u32| std::slice::from_ref(&fds[(first + at) as usize]);
        let twice = |at| (part("test.o", first + at), fds(at));
        [twice(0), (part(object, first + 2), fds(2)), (part(object, first + 3), fds(3)), twice(1)]
    };
    let one = Sender::new(0, &lab.path("in"), &messages(0, "one.o"));
    let other = Sender::new(0, &lab.path("in"), &messages(4, "other.o"));
    for sender in [&one, &other, &other, &one, &one, &other, &other, &one] {
        sender.send().unwrap();
    }
    // The last one to be whole.
    agent.line("as \"test.o:1\"");
    let names = ["test.o:0", "test.o:1", "one.o:2", "one.o:3"];
    let others = ["test.o:4", "test.o:5", "other.o:6", "other.o:7"];
    let mut want = named([names, others].concat(), &maps);
    want.sort();
    assert_eq!(stored(&client), want);
    for record in client.list() {
        let id: usize = record.name.split(':').next_back().unwrap().parse().unwrap();
        let sender = if id < 4 { &one } else { &other };
        assert_eq!(record.pid, sender.pid.as_raw() as u32, "{}", record.name);
    }
}

#[test]
fn many_maps_come_in_several_datagrams() {
    let lab = Lab::new();
    let (mut agent, client) = importer(&lab, &[]);
    let maps = maps(300);
    for range in [0..253, 253..300] {
        let entries: Vec<Entry> = range.clone().map(|id| entry(id as u32)).collect();
        Datagram { total: 300, ..Datagram::of(entries) }
            .send(&lab.path("in"), &borrowed(&maps[range]));
    }
    agent.line("test.o:299");
    let mut want = named((0..300).map(|n| format!("test.o:{n}")), &maps);
    want.sort();
    assert_eq!(stored(&client), want);
}

#[test]
fn a_transfer_whose_rest_does_not_come_is_given_up() {
    let lab = Lab::new();
    let (mut agent, client) = importer(&lab, &["--client-timeout", "0.5"]);
    let fds = agent.fds();
    let maps = maps(2);
    let part = |id: u32| Datagram { total: 2, ..Datagram::of(vec![entry(id)]) };
    part(0).send(&lab.path("in"), &borrowed(&maps[..1]));
    let given_up = line("in", 0, std::process::id(), "given up: 1 of 2 maps came");
    assert_eq!(agent.line("import"), given_up);
    // By now the idle client's connection may have gone, too.
    eventually("the map to be dropped", || agent.fds() <= fds);
    // The rest alone is the beginning of another one.
    part(1).send(&lab.path("in"), &borrowed(&maps[1..]));
    assert_eq!(agent.line("import"), given_up);
    assert!(Client::connect(&lab.path("agent")).list().is_empty());
    drop(client);
}

#[test]
fn bpf_map_send_is_understood() {
    let lab = Lab::new();
    let (mut agent, client) = importer(&lab, &[]);
    let pins = ["a", "b"].map(|name| lab.array(name, 1));
    let mut send = lab.map(["send", "--first-id", "4"]);
    stdout_of(send.args(&pins).arg(lab.path("in")));
    agent.line("stored");
    agent.line("stored");
    let listed = stored(&client);
    let ids: Vec<u32> = listed.iter().map(|(_, id)| *id).collect();
    assert_eq!(ids, pins.map(|pin| map_id(&pin)));
    assert!(listed[0].0.ends_with(":4") && listed[1].0.ends_with(":5"), "{listed:?}");
}
