//! All connections, and the order in which they are served: trusted peers first, and the others
//! in turn, user by user.

use super::connection::{PeerConnection, Shared, Turn};
use super::foreign_fd::ForeignFds;
use super::peer::Peer;
use super::quota::Quota;
use super::service::Service;
use bpf_inherit::untrusted::Attached;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::socket::{Shutdown, shutdown};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Connections beyond the limit, for trusted peers.
pub const RESERVE: usize = 16;
/// The data of epoll events of connections: this and the index of the connection.
pub const FIRST_CONNECTION: u64 = 1 << 32;
/// How long a trusted peer is served at a time.
const TRUSTED_TURN: Duration = Duration::from_millis(5);
/// How long all other peers are served before trusted peers are served again, and how long a step
/// of one of them may take.
const TURN: Duration = Duration::from_millis(1);
const STEP: Duration = Duration::from_millis(1);

/// A connection and its state in the schedule.
#[derive(Debug)]
struct Scheduled {
    connection: PeerConnection,
    /// It is in a queue of the schedule.
    is_queued: bool,
    /// The peer has closed its side.
    is_hung_up: bool,
    /// It is to be ended.
    is_expired: bool,
}

/// The connections, each at an index of its own.
///
/// Connections are watched edge-triggered, for reading and writing. Every packet that a peer reads
/// is reported so. Level-triggered, a socket is writable all the time while a packet is unread.
/// See docs/decisions/agent-events.md.
pub struct Connections {
    epoll: Rc<Epoll>,
    quota: Quota,
    entries: Vec<Option<Scheduled>>,
    free: Vec<usize>,
    trusted: VecDeque<usize>,
    /// By user; none of the queues is empty.
    others: BTreeMap<u32, VecDeque<usize>>,
    /// The user that was served last.
    last_user: u32,
    /// Starved connections may go on.
    is_freed: bool,
    ends: bool,
    buffer: Vec<u8>,
}

impl Connections {
    /// No connections yet, at most `limit`. `request` is the length of the longest request in bytes.
    pub fn new(epoll: Rc<Epoll>, limit: usize, request: usize) -> Connections {
        Connections {
            epoll,
            quota: Quota::new(limit, RESERVE),
            entries: Vec::new(),
            free: Vec::new(),
            trusted: VecDeque::new(),
            others: BTreeMap::new(),
            last_user: 0,
            is_freed: false,
            ends: false,
            buffer: vec![0; request],
        }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.len() == self.free.len()
    }

    /// Whether there is no room even for a trusted peer.
    pub fn is_full(&self) -> bool {
        self.quota.is_full()
    }

    /// Admits a connection, unless the policy has no rule for its peer or there are too many.
    pub fn admit(&mut self, socket: OwnedFd, service: &mut Service, foreign: &mut ForeignFds) {
        let Ok(peer) = Peer::identify(socket.as_fd(), &service.policy) else { return };
        let charge = self.quota.charge(&peer, 1);
        let refusal = match &charge {
            _ if !peer.is_admitted() => Some("no rule matches".to_owned()),
            Err(exceeded) => Some(exceeded.reason("connections")),
            Ok(_) => None,
        };
        let uid = (!peer.is_trusted).then_some(peer.uid);
        let charge = charge.unwrap_or_else(|_| self.quota.charge_always(uid, 0));
        let connection = PeerConnection::new(socket, peer, charge);
        if let Some(why) = refusal {
            service.report(&connection.peer, format_args!("connect: refused: {why}"));
            return connection.close(foreign);
        }
        let key = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        if let Err(errno) = self.epoll.add(&connection, event_of(key)) {
            let cause = bpf_inherit::describe(errno);
            service.report(&connection.peer, format_args!("connect: {cause}"));
            self.free.push(key);
            return connection.close(foreign);
        }
        let entry =
            Scheduled { connection, is_queued: false, is_hung_up: false, is_expired: false };
        self.entries[key] = Some(entry);
    }

    /// Notes an event of a connection, which is served later.
    pub fn note(&mut self, event: &EpollEvent) {
        let key = (event.data() - FIRST_CONNECTION) as usize;
        if let Some(entry) = self.entries.get_mut(key).and_then(Option::as_mut) {
            entry.is_hung_up |= event.events().contains(EpollFlags::EPOLLHUP);
            self.enqueue(key);
        }
    }

    fn enqueue(&mut self, key: usize) {
        let Some(entry) = self.entries[key].as_mut().filter(|entry| !entry.is_queued) else {
            return;
        };
        entry.is_queued = true;
        let peer = &entry.connection.peer;
        match peer.is_trusted {
            true => self.trusted.push_back(key),
            false => self.others.entry(peer.uid).or_default().push_back(key),
        }
    }

    /// Whether a connection is to be served.
    pub fn has_work(&self) -> bool {
        !self.trusted.is_empty() || !self.others.is_empty()
    }

    /// Serves trusted peers, each for a time, and then the others for a time.
    pub fn serve(&mut self, service: &mut Service, foreign: &mut ForeignFds) {
        for _ in 0..self.trusted.len() {
            let Some(key) = self.trusted.pop_front() else { break };
            let end = Instant::now() + TRUSTED_TURN;
            while self.step(key, end, service, foreign) {
                if Instant::now() >= end {
                    self.enqueue(key);
                    break;
                }
            }
        }
        let end = Instant::now() + TURN;
        while let Some(key) = self.next_of_others() {
            if self.step(key, Instant::now() + STEP, service, foreign) {
                self.enqueue(key);
            }
            if Instant::now() >= end {
                break;
            }
        }
        if service.in_flight.take_released() {
            self.is_freed = true;
        }
        if std::mem::take(&mut service.has_news) {
            let store = &service.store;
            self.enqueue_if(|entry| entry.connection.wait().is_some_and(|w| w.may_be_over(store)));
        }
        if std::mem::take(&mut self.is_freed) {
            self.enqueue_if(|entry| entry.connection.is_starved);
        }
    }

