//! The event loop: connections, transfers, signals and time, in one thread.

use super::access::Access;
use super::answer::Agent;
use super::client::{Client, Turn};
use super::import::Import;
use super::systemd;
use crate::error::Error;
use crate::source::socket::Bound;
use crate::sys::Errno;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{Shutdown, SockFlag, accept4, shutdown};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// A socket that was bound here, whose file goes with it, or that was inherited.
#[derive(Debug)]
pub enum Socket {
    Bound(Bound),
    Inherited(OwnedFd),
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Bound(bound) => bound.socket(),
            Socket::Inherited(fd) => fd.as_fd(),
        }
    }
}

/// How new rules are read on SIGHUP.
pub type Reload = Box<dyn Fn() -> anyhow::Result<Access>>;

/// The agent with its sockets.
pub struct Server {
    poll: Poll,
    signals: SignalFd,
    agent: Agent,
    listeners: Vec<Socket>,
    imports: Vec<Import>,
    clients: Vec<Option<Client>>,
    /// Places in `clients` that are free.
    free: Vec<usize>,
    /// Clients that have more to do, or no room in flight.
    again: BTreeSet<usize>,
    /// There is more room in flight than when they last had their turn.
    fed: bool,
    /// Imports that may have more to take.
    more: BTreeSet<usize>,
    /// Connections may be waiting that were not accepted.
    knocking: bool,
    /// And there was room for more of them.
    crowded: bool,
    /// Why connections are not accepted has been said.
    complained: bool,
    reload: Reload,
    /// Where requests are received.
    packet: Vec<u8>,
}

const SIGNALS: Token = Token(0);
/// Events taken at a time.
const EVENTS: usize = 256;
/// Turns that a client or a sender has once the agent is to end.
const LAST_TURNS: usize = 16;
/// How often those who dawdle are looked for, at most.
const SWEEP: Duration = Duration::from_secs(1);

/// Holds back the signals that the agent acts on; to be called before anything is bound.
pub fn hold_signals() -> Result<SignalFd, Error> {
    let fail = |errno: Errno| Error::new("signals", "hold back", errno);
    let set: SigSet = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    set.thread_block().map_err(fail)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(fail)
}

impl Server {
    pub fn new(
        agent: Agent,
        signals: SignalFd,
        listeners: Vec<Socket>,
        imports: Vec<Import>,
        reload: Reload,
    ) -> std::io::Result<Server> {
        let poll = Poll::new()?;
        let sources = std::iter::once(signals.as_fd()).chain(listeners.iter().map(AsFd::as_fd));
        let sources = sources.chain(imports.iter().map(|import| import.socket.as_fd()));
        for (token, source) in sources.enumerate() {
            let raw = source.as_raw_fd();
            poll.registry().register(&mut SourceFd(&raw), Token(token), Interest::READABLE)?;
        }
        let packet = vec![0; agent.limits.request];
        Ok(Server {
            poll,
            signals,
            agent,
            listeners,
            // What came before the sockets were registered is not told.
            more: (0..imports.len()).collect(),
            imports,
            clients: Vec::new(),
            free: Vec::new(),
            again: BTreeSet::new(),
            fed: false,
            knocking: true,
            crowded: false,
            complained: false,
            reload,
            packet,
        })
    }

    pub fn log(&mut self) -> &mut super::log::Log {
        &mut self.agent.log
    }

