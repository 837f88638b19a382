//! All clients at a time, and whose turn it is.

use super::client::{Client, Turn};
use super::share;
use super::shared::Agent;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::socket::{Shutdown, shutdown};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Instant;

/// Connections beyond the limit, for trusted clients.
const RESERVE: usize = 16;
/// What events of connections carry: this and the place of the client.
pub const FIRST_CLIENT: u64 = 1 << 32;

/// The clients, each at a place of its own while it is connected.
///
/// Connections are watched edge-triggered, for reading and writing. Each packet that a peer reads
/// is reported so; level-triggered, a socket is writable all the time while a packet is unread.
pub struct Crowd {
    epoll: Rc<Epoll>,
    clients: Vec<Option<Client>>,
    /// Places that are free.
    free: Vec<usize>,
    /// Descriptors have been received since the clients without room in flight were last served.
    quota_released: bool,
    /// Where requests are received.
    packet: Vec<u8>,
}

impl Crowd {
    /// No clients yet. `request` is the length of the longest request in bytes.
    pub fn new(epoll: Rc<Epoll>, request: usize) -> Crowd {
        let (clients, free) = (Vec::new(), Vec::new());
        Crowd { epoll, clients, free, quota_released: false, packet: vec![0; request] }
    }

    pub fn len(&self) -> usize {
        self.clients.len() - self.free.len()
    }

    /// Whether the limit is reached, the reserve for trusted clients included.
    pub fn is_full(&self, agent: &Agent) -> bool {
        self.len() >= agent.limits.clients + RESERVE
    }

    /// Takes in a client that has connected, unless there are too many, of its user or in all.
    /// Trusted clients are exempt.
    pub fn admit(&mut self, client: Client, agent: &mut Agent) {
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
                return;
            }
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        if let Err(errno) = self.epoll.add(client.socket(), event_of(at)) {
            let cause = bpf_inherit::describe(errno);
            agent.log.line(format_args!("connect: {}: {cause}", client.peer));
            self.free.push(at);
            return;
        }
        self.clients[at] = Some(client);
    }

    /// Serves the clients without room in flight, if descriptors have been received since.
    pub fn serve_starved(&mut self, agent: &mut Agent) {
        if std::mem::take(&mut self.quota_released) {
            for at in 0..self.clients.len() {
                if self.clients[at].as_ref().is_some_and(|client| client.starved) {
                    self.serve(at, false, agent);
                }
            }
        }
    }

    /// Whether [`Crowd::serve_starved`] has a client to serve.
    pub fn is_ready(&self) -> bool {
        self.quota_released && self.clients.iter().flatten().any(|client| client.starved)
    }

    /// When the first of those who wait has waited long enough.
    pub fn next_wait(&self) -> Option<Instant> {
        self.clients.iter().flatten().filter_map(|client| client.wait.as_ref()?.until).min()
    }

    /// Gives a client its turn. `hung_up` means that the client is reported to have closed its end.
    pub fn serve(&mut self, at: usize, hung_up: bool, agent: &mut Agent) {
        let Some(client) = self.clients.get_mut(at).and_then(Option::as_mut) else { return };
        let before = agent.in_flight.total();
        let waited = client.waits();
        let turn = client.turn(agent, &mut self.packet);
        client.starved = turn == Turn::Starved;
        self.quota_released |= agent.in_flight.total() < before;
        let waits = client.waits();
        // Requests sent before the client hung up are carried out, but none is waited for.
        let mut is_over = turn == Turn::Over || hung_up && waits;
        if !is_over && (turn == Turn::Again || waits && !waited) {
            // Has the state of the connection reported again: more to read, room to send, or a
            // client that hung up before it began to wait.
            is_over = self.epoll.modify(client.socket(), &mut event_of(at)).is_err();
        }
        if is_over {
            self.end(at, agent);
        }
    }

    /// Ends a connection.
    pub fn end(&mut self, at: usize, agent: &mut Agent) {
        let Some(client) = self.clients.get_mut(at).and_then(Option::as_mut) else { return };
        let before = agent.in_flight.total();
        if client.end(agent, &mut self.packet) {
            self.clients[at] = None;
            self.free.push(at);
        }
        self.quota_released |= agent.in_flight.total() < before;
    }

    /// Answers those who wait for what has come.
    pub fn look(&mut self, agent: &mut Agent) {
        for at in 0..self.clients.len() {
            if self.clients[at].as_mut().is_some_and(|client| client.look(agent)) {
                self.serve(at, false, agent);
            }
        }
    }

    /// Answers those who have waited long enough.
    pub fn end_waits(&mut self, now: Instant, agent: &mut Agent) {
        for at in 0..self.clients.len() {
            if self.clients[at].as_mut().is_some_and(|client| client.give_up(now)) {
                self.serve(at, false, agent);
            }
        }
    }

    /// Ends the connections of those who do nothing.
    pub fn sweep(&mut self, now: Instant, agent: &mut Agent) {
        for at in 0..self.clients.len() {
            let Some(client) = &mut self.clients[at] else { continue };
            // Room in flight may also be that of other processes of this user.
            self.quota_released |= client.starved;
            if client.settle(agent) {
                self.quota_released = true;
                self.serve(at, false, agent);
            } else if client.dawdles(now, agent.limits.patience) {
                let line = format!("connection of {}: ended: nothing happened", client.peer);
                agent.log.granted(line);
                self.end(at, agent);
            }
        }
    }

    /// Shuts down all connections for reading: clients can send no more, and each connection is
    /// over once the requests that are queued have been answered.
    pub fn shut_down(&mut self, agent: &mut Agent) {
        agent.ends = true;
        for (at, client) in self.clients.iter().enumerate() {
            let Some(client) = client else { continue };
            let _ = shutdown(client.socket().as_raw_fd(), Shutdown::Read);
            let _ = self.epoll.modify(client.socket(), &mut event_of(at));
        }
    }

    /// Clients with requests that are yet to be answered, once connections are shut down.
    pub fn unanswered(&self) -> usize {
        self.clients
            .iter()
            .flatten()
            .filter(|client| client.wait.is_none() && !client.lingers)
            .count()
    }

    /// Receives the requests that are left, so that no client gets ECONNRESET instead of replies.
    pub fn discard_requests(&mut self, agent: &mut Agent) {
        for client in self.clients.iter().flatten() {
            client.empty(agent, &mut self.packet);
        }
    }
}

fn event_of(at: usize) -> EpollEvent {
    let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
    EpollEvent::new(flags, FIRST_CLIENT + at as u64)
}
