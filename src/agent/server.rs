//! The event loop, in one thread: signals, listeners, connections, children and time limits.

use super::connections::{Connections, FIRST_CONNECTION};
use super::foreign_fd::ForeignFds;
use super::listener::{Listener, Listeners};
use super::policy::Policy;
use super::service::Service;
use super::{Limits, log::Log};
use crate::error::Error;
use crate::manager::{Manager, watchdog_interval};
use crate::text::count;
use bpf_inherit::Errno;
use nix::poll::PollTimeout;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Reads the rules again on SIGHUP. The errors are all that are wrong with them.
pub type Reload = Box<dyn Fn() -> Result<Policy, Vec<anyhow::Error>>>;

/// The agent with its sockets.
///
/// Signals, listeners, children and the service manager are watched level-triggered: epoll reports
/// them as long as they are readable, or, for the manager, writable. Connections are watched
/// edge-triggered, see [`Connections`].
pub struct Server {
    epoll: Rc<Epoll>,
    signals: SignalFd,
    service: Service,
    listeners: Listeners,
    connections: Connections,
    foreign: ForeignFds,
    manager: Manager,
    reload: Reload,
    idle_timeout: Duration,
    swept: Instant,
}

/// The data of epoll events, lower than those of listeners and of connections.
const SIGNALS: u64 = 0;
const MANAGER: u64 = 1;
const CHILDREN: u64 = 2;
/// Events received at a time.
const EVENTS: usize = 256;
/// How long requests are answered after SIGTERM.
const DRAIN: Duration = Duration::from_secs(1);
/// The longest time between two searches for idle connections.
const SWEEP: Duration = Duration::from_secs(1);

/// Blocks the signals that the agent handles; to be called before a socket is bound.
pub fn block_signals() -> Result<SignalFd, Error> {
    let fail = |errno: Errno| Error::new("signals", "block", errno);
    let set: SigSet = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    set.thread_block().map_err(fail)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(fail)
}

