//! All clients at a time, and whose turn it is.

use super::client::{Client, Turn};
use super::share;
use super::shared::Agent;
use nix::sys::socket::{Shutdown, shutdown};
use std::collections::BTreeSet;
use std::os::fd::AsRawFd;
use std::time::Instant;

/// The clients, each at a place of its own while it is connected.
pub struct Crowd {
    clients: Vec<Option<Client>>,
    /// Places that are free.
    free: Vec<usize>,
    /// Clients that have more to do, or no room in flight.
    again: BTreeSet<usize>,
    /// There is more room in flight than when they last had their turn.
    fed: bool,
    /// Where requests are received.
    packet: Vec<u8>,
}

impl Crowd {
    /// Nobody yet. Requests have so many bytes at most.
    pub fn new(request: usize) -> Crowd {
        let (clients, free) = (Vec::new(), Vec::new());
        Crowd { clients, free, again: BTreeSet::new(), fed: false, packet: vec![0; request] }
    }

    pub fn len(&self) -> usize {
        self.clients.len() - self.free.len()
    }

    /// Takes in a client that has connected, and says where; None where there are too many, of
    /// its user or in all. Those who are trusted are kept out by nobody.
    pub fn admit(&mut self, client: Client, agent: &mut Agent) -> Option<usize> {
        let peer = &client.peer;
        if !agent.access.is_trusted(peer) {
            let same = |other: &&Client| other.peer.uid == peer.uid;
            let many = self.clients.iter().flatten().filter(same).count();
            let why = if many >= share(agent.limits.clients) {
                format!("{many} connections of one user")
            } else if self.len() >= agent.limits.clients {
                format!("{} connections, as many as may be", self.len())
            } else if agent.closer.is_behind(peer.uid) {
                "what it sent is not closed yet".into()
            } else {
                String::new()
            };
            if !why.is_empty() {
                agent.log.line(format_args!("connect: {peer}: refused: {why}"));
                return None;
            }
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        self.clients[at] = Some(client);
        Some(at)
    }

    /// A client's socket tells something.
    pub fn hear(&mut self, at: usize, closed: bool, agent: &mut Agent) {
        if let Some(client) = self.clients.get_mut(at).and_then(Option::as_mut) {
            client.gone |= closed;
        }
        self.serve(at, agent);
    }

    /// Gives those their turn who have more to do.
    pub fn go_on(&mut self, agent: &mut Agent) {
        let fed = std::mem::take(&mut self.fed);
        for at in std::mem::take(&mut self.again) {
            if fed || !self.is_starved(at) {
                self.serve(at, agent);
            } else {
                self.again.insert(at);
            }
        }
    }

    /// Whether somebody can go on at once.
    pub fn is_ready(&self) -> bool {
        self.again.iter().any(|&at| self.fed || !self.is_starved(at))
    }

    /// Whether a client is to act only once others have read: their sockets tell when.
    fn is_starved(&self, at: usize) -> bool {
        self.clients.get(at).and_then(Option::as_ref).is_none_or(|client| client.starved)
    }

    /// When the first of those who wait has waited long enough.
    pub fn next_wait(&self) -> Option<Instant> {
        self.clients.iter().flatten().filter_map(|client| client.wait.as_ref()?.until).min()
    }

    fn serve(&mut self, at: usize, agent: &mut Agent) {
        let Some(client) = self.clients.get_mut(at).and_then(Option::as_mut) else { return };
        let before = agent.in_flight.total();
        let turn = client.turn(agent, &mut self.packet);
        client.starved = turn == Turn::Starved;
        match turn {
            // What it asked before it went is done all the same; only waiting is in vain.
            _ if client.gone && (client.wait.is_some() || client.starved || client.lingers) => {
                self.end(at, agent);
            }
            Turn::Idle => {}
            Turn::Again | Turn::Starved => drop(self.again.insert(at)),
            Turn::Over => self.end(at, agent),
        }
        self.fed |= agent.in_flight.total() < before;
    }

    /// Ends a connection.
    pub fn end(&mut self, at: usize, agent: &mut Agent) {
        let Some(client) = self.clients.get_mut(at).and_then(Option::as_mut) else { return };
        let before = agent.in_flight.total();
        if client.end(agent, &mut self.packet) {
            self.clients[at] = None;
            self.free.push(at);
        }
        self.fed |= agent.in_flight.total() < before;
    }

    /// Answers those who wait for what has come.
    pub fn look(&mut self, agent: &mut Agent) {
        for at in 0..self.clients.len() {
            if self.clients[at].as_mut().is_some_and(|client| client.look(agent)) {
                self.serve(at, agent);
            }
        }
    }

    /// Answers those who have waited long enough.
    pub fn end_waits(&mut self, now: Instant, agent: &mut Agent) {
        for at in 0..self.clients.len() {
            if self.clients[at].as_mut().is_some_and(|client| client.give_up(now)) {
                self.serve(at, agent);
            }
        }
    }

    /// Ends the connections of those who do nothing.
    pub fn sweep(&mut self, now: Instant, agent: &mut Agent) {
        for at in 0..self.clients.len() {
            let Some(client) = &mut self.clients[at] else { continue };
            if client.settle(agent) {
                self.fed = true;
                self.serve(at, agent);
            } else if client.dawdles(now, agent.limits.patience) {
                let line = format!("connection of {}: ended: nothing happened", client.peer);
                agent.log.granted(line);
                self.end(at, agent);
            }
        }
    }

    /// Answers what has been asked, and takes no more.
    pub fn drain(&mut self, agent: &mut Agent) {
        agent.ends = true;
        for client in self.clients.iter_mut().flatten() {
            // From now on it can send no more, and so this ends: by the requests that are queued,
            // not by a number of turns, which are too short for all of them on a slow machine.
            let _ = shutdown(client.socket().as_raw_fd(), Shutdown::Read);
            while client.turn(agent, &mut self.packet) == Turn::Again {}
            client.empty(agent, &mut self.packet);
        }
    }
}
