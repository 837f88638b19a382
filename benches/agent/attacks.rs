//! Sixteen attacks on an agent, each by a user of its own.

use crate::common::agent::*;
use crate::shared::Shared;
use crate::support::attacker::*;
use crate::support::peers::User;
use std::fs::File;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The agent that is attacked, and the objects that attackers send.
pub struct Scene {
    /// The socket of an agent with [`rules`].
    pub agent: PathBuf,
    /// A file of a FUSE server that does not reply to FUSE_FLUSH. Only attackers open it.
    pub slow_file: PathBuf,
    /// Attackers may not create maps.
    pub map: OwnedFd,
}

/// The user of the first attack; each attack has the next one.
const FIRST_USER: u32 = 3000;
/// Names that the attacker with 400 rules may not list, and that each rule takes long to exclude.
pub const LONG_NAMES: usize = 100;

/// The title of an attack, what its user may do, and one repetition of it.
pub type Attack = (&'static str, &'static str, fn(&Scene, &mut State));

/// What an attacker has left from earlier repetitions.
#[derive(Default)]
pub struct State {
    streams: Vec<TcpStream>,
    clients: Vec<Client>,
    file: Option<File>,
    random: u64,
}

pub const ATTACKS: [Attack; 16] = [
    ("lingering fds of a refused user", "", refused_fds),
    ("lingering fds of a put", "put", lingering_put),
    ("stalled files of a put", "put", stalled_put),
    ("stalled files of a put, another user", "put", stalled_put),
    ("200 fds with each message", "list", flood),
    ("connections of a refused user", "", connect),
    ("connections of a user in 65,536 groups", "", connect),
    ("connections that stay", "list", stay),
    ("LIST on 100 connections", "list", list),
    ("refused GET on 100 connections", "list", refused_get),
    ("names with long layouts", "put,list,remove", layouts),
    ("GET without receiving", "read", unread),
    ("refused requests for the log", "list", log),
    ("put without list", "put", blind_put),
    ("malformed packets", "list", malformed),
    ("requests before the end", "list", hang_up),
];

pub fn name_of_long(n: usize) -> String {
    format!("{}{n:03}", "a".repeat(190))
}

/// The rules of the agent, for the users of the attacks.
pub fn rules() -> String {
    let mut rules = "nothing:gid=99999:list\n".to_owned();
    for (uid, (_, permissions, _)) in (FIRST_USER..).zip(ATTACKS) {
        if !permissions.is_empty() {
            rules += &format!("attack*:uid={uid}:{permissions}\nhits:uid={uid}:{permissions}\n");
        }
        if permissions == "list" {
            rules += &format!("{}z:uid={uid}:list\n", "*a".repeat(4)).repeat(100);
        }
    }
    rules
}

/// Starts all attacks. Each counts its repetitions.
pub fn start(scene: &Scene, counts: Shared) -> Vec<Attacker> {
    let attacks = (FIRST_USER..).zip(ATTACKS).enumerate();
    attacks
        .map(|(at, (uid, (title, _, attack)))| {
            let groups = if title.contains("65,536") { (1..=65536).collect() } else { Vec::new() };
            let mut state = State { random: u64::from(uid), ..State::default() };
            Attacker::start(&User { groups, ..User::new(uid) }, move || {
                attack(scene, &mut state);
                counts[at].fetch_add(1, Relaxed);
            })
        })
        .collect()
}

fn connection(scene: &Scene) -> Option<Client> {
    let client = Client::try_connect(&scene.agent).ok();
    if client.is_none() {
        // The agent has ended.
        std::thread::sleep(Duration::from_millis(1));
    }
    client
}

fn put_packet(name: &str, layout: &str) -> Vec<u8> {
    packet(PUT, 0, 1, &strings(&[name, layout]))
}

/// A connection on which fds may be sent, for a user that may put.
fn putter(scene: &Scene) -> Option<Client> {
    let client = connection(scene)?;
    client.send(&packet(INFO, 0, 1, &string("attack")), &[]).ok()?;
    client.receive().ok()?;
    Some(client)
}

/// A socket that lingers for 2 s if the state has its peer when it is closed. The attacker
/// itself may be the last to close it.
fn linger(state: &mut State) -> TcpStream {
    if state.streams.len() >= 64 {
        state.streams.clear();
    }
    let (ours, theirs) = lingering_socket(2);
    state.streams.push(theirs);
    ours
}

fn refused_fds(scene: &Scene, state: &mut State) {
    let socket = linger(state);
    let request = packet(LIST, 0, 1, &string(""));
    let client = connection(scene);
    if client.is_none_or(|client| client.send(&request, &[socket.as_fd()]).is_err()) {
        state.streams.pop();
    }
}

fn lingering_put(scene: &Scene, state: &mut State) {
    let socket = linger(state);
    let request = put_packet("attack", "");
    if putter(scene).is_none_or(|client| client.send(&request, &[socket.as_fd()]).is_err()) {
        state.streams.pop();
    }
}

