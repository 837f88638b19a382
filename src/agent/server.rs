//! The event loop: connections, signals and time limits, in one thread.

use super::access::Access;
use super::client::Client;
use super::crowd::Crowd;
use super::shared::Agent;
use super::systemd;
use crate::error::Error;
use crate::source::endpoint::Socket;
use crate::sys::Errno;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{SockFlag, accept4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How new rules are read on SIGHUP.
pub type Reload = Box<dyn Fn() -> anyhow::Result<Access>>;

/// The agent with its sockets.
pub struct Server {
    poll: Poll,
    signals: SignalFd,
    agent: Agent,
    listeners: Vec<Socket>,
    crowd: Crowd,
    /// Connections may be waiting that were not accepted.
    knocking: bool,
    /// And there was room for more of them.
    crowded: bool,
    /// Why connections are not accepted has been said.
    complained: bool,
    reload: Reload,
}

const SIGNALS: Token = Token(0);
/// Events taken at a time.
const EVENTS: usize = 256;
/// Connections beyond the limit, for those who are trusted.
const RESERVE: usize = 16;
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
        reload: Reload,
    ) -> std::io::Result<Server> {
        let poll = Poll::new()?;
        let sources = std::iter::once(signals.as_fd()).chain(listeners.iter().map(AsFd::as_fd));
        for (token, source) in sources.enumerate() {
            let raw = source.as_raw_fd();
            poll.registry().register(&mut SourceFd(&raw), Token(token), Interest::READABLE)?;
        }
        Ok(Server {
            poll,
            signals,
            crowd: Crowd::new(agent.limits.request),
            agent,
            listeners,
            knocking: true,
            crowded: false,
            complained: false,
            reload,
        })
    }

    pub fn log(&mut self) -> &mut super::log::Log {
        &mut self.agent.log
    }

    /// Serves until SIGTERM or SIGINT; then answers the requests that have come, and returns.
    pub fn run(&mut self) -> std::io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut swept = Instant::now();
        let watchdog = systemd::watchdog_interval();
        let mut notified = swept;
        loop {
            let due =
                watchdog.map(|every| (notified + every).saturating_duration_since(Instant::now()));
            let timeout = self.timeout(swept).into_iter().chain(due).min();
            match self.poll.poll(&mut events, timeout) {
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
                    Token(n) => {
                        let at = n - self.first_client();
                        self.crowd.hear(at, event.is_write_closed(), &mut self.agent);
                    }
                }
            }
            self.crowd.go_on(&mut self.agent);
            if std::mem::take(&mut self.agent.news) {
                self.crowd.look(&mut self.agent);
            }
            if self.knocking {
                self.accept();
            }
            let now = Instant::now();
            if now.duration_since(swept) >= self.sweep() {
                swept = now;
                self.crowd.sweep(now, &mut self.agent);
            }
            self.crowd.end_waits(now, &mut self.agent);
            if watchdog.is_some_and(|interval| now.duration_since(notified) >= interval) {
                systemd::notify_watchdog();
                notified = now;
            }
        }
    }

    /// How often those who dawdle are looked for.
    fn sweep(&self) -> Duration {
        SWEEP.min(self.agent.limits.patience / 2).max(Duration::from_millis(1))
    }

    /// How long nothing may happen; None for ever.
    fn timeout(&self, swept: Instant) -> Option<Duration> {
        if self.crowd.is_ready() || self.crowded {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let busy = self.crowd.len() > 0 || self.knocking;
        let sweep = busy.then(|| (swept + self.sweep()).saturating_duration_since(now));
        let wait = self.crowd.next_wait();
        let wait = wait.map(|until| until.saturating_duration_since(now));
        // Rounded up, so that no wait is looked at just before its end.
        let wait = wait.map(|wait| wait + Duration::from_millis(1));
        sweep.into_iter().chain(wait).min()
    }

    fn first_client(&self) -> usize {
        1 + self.listeners.len()
    }

    /// Acts on signals; true for one that ends the agent.
    fn stops(&mut self) -> bool {
        let mut stops = false;
        while let Ok(Some(info)) = self.signals.read_signal() {
            if info.ssi_signo != Signal::SIGHUP as u32 {
                stops = true;
                continue;
            }
            systemd::notify_reloading();
            match (self.reload)() {
                Ok(access) => {
                    self.agent.access = access;
                    self.agent.log.line("rules read again");
                }
                Err(error) => {
                    self.agent.log.line(format_args!("rules stay as they were: {error:#}"));
                }
            }
            systemd::notify_ready();
        }
        stops
    }

    /// Answers what has been asked, and takes no more.
    fn drain(&mut self) {
        systemd::notify_stopping();
        self.crowd.drain(&mut self.agent);
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
                if self.crowd.len() >= self.agent.limits.clients + RESERVE {
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
                    // Without a descriptor left it fails before it looks whether anybody knocks.
                    Err(_) if !is_readable(self.listeners[at].as_fd()) => break,
                    Err(errno) => {
                        // Another try when a descriptor is left.
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
        let raw = client.socket().as_raw_fd();
        let Some(at) = self.crowd.admit(client, &mut self.agent) else { return };
        let token = Token(self.first_client() + at);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(e) = self.poll.registry().register(&mut SourceFd(&raw), token, interest) {
            self.agent.log.line(format_args!("connect: {e}"));
            self.crowd.end(at, &mut self.agent);
        }
    }
}

fn is_readable(fd: BorrowedFd) -> bool {
    let mut ready = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut ready, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