    /// Lets starved connections go on.
    pub fn free_starved(&mut self) {
        self.is_freed = true;
    }

    fn enqueue_if(&mut self, is_ready: impl Fn(&Scheduled) -> bool) {
        for key in 0..self.entries.len() {
            if self.entries[key].as_ref().is_some_and(&is_ready) {
                self.enqueue(key);
            }
        }
    }

    /// Takes the next connection of the user after the one that was served last.
    fn next_of_others(&mut self) -> Option<usize> {
        let next = self.others.range(self.last_user.wrapping_add(1)..).next();
        let uid = *next.or_else(|| self.others.iter().next())?.0;
        self.last_user = uid;
        let queue = self.others.get_mut(&uid)?;
        let key = queue.pop_front();
        if queue.is_empty() {
            self.others.remove(&uid);
        }
        key
    }

    /// Makes a step of a connection that was taken from its queue; whether there is more to do.
    fn step(
        &mut self,
        key: usize,
        until: Instant,
        service: &mut Service,
        foreign: &mut ForeignFds,
    ) -> bool {
        let Some(entry) = self.entries[key].as_mut() else { return false };
        entry.is_queued = false;
        let connection = &mut entry.connection;
        if entry.is_expired && !connection.is_receiving() {
            self.end(key, foreign);
            return false;
        }
        let mut shared = Shared { service, foreign, buffer: &mut self.buffer, ends: self.ends };
        let turn = connection.step(key, &mut shared, until);
        connection.is_starved = turn == Turn::Starved;
        // Requests sent before the peer hung up are carried out, but the agent does not wait for
        // anything on its behalf.
        let is_over = turn == Turn::Over || entry.is_hung_up && entry.connection.is_waiting();
        if is_over {
            self.end(key, foreign);
        }
        turn == Turn::Again && !is_over
    }

    /// Ends a connection.
    fn end(&mut self, key: usize, foreign: &mut ForeignFds) {
        let Some(entry) = self.entries[key].as_mut() else { return };
        entry.is_expired = false;
        if entry.connection.end() {
            let _ = self.epoll.delete(&entry.connection);
            if let Some(entry) = self.entries[key].take() {
                // A step that is still queued finds nothing.
                entry.connection.close(foreign);
                self.free.push(key);
            }
        }
    }

    /// Carries out a PUT that a child has received.
    pub fn finish_put(&mut self, key: usize, attached: Attached, service: &mut Service) {
        if let Some(entry) = self.entries[key].as_mut() {
            entry.connection.finish_put(service, attached);
            self.enqueue(key);
        }
    }

    /// Selects the rules that apply to each peer again.
    pub fn apply(&mut self, service: &Service) {
        for key in 0..self.entries.len() {
            let entry = self.entries[key].as_mut();
            if entry.is_some_and(|entry| entry.connection.apply(&service.policy)) {
                self.enqueue(key);
            }
        }
    }

    /// When the first time limit of a client that waits is over.
    pub fn next_wait(&self) -> Option<Instant> {
        self.entries.iter().flatten().filter_map(|entry| entry.connection.wait()?.until).min()
    }

    /// Replies to clients whose time to wait is over.
    pub fn end_waits(&mut self, now: Instant) {
        for key in 0..self.entries.len() {
            if self.entries[key].as_mut().is_some_and(|entry| entry.connection.end_wait(now)) {
                self.enqueue(key);
            }
        }
    }

    /// Ends the connections of idle clients.
    pub fn sweep(&mut self, now: Instant, limit: Duration, service: &mut Service) {
        for key in 0..self.entries.len() {
            let Some(entry) = &mut self.entries[key] else { continue };
            // Other processes of this user may have released fds in flight.
            self.is_freed |= entry.connection.is_starved;
            let is_settled = entry.connection.settle();
            if !entry.is_expired && entry.connection.is_idle(now, limit) {
                entry.is_expired = true;
                service.log.granted(&entry.connection.peer, "closed: idle timeout");
            }
            if is_settled || entry.is_expired {
                self.enqueue(key);
            }
        }
    }

    /// Shuts all connections down for reading: clients can send nothing more, and each connection
    /// is over once the requests that are queued have been answered.
    pub fn shut_down(&mut self) {
        self.ends = true;
        for key in 0..self.entries.len() {
            if let Some(entry) = &self.entries[key] {
                let _ = shutdown(entry.connection.as_fd().as_raw_fd(), Shutdown::Read);
                self.enqueue(key);
            }
        }
    }

    /// Clients with requests that are yet to be answered, once connections are shut down.
    pub fn unanswered(&self) -> usize {
        self.entries.iter().flatten().filter(|entry| entry.connection.is_unanswered()).count()
    }

    /// Drops all connections, except those whose fds the end of the process drops.
    pub fn close(&mut self, foreign: &mut ForeignFds) {
        for entry in self.entries.drain(..).flatten() {
            entry.connection.close(foreign);
        }
    }
}

fn event_of(key: usize) -> EpollEvent {
    let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
    EpollEvent::new(flags, FIRST_CONNECTION + key as u64)
}