    /// Serves until SIGTERM or SIGINT; then answers the requests that have come, and returns.
    pub fn run(&mut self) -> std::io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut swept = Instant::now();
        loop {
            match self.poll.poll(&mut events, self.timeout(swept)) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                match event.token() {
                    SIGNALS => {
                        if self.stops() {
                            self.drain();
                            return Ok(());
                        }
                    }
                    Token(n) if n <= self.listeners.len() => self.knocking = true,
                    Token(n) if n < self.first_client() => {
                        self.more.insert(n - 1 - self.listeners.len());
                    }
                    Token(n) => self.hear(n - self.first_client(), event.is_write_closed()),
                }
            }
            self.fed = false;
            for at in std::mem::take(&mut self.again) {
                self.serve(at);
            }
            for at in std::mem::take(&mut self.more) {
                if self.imports[at].turn(&mut self.agent) {
                    self.more.insert(at);
                }
            }
            if std::mem::take(&mut self.agent.news) {
                self.look();
            }
            if self.knocking {
                self.accept();
            }
            let now = Instant::now();
            if now.duration_since(swept) >= self.sweep() {
                swept = now;
                self.sweep_clients(now);
            }
            self.end_waits(now);
        }
    }

    /// How often those who dawdle are looked for.
    fn sweep(&self) -> Duration {
        SWEEP.min(self.agent.limits.patience / 2).max(Duration::from_millis(1))
    }

    /// How long nothing may happen; None for ever.
    fn timeout(&self, swept: Instant) -> Option<Duration> {
        let ready = self.again.iter().any(|&at| self.fed || !self.is_starved(at));
        if ready || !self.more.is_empty() || self.crowded {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let busy = self.clients.len() > self.free.len()
            || self.imports.iter().any(Import::is_waiting)
            || self.knocking;
        let sweep = busy.then(|| (swept + self.sweep()).saturating_duration_since(now));
        let waits = self.clients.iter().flatten().filter_map(|client| client.wait.as_ref()?.until);
        let wait = waits.min().map(|until| until.saturating_duration_since(now));
        // Rounded up, so that no wait is looked at just before its end.
        let wait = wait.map(|wait| wait + Duration::from_millis(1));
        sweep.into_iter().chain(wait).min()
    }

    /// Whether a client is to act only once others have read: their sockets tell when.
    fn is_starved(&self, at: usize) -> bool {
        self.clients.get(at).and_then(Option::as_ref).is_none_or(|client| client.starved)
    }

    fn first_client(&self) -> usize {
        1 + self.listeners.len() + self.imports.len()
    }

    /// Acts on signals; true for one that ends the agent.
    fn stops(&mut self) -> bool {
        let mut stops = false;
        while let Ok(Some(info)) = self.signals.read_signal() {
            if info.ssi_signo != Signal::SIGHUP as u32 {
                stops = true;
                continue;
            }
            systemd::tell_reloading();
            match (self.reload)() {
                Ok(access) => {
                    self.agent.access = access;
                    self.agent.log.line("rules read again");
                }
                Err(error) => {
                    self.agent.log.line(format_args!("rules stay as they were: {error:#}"));
                }
            }
            systemd::tell("READY=1\n");
        }
        stops
    }

    /// Answers what has been asked, and takes no more.
    fn drain(&mut self) {
        systemd::tell("STOPPING=1\n");
        for import in &mut self.imports {
            let _ = (0..LAST_TURNS).all(|_| import.turn(&mut self.agent));
        }
        for client in self.clients.iter_mut().flatten() {
            // What is not read by the end would have the client's kernel say so (ECONNRESET)
            // before it gives the replies.
            let _ = shutdown(client.socket().as_raw_fd(), Shutdown::Read);
            let mut turn = || client.turn(&mut self.agent, &mut self.packet);
            let _ = (0..LAST_TURNS).all(|_| turn() == Turn::Again);
        }
        self.agent.log.line("ends");
    }

    /// Accepts connections, as long as there is room.
    fn accept(&mut self) {
        (self.knocking, self.crowded) = (false, false);
        for at in 0..self.listeners.len() {
            let mut accepted = 0;
            loop {
                accepted += 1;
                if accepted > EVENTS {
                    (self.knocking, self.crowded) = (true, true);
                    break;
                }
                if self.clients.len() - self.free.len() >= self.agent.limits.clients {
                    // The others wait where they are, until one of these ends.
                    self.knocking = true;
                    return;
                }
                let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
                let listener = self.listeners[at].as_fd().as_raw_fd();
                match accept4(listener, flags) {
                    Ok(socket) => self.admit(crate::sys::fd::accepted(socket)),
                    Err(Errno::EAGAIN) => break,
                    Err(Errno::EINTR | Errno::ECONNABORTED) => {}
                    Err(errno) => {
                        // No descriptor is left, most likely: another try when one is.
                        self.knocking = true;
                        if !std::mem::replace(&mut self.complained, true) {
                            let cause = crate::error::describe(errno);
                            self.agent.log.line(format_args!("accept: {cause}"));
                        }
                        return;
                    }
                }
                self.complained = false;
            }
        }
    }

    fn admit(&mut self, socket: OwnedFd) {
        let Ok(client) = Client::new(socket) else { return };
        let peer = &client.peer;
        let same = |other: &&Client| other.peer.uid == peer.uid;
        let many = self.clients.iter().flatten().filter(same).count();
        // So that one user cannot keep all others out.
        if !self.agent.access.is_trusted(peer) && many >= (self.agent.limits.clients / 2).max(1) {
            self.agent
                .log
                .line(format_args!("connect: {peer}: refused: {many} connections of one user"));
            return;
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        let raw = client.socket().as_raw_fd();
        let token = Token(self.first_client() + at);
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self.poll.registry().register(&mut SourceFd(&raw), token, interest) {
            Ok(()) => self.clients[at] = Some(client),
            Err(e) => {
                self.free.push(at);
                self.agent.log.line(format_args!("connect: {e}"));
            }
        }
    }

    /// A client's socket tells something.
    fn hear(&mut self, at: usize, closed: bool) {
        if let Some(client) = self.clients.get_mut(at).and_then(Option::as_mut) {
            client.gone |= closed;
        }
        self.serve(at);
    }

    fn serve(&mut self, at: usize) {
        let Some(client) = self.clients.get_mut(at).and_then(Option::as_mut) else { return };
        let before = self.agent.in_flight.total();
        let turn = client.turn(&mut self.agent, &mut self.packet);
        client.starved = turn == Turn::Starved;
        match turn {
            // What it asked before it went is done all the same; only waiting is in vain.
            _ if client.gone && (client.wait.is_some() || client.starved) => self.end(at),
            Turn::Idle => {}
            Turn::Again | Turn::Starved => drop(self.again.insert(at)),
            Turn::Over => self.end(at),
        }
        self.fed |= self.agent.in_flight.total() < before;
    }

    fn end(&mut self, at: usize) {
        let Some(mut client) = self.clients.get_mut(at).and_then(Option::take) else { return };
        self.fed |= client.release(&mut self.agent);
        self.free.push(at);
    }

    /// Answers those who wait for what has come.
    fn look(&mut self) {
        for at in 0..self.clients.len() {
            if self.clients[at].as_mut().is_some_and(|client| client.look(&self.agent)) {
                self.serve(at);
            }
        }
    }

    fn end_waits(&mut self, now: Instant) {
        for at in 0..self.clients.len() {
            if self.clients[at].as_mut().is_some_and(|client| client.give_up(now)) {
                self.serve(at);
            }
        }
    }

    /// Ends the connections of those who do nothing.
    fn sweep_clients(&mut self, now: Instant) {
        let patience = self.agent.limits.patience;
        for at in 0..self.clients.len() {
            let Some(client) = &mut self.clients[at] else { continue };
            if client.settle(&mut self.agent) {
                self.fed = true;
                self.serve(at);
            } else if client.dawdles(now, patience) {
                let line = format!("connection of {}: ended: nothing happened", client.peer);
                self.agent.log.granted(line);
                self.end(at);
            }
        }
        for import in &mut self.imports {
            import.tidy(&mut self.agent, now, patience);
        }
    }
}
