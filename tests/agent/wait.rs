//! Answers that are not sent at once: waiting for names, many requests at a time, and half-closed
//! connections.

use crate::common::agent::*;
use crate::common::fds::*;
use crate::common::*;
use crate::support::clocks::with_clocks;
use crate::support::peers::await_backlog;
use nix::sys::socket::{Shutdown, shutdown};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;

/// The body of a WAIT; with 0 it has no time limit.
fn wait_for(milliseconds: u32, names: &[&str]) -> Vec<u8> {
    [&milliseconds.to_ne_bytes()[..], &strings(names)].concat()
}

/// A client whose connection the agent has accepted.
fn accepted(path: &Path) -> Client {
    let client = Client::connect(path);
    client.list();
    client
}

/// Sends a WAIT, and makes sure that the agent has received it, and has served another client since.
#[track_caller]
fn begin_wait(client: &Client, number: u32, body: &[u8], other: &Client) {
    begin(client, &packet(WAIT, 0, number, body), other);
}

/// The same for any request.
#[track_caller]
pub fn begin(client: &Client, request: &[u8], other: &Client) {
    client.send(request, &[]).expect("sent");
    client.await_received();
    other.list();
}

/// Checks that `client` has not been answered.
#[track_caller]
pub fn still_waits(client: &Client, other: &Client) {
    other.list();
    assert!(!client.is_answered());
}

#[test]
fn wait_is_answered_when_all_names_exist() {
    let lab = Lab::new();
    let (_agent, path) = serve(&lab);
    let (client, other) = (accepted(&path), accepted(&path));
    let maps: Vec<OwnedFd> = (0..3).map(|_| new_map("awaited")).collect();
    let put = |name: &str, at: usize| done(other.put(name, maps[at].as_fd()));
    put("a", 0);
    // There already.
    assert_eq!(names(&done(client.ask(WAIT, 0, &wait_for(0, &["a"]), &[]))), ["a"]);
    // Comes later; and several, in the order asked.
    begin_wait(&client, 7, &wait_for(0, &["c", "a", "b", "a"]), &other);
    still_waits(&client, &other);
    put("b", 1);
    still_waits(&client, &other);
    put("unasked", 1);
    still_waits(&client, &other);
    // Gone again before the last has come.
    other.remove(&["b"]);
    put("c", 2);
    still_waits(&client, &other);
    put("b", 2);
    let records = done(client.answer(7, false));
    assert_eq!(names(&records), ["c", "a", "b", "a"]);
    let ids: Vec<u32> = [2, 0, 2, 0].iter().map(|&at| id_of(&maps[at])).collect();
    assert_eq!(records.iter().map(|record| record.id).collect::<Vec<_>>(), ids);
}

#[test]
fn all_clients_that_wait_for_a_name_are_answered() {
    let lab = Lab::new();
    let (_agent, path) = serve(&lab);
    let other = Client::connect(&path);
    let waiting: Vec<Client> = (0..50).map(|_| accepted(&path)).collect();
    for (number, client) in waiting.iter().enumerate() {
        begin_wait(client, number as u32, &wait_for(600_000, &["news"]), &other);
    }
    done(other.put("news", new_map("news").as_fd()));
    for (number, client) in waiting.iter().enumerate() {
        assert_eq!(names(&done(client.answer(number as u32, false))), ["news"]);
    }
}

#[test]
fn wait_ends_by_its_own_timeout() {
    with_clocks(&["--client-timeout", "100"], |_, path, clocks| {
        let [client, ever, idle, other] = [0; 4].map(|_| accepted(path));
        begin_wait(&client, 1, &wait_for(150_000, &["never"]), &other);
        begin_wait(&ever, 2, &wait_for(0, &["later"]), &other);
        // Longer than the idle timeout.
        clocks.passed.store(149, Ordering::SeqCst);
        assert_eq!(idle.receive().expect("the end").bytes, b"");
        assert!(!client.is_answered() && !ever.is_answered());
        clocks.passed.store(150, Ordering::SeqCst);
        assert_eq!(refusal(client.answer(1, false)), (7, "the time to wait is over".into()));
        // The client still has time for a request, and the client without a limit waits on.
        clocks.passed.store(249, Ordering::SeqCst);
        done(client.put("later", new_map("later").as_fd()));
        assert_eq!(names(&done(ever.answer(2, false))), ["later"]);
    });
}

