//! The event loop: connections, signals and time limits, in one thread.

use super::access::Access;
use super::crowd::{Crowd, FIRST_CLIENT};
use super::listeners::Listeners;
use super::shared::Agent;
use super::systemd::{Manager, watchdog_interval};
use crate::error::Error;
use crate::socket::endpoint::Endpoint;
use crate::text::count;
use bpf_inherit::Errno;
use nix::poll::PollTimeout;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How new rules are read on SIGHUP.
pub type Reload = Box<dyn Fn() -> anyhow::Result<Access>>;

/// The agent with its sockets. Signals and listeners are reported as long as there is something
/// to be read from them (level-triggered); connections, see [`Crowd`], are not.
pub struct Server {
    epoll: Rc<Epoll>,
    signals: SignalFd,
    agent: Agent,
    listeners: Listeners,
    crowd: Crowd,
    manager: Manager,
    reload: Reload,
}

/// What events of the signals and of the service manager's socket carry. Those of listeners carry
/// [`super::listeners::FIRST_LISTENER`] and up, those of connections [`FIRST_CLIENT`] and up.
const SIGNALS: u64 = 0;
const MANAGER: u64 = 1;
/// Events taken at a time.
const EVENTS: usize = 256;
/// How long requests are answered after SIGTERM.
const DRAIN: Duration = Duration::from_secs(1);
/// How often idle connections are looked for, at most.
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
        listeners: Vec<Endpoint>,
        reload: Reload,
    ) -> Result<Server, Errno> {
        let epoll = Rc::new(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS))?;
        Ok(Server {
            crowd: Crowd::new(epoll.clone(), agent.limits.request),
            manager: Manager::new(epoll.clone(), MANAGER),
            listeners: Listeners::new(epoll.clone(), listeners)?,
            epoll,
            signals,
            agent,
            reload,
        })
    }

    pub fn log(&mut self) -> &mut super::log::Log {
        &mut self.agent.log
    }

    /// Notifies that it is ready, and serves until SIGTERM or SIGINT. Then answers the requests
    /// that have arrived, see [`DRAIN`], and returns.
    pub fn run(&mut self) -> Result<(), Errno> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let mut swept = Instant::now();
        let watchdog = watchdog_interval();
        let mut notified = swept;
        self.manager.notify_ready();
        loop {
            let due =
                watchdog.map(|every| (notified + every).saturating_duration_since(Instant::now()));
            let timeout = self.timeout(swept).into_iter().chain(due).min();
            let count = match self.epoll.wait(&mut events, milliseconds(timeout)) {
                Err(Errno::EINTR) => continue,
                result => result?,
            };
            let was_paused = self.listeners.is_paused();
            let mut ready = Vec::new();
            for event in &events[..count] {
                match event.data() {
                    SIGNALS => {
                        if self.stops() {
                            return self.drain();
                        }
                    }
                    MANAGER => self.manager.send_pending(),
                    token if token < FIRST_CLIENT => ready.push(token),
                    _ => self.serve(event),
                }
            }
            self.crowd.serve_starved(&mut self.agent);
            if std::mem::take(&mut self.agent.news) {
                self.crowd.look(&mut self.agent);
            }
            // Last: an event of a connection that has ended must not be taken for one of a
            // connection that got its place.
            for token in ready {
                self.listeners.accept(token, &mut self.crowd, &mut self.agent);
            }
            if was_paused && !self.crowd.is_full(&self.agent) {
                // If that fails there is another try with the next events.
                let _ = self.listeners.resume();
            }
            let now = Instant::now();
            if now.duration_since(swept) >= self.sweep() {
                swept = now;
                self.crowd.sweep(now, &mut self.agent);
            }
            self.crowd.end_waits(now, &mut self.agent);
            if watchdog.is_some_and(|interval| now.duration_since(notified) >= interval) {
                self.manager.notify_watchdog();
                notified = now;
            }
        }
    }

    /// How often idle connections are looked for.
    fn sweep(&self) -> Duration {
        SWEEP.min(self.agent.limits.patience / 2).max(Duration::from_millis(1))
    }

    /// How long nothing may happen; None for ever.
    fn timeout(&self, swept: Instant) -> Option<Duration> {
        if self.crowd.is_ready() {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let busy = self.crowd.len() > 0 || self.listeners.is_paused();
        let sweep = busy.then(|| swept + self.sweep());
        let next = sweep.into_iter().chain(self.crowd.next_wait()).min();
        next.map(|next| next.saturating_duration_since(now))
    }

    /// Acts on signals; true for one that ends the agent.
    fn stops(&mut self) -> bool {
        let mut stops = false;
        while let Ok(Some(info)) = self.signals.read_signal() {
            if info.ssi_signo != Signal::SIGHUP as u32 {
                stops = true;
                continue;
            }
            self.manager.notify_reloading();
            match (self.reload)() {
                Ok(access) => {
                    self.agent.access = access;
                    self.agent.log.line("rules read again");
                }
                Err(error) => {
                    self.agent.log.line(format_args!("rules stay as they were: {error:#}"));
                }
            }
            self.manager.notify_ready();
        }
        stops
    }

    /// Gives a client its turn after an event of its connection.
    fn serve(&mut self, event: &EpollEvent) {
        let hung_up = event.events().contains(EpollFlags::EPOLLHUP);
        let at = (event.data() - FIRST_CLIENT) as usize;
        self.crowd.serve(at, hung_up, &mut self.agent);
    }

    /// Answers the requests that are queued, for [`DRAIN`] at most, and accepts no more.
    fn drain(&mut self) -> Result<(), Errno> {
        self.manager.notify_stopping();
        self.listeners.pause();
        self.epoll.delete(&self.signals)?;
        self.crowd.shut_down(&mut self.agent);
        let end = Instant::now() + DRAIN;
        let mut events = [EpollEvent::empty(); EVENTS];
        while self.crowd.unanswered() > 0 && Instant::now() < end {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = if self.crowd.is_ready() { Duration::ZERO } else { left };
            let count = match self.epoll.wait(&mut events, milliseconds(Some(timeout))) {
                Err(Errno::EINTR) => continue,
                result => result?,
            };
            // Each turn may take a few milliseconds.
            for event in events[..count].iter().take_while(|_| Instant::now() < end) {
                self.serve(event);
            }
            self.crowd.serve_starved(&mut self.agent);
            // What was put meanwhile may be what others wait for.
            if std::mem::take(&mut self.agent.news) {
                self.crowd.look(&mut self.agent);
            }
        }
        self.crowd.discard_requests(&mut self.agent);
        match self.crowd.unanswered() {
            0 => self.agent.log.line("ends"),
            clients => self
                .agent
                .log
                .line(format_args!("ends: {} not answered in time", count(clients, "connection"))),
        }
        Ok(())
    }
}

/// A timeout of epoll_wait(2), rounded up: nothing is looked at just before it is due.
fn milliseconds(timeout: Option<Duration>) -> PollTimeout {
    let Some(timeout) = timeout else { return PollTimeout::NONE };
    PollTimeout::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX)
}