fn stalled_put(scene: &Scene, state: &mut State) {
    let file = state.file.get_or_insert_with(|| File::open(&scene.slow_file).expect("a file"));
    if let Some(client) = putter(scene) {
        for _ in 0..8 {
            let _ = client.send(&put_packet("attack", ""), &[file.as_fd()]);
        }
        let _ = client.receive();
    }
}

fn flood(scene: &Scene, state: &mut State) {
    let file = state.file.get_or_insert_with(|| File::open("/dev/null").expect("a file"));
    let fds = vec![file.as_fd(); 200];
    if let Some(client) = connection(scene) {
        while client.send(&packet(LIST, 0, 1, &string("")), &fds).is_ok() {}
    }
}

fn connect(scene: &Scene, _: &mut State) {
    drop(connection(scene));
}

fn stay(scene: &Scene, state: &mut State) {
    if state.clients.len() >= 1000 {
        state.clients.clear();
    }
    state.clients.extend(connection(scene));
}

/// Sends a request on each of 100 connections, again and again.
fn on_many(scene: &Scene, state: &mut State, request: &[u8]) {
    while state.clients.len() < 100 {
        let Some(client) = connection(scene) else { return };
        state.clients.push(client);
    }
    state.clients.retain(|client| client.send(request, &[]).is_ok());
    state.clients.retain(receive_reply);
}

/// Receives all packets of a reply; whether the connection still exists.
fn receive_reply(client: &Client) -> bool {
    loop {
        match client.receive() {
            Ok(packet) if packet.bytes.len() < 4 => return false,
            Ok(packet) if packet.bytes[2] & 1 == 0 => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

fn list(scene: &Scene, state: &mut State) {
    on_many(scene, state, &packet(LIST, LAYOUTS, 1, &string("")));
}

fn refused_get(scene: &Scene, state: &mut State) {
    let names: Vec<String> = (0..LONG_NAMES).map(name_of_long).collect();
    on_many(scene, state, &packet(GET, 0, 1, &strings(&names)));
}

fn layouts(scene: &Scene, _: &mut State) {
    let Some(client) = putter(scene) else { return };
    let layout = format!("u32 -> struct {{ {}: u64 }}", "x".repeat(65000));
    let ask = |request: &[u8], fds: &[BorrowedFd]| {
        client.send(request, fds).is_ok()
            && client.receive().is_ok_and(|reply| reply.bytes.get(1) == Some(&0))
    };
    let put = |n: &usize| ask(&put_packet(&format!("attack{n}"), &layout), &[scene.map.as_fd()]);
    let stored = (0..1000).take_while(put).count();
    (0..stored).for_each(|n| {
        ask(&packet(REMOVE, 0, 1, &string(format!("attack{n}"))), &[]);
    });
}

fn unread(scene: &Scene, state: &mut State) {
    if state.clients.len() >= 500 {
        state.clients.clear();
    }
    let Some(client) = connection(scene) else { return };
    for _ in 0..8 {
        let _ = client.send(&packet(GET, READ, 1, &strings(&["hits"; 100])), &[]);
    }
    state.clients.push(client);
}

fn log(scene: &Scene, _: &mut State) {
    let Some(client) = connection(scene) else { return };
    for _ in 0..100 {
        let name = "\": refused\x1b\"".repeat(12);
        let _ = client.send(&packet(LIST, 0, 1, &string("\"".repeat(402))), &[]);
        let _ = client.send(&packet(REMOVE, 0, 1, &string(name)), &[]);
        let _ = client.receive();
        let _ = client.receive();
    }
}

fn blind_put(scene: &Scene, _: &mut State) {
    let Some(client) = putter(scene) else { return };
    if client.send(&put_packet("hits", ""), &[scene.map.as_fd()]).is_ok()
        && let Ok(reply) = client.receive()
    {
        // The agent may have ended the connection.
        assert!(reply.bytes.get(1).is_none_or(|status| *status != 0), "stored");
        let text = String::from_utf8_lossy(&reply.bytes).into_owned();
        assert!(!text.contains("map "), "{text}");
    }
}

fn malformed(scene: &Scene, state: &mut State) {
    let Some(client) = connection(scene) else { return };
    for _ in 0..50 {
        // xorshift64
        state.random ^= state.random << 13;
        state.random ^= state.random >> 7;
        state.random ^= state.random << 17;
        let length = state.random as usize % 200;
        let mut bytes = state.random.to_ne_bytes().repeat(25);
        (bytes[0], bytes[1]) = (VERSION, bytes[1] % 8);
        if client.send(&bytes[..length], &[]).is_err() {
            break;
        }
    }
}

fn hang_up(scene: &Scene, _: &mut State) {
    let Some(client) = connection(scene) else { return };
    let wait = [&0u32.to_ne_bytes()[..], &string("attack-never")].concat();
    let _ = client.send(&packet(WAIT, 0, 1, &wait), &[]);
    for _ in 0..20 {
        let _ = client.send(&packet(LIST, 0, 1, &string("")), &[]);
    }
}