impl Server {
    pub fn new(
        service: Service,
        signals: SignalFd,
        listeners: Vec<Listener>,
        limits: &Limits,
        reload: Reload,
    ) -> Result<Server, Errno> {
        let epoll = Rc::new(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS))?;
        Ok(Server {
            connections: Connections::new(epoll.clone(), limits.clients, limits.request),
            foreign: ForeignFds::new(epoll.clone(), CHILDREN),
            manager: Manager::new(epoll.clone(), MANAGER),
            listeners: Listeners::new(epoll.clone(), listeners)?,
            epoll,
            signals,
            service,
            reload,
            idle_timeout: limits.idle_timeout,
            swept: Instant::now(),
        })
    }

    pub fn log(&mut self) -> &mut Log {
        &mut self.service.log
    }

    /// Notifies that the agent is ready, and serves until SIGTERM or SIGINT. Then answers the
    /// requests that have arrived, see [`DRAIN`], and returns. The caller ends the process: the
    /// sockets that are left are dropped with it.
    pub fn run(mut self) -> Result<(), Errno> {
        let watchdog = watchdog_interval();
        let mut notified = Instant::now();
        self.manager.notify_ready();
        loop {
            let due = watchdog.map(|interval| notified + interval);
            let timeout = self.next().into_iter().chain(due).min();
            let was_paused = self.listeners.is_paused();
            if self.handle_events(timeout)? {
                return self.drain();
            }
            if was_paused && !self.connections.is_full() && !self.foreign.is_full() {
                // If that fails there is another attempt with the next events.
                let _ = self.listeners.resume();
            }
            let now = Instant::now();
            if now.duration_since(self.swept) >= self.sweep_interval() {
                self.swept = now;
                self.connections.sweep(now, self.idle_timeout, &mut self.service);
            }
            self.connections.end_waits(now);
            self.service.log.end_period(now);
            if watchdog.is_some_and(|interval| now.duration_since(notified) >= interval) {
                self.manager.notify_watchdog();
                notified = now;
            }
        }
    }

    /// Waits for events until `timeout`, or without a limit, and handles them; true for a signal
    /// that ends the agent.
    fn handle_events(&mut self, timeout: Option<Instant>) -> Result<bool, Errno> {
        let now = Instant::now();
        let timeout = match self.connections.has_work() {
            true => Some(Duration::ZERO),
            false => timeout.map(|at| at.saturating_duration_since(now)),
        };
        let mut events = [EpollEvent::empty(); EVENTS];
        let count = match self.epoll.wait(&mut events, milliseconds(timeout)) {
            Err(Errno::EINTR) => return Ok(false),
            result => result?,
        };
        let mut pending = Vec::new();
        let mut ends = false;
        for event in &events[..count] {
            match event.data() {
                SIGNALS => ends |= self.handle_signals(),
                MANAGER => self.manager.send_pending(),
                CHILDREN => self.examine_children(),
                token if token < FIRST_CONNECTION => pending.push(token),
                _ => self.connections.note(event),
            }
        }
        self.connections.serve(&mut self.service, &mut self.foreign);
        // Last: an event of a connection that has ended must not count for one that got its index.
        if ends {
            // Connections in the backlog are left to the next agent.
            return Ok(true);
        }
        let (service, foreign) = (&mut self.service, &mut self.foreign);
        self.listeners.accept(&pending, &mut self.connections, service, foreign);
        self.foreign.start_batch(Instant::now());
        Ok(false)
    }

    fn examine_children(&mut self) {
        let (received, is_freed) = self.foreign.examine();
        for (key, attached) in received {
            self.connections.finish_put(key, attached, &mut self.service);
        }
        if is_freed {
            self.connections.free_starved();
        }
    }

    fn sweep_interval(&self) -> Duration {
        SWEEP.min(self.idle_timeout / 2).max(Duration::from_millis(1))
    }

    /// When something is to be done without an event; None for never.
    fn next(&self) -> Option<Instant> {
        let busy = !self.connections.is_empty() || self.listeners.is_paused();
        let sweep = busy.then(|| self.swept + self.sweep_interval());
        let limits = [sweep, self.connections.next_wait(), self.foreign.next_batch()];
        limits.into_iter().chain([self.service.log.next_report()]).flatten().min()
    }

    /// Handles signals; true for one that ends the agent.
    fn handle_signals(&mut self) -> bool {
        let mut ends = false;
        loop {
            let signal = match self.signals.read_signal() {
                Ok(Some(info)) => info.ssi_signo,
                Ok(None) => return ends,
                Err(Errno::EINTR) => continue,
                // It is reported again as long as a signal is pending.
                Err(_) => return ends,
            };
            if signal != Signal::SIGHUP as u32 {
                ends = true;
                continue;
            }
            self.manager.notify_reloading();
            match (self.reload)() {
                Ok(policy) => {
                    self.service.policy = policy;
                    self.connections.apply(&self.service);
                    self.service.log.line("rules reloaded");
                }
                Err(errors) => {
                    for error in errors {
                        self.service.log.line(format_args!("rules unchanged: {error:#}"));
                    }
                }
            }
            self.manager.notify_ready();
        }
    }

    /// Answers the requests that are queued, for [`DRAIN`] at most, and accepts nothing more.
    fn drain(mut self) -> Result<(), Errno> {
        self.manager.notify_stopping();
        self.listeners.pause(true);
        self.epoll.delete(&self.signals)?;
        self.connections.shut_down();
        let end = Instant::now() + DRAIN;
        while self.connections.unanswered() > 0 && Instant::now() < end {
            self.handle_events(Some(end))?;
        }
        self.listeners.remove_files();
        match self.connections.unanswered() {
            0 => self.service.log.line("ends"),
            clients => {
                let clients = count(clients, "connection");
                self.service.log.line(format_args!("ends: {clients} not answered in time"));
            }
        }
        self.connections.close(&mut self.foreign);
        // Not dropped here: an exiting process does not linger.
        std::mem::forget((self.foreign, self.service));
        Ok(())
    }
}

/// A timeout of epoll_wait(2), rounded up: nothing is examined just before it is due.
fn milliseconds(timeout: Option<Duration>) -> PollTimeout {
    let Some(timeout) = timeout else { return PollTimeout::NONE };
    PollTimeout::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(PollTimeout::MAX)
}