#[test]
fn wait_of_a_closed_connection_is_dropped() {
    let lab = Lab::new();
    let (agent, path) = serve(&lab);
    let other = Client::connect(&path);
    other.list();
    let before = agent.fds();
    for _ in 0..3 {
        let waiting: Vec<Client> = (0..20).map(|_| accepted(&path)).collect();
        for client in &waiting {
            begin_wait(client, 1, &wait_for(0, &["never", "ever"]), &other);
        }
        agent.fds().assert_more(20, &before);
        drop(waiting);
        agent.await_fds(0, &before);
    }
    // Closed before the agent has accepted the connection, or while it handles the requests.
    for number in 0..300 {
        let client = Client::connect(&path);
        let requests = if number % 2 == 0 { 1 } else { 70 };
        for _ in 1..requests {
            client.send(&packet(LIST, 0, 1, &string("")), &[]).expect("sent");
        }
        client.send(&packet(WAIT, 0, 1, &wait_for(0, &["never"])), &[]).expect("sent");
    }
    await_backlog(&path);
    agent.await_fds(0, &before);
    done(other.put("never", new_map("never").as_fd()));
    done(other.put("ever", new_map("ever").as_fd()));
    agent.fds().assert_more(2, &before);
}

#[test]
fn requests_sent_ahead_are_answered_in_their_order() {
    let lab = Lab::new();
    let (_agent, path) = serve(&lab);
    let (client, other) = (accepted(&path), accepted(&path));
    let map = new_map("ahead");
    for number in 0..100 {
        let name = format!("n{number}");
        match number % 4 {
            0 => client.send(&packet(PUT, 0, number, &strings(&[&name, ""])), &[map.as_fd()]),
            1 => {
                let before = format!("n{}", number - 1);
                client.send(&packet(GET, 0, number, &string(before)), &[])
            }
            2 => client.send(&packet(9, 0, number, b"what?"), &[]),
            _ => client.send(&packet(LIST, 0, number, &string("n96")), &[]),
        }
        .expect("sent");
    }
    other.list();
    for number in 0..100 {
        let answer = client.answer(number, number % 4 == 1);
        match number % 4 {
            0 => assert_eq!(names(&done(answer)), [format!("n{number}")]),
            1 => {
                assert_eq!(id_of(&answer.fds[0]), id_of(&map));
                assert_eq!(names(&done(answer)), [format!("n{}", number - 1)]);
            }
            2 => assert_eq!(refusal(answer), (1, "operation 9 is not known".into())),
            _ => assert_eq!(done(answer).len(), usize::from(number > 96)),
        }
    }
}

#[test]
fn requests_after_a_wait_are_answered_after_it() {
    let lab = Lab::new();
    let (_agent, path) = serve(&lab);
    let (client, other) = (accepted(&path), accepted(&path));
    begin_wait(&client, 1, &wait_for(0, &["a"]), &other);
    // The agent does not receive these yet.
    client.send(&packet(GET, 0, 2, &string("a")), &[]).unwrap();
    client.send(&packet(WAIT, 0, 3, &wait_for(1, &["b"])), &[]).unwrap();
    still_waits(&client, &other);
    done(other.put("a", new_map("a").as_fd()));
    assert_eq!(names(&done(client.answer(1, false))), ["a"]);
    assert_eq!(client.answer(2, true).fds.len(), 1);
    assert_eq!(refusal(client.answer(3, false)).0, 7);
}

#[test]
fn half_closed_client_gets_every_answer() {
    let lab = Lab::new();
    let (agent, path) = serve(&lab);
    let other = Client::connect(&path);
    let map = new_map("closed");
    let all: Vec<String> = (0..600).map(|n| format!("n{n}")).collect();
    for name in &all {
        done(other.put(name, map.as_fd()));
    }
    let before = agent.fds();
    let client = accepted(&path);
    client.send(&packet(GET, 0, 1, &strings(&all)), &[]).unwrap();
    client.send(&packet(WAIT, 0, 2, &wait_for(0, &["more"])), &[]).unwrap();
    client.send(&packet(LIST, 0, 3, &string("more")), &[]).unwrap();
    shutdown(client.fd(), Shutdown::Write).unwrap();
    // Three packets, each sent once the one before it is read.
    let got = client.answer(1, true);
    assert_eq!((got.fds.len(), got.packets), (600, 3));
    still_waits(&client, &other);
    done(other.put("more", map.as_fd()));
    assert_eq!(names(&done(client.answer(2, false))), ["more"]);
    assert_eq!(names(&done(client.answer(3, false))), ["more"]);
    assert_eq!(client.receive().unwrap().bytes, b"", "the end");
    agent.await_fds(1, &before);
}
