//! The listening sockets: a private one for root and the agent's own user, which is accepted first,
//! and public ones.

use super::connections::Connections;
use super::foreign_fd::ForeignFds;
use super::service::Service;
use crate::socket::endpoint::Endpoint;
use bpf_inherit::Errno;
use bpf_inherit::fd::accept;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The data of epoll events of listeners: this and the index of the listener.
pub const FIRST_LISTENER: u64 = 16;
/// Connections of one listener that are accepted at a time.
const MAX_ACCEPTED: usize = 16;
/// How long connections of a public listener are accepted at a time: a peer may be in 65,536 groups.
const ACCEPT_TIME: Duration = Duration::from_millis(1);

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    pub endpoint: Endpoint,
    /// Only root and the agent's own user can connect to it.
    pub is_private: bool,
}

/// All listeners. They are watched level-triggered, and not at all while no connection can be
/// accepted: they would be reported again and again.
pub struct Listeners {
    epoll: Rc<Epoll>,
    listeners: Vec<Listener>,
    is_paused: bool,
    /// The error of accept(2) was logged since the last connection was accepted.
    is_error_logged: bool,
}

impl Listeners {
    pub fn new(epoll: Rc<Epoll>, mut listeners: Vec<Listener>) -> Result<Listeners, Errno> {
        listeners.sort_by_key(|listener| !listener.is_private);
        let mut listeners = Listeners { epoll, listeners, is_paused: true, is_error_logged: false };
        listeners.resume()?;
        Ok(listeners)
    }

    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Accepts connections of the listeners whose events have these data, the private one first.
    /// Listeners with more connections are reported again.
    pub fn accept(
        &mut self,
        tokens: &[u64],
        connections: &mut Connections,
        service: &mut Service,
        foreign: &mut ForeignFds,
    ) {
        for (token, listener) in (FIRST_LISTENER..).zip(&self.listeners) {
            if !tokens.contains(&token) {
                continue;
            }
            let end = Instant::now() + ACCEPT_TIME;
            for accepted in 0..MAX_ACCEPTED {
                if !listener.is_private && accepted > 0 && Instant::now() >= end {
                    break;
                }
                if connections.is_full() {
                    return self.pause(true);
                }
                if !listener.is_private && foreign.is_full() {
                    return self.pause(false);
                }
                match accept(listener.endpoint.as_fd()) {
                    Ok(socket) => {
                        self.is_error_logged = false;
                        connections.admit(socket, service, foreign);
                    }
                    Err(Errno::EINTR | Errno::ECONNABORTED) => {}
                    Err(Errno::EAGAIN) => break,
                    // Without a free descriptor it fails even if no connection is left.
                    Err(_) if accepted > 0 => break,
                    Err(errno) => {
                        if !std::mem::replace(&mut self.is_error_logged, true) {
                            let cause = bpf_inherit::describe(errno);
                            service.log.line(format_args!("accept: {cause}"));
                        }
                        return self.pause(true);
                    }
                }
            }
        }
    }

    /// Stops watching the public listeners, and the private one, too, if `all`.
    pub fn pause(&mut self, all: bool) {
        self.is_paused = true;
        for listener in self.listeners.iter().filter(|listener| all || !listener.is_private) {
            // ENOENT for one that is not watched.
            let _ = self.epoll.delete(&listener.endpoint);
        }
    }

    /// Watches the listeners, all of them or none.
    pub fn resume(&mut self) -> Result<(), Errno> {
        self.is_paused = false;
        for (token, listener) in (FIRST_LISTENER..).zip(&self.listeners) {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, token);
            match self.epoll.add(&listener.endpoint, event) {
                // It was not paused.
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => {
                    self.pause(true);
                    return Err(errno);
                }
            }
        }
        Ok(())
    }

    /// Removes the files of the sockets. The sockets themselves stay open until the process ends:
    /// closing one would drop fds that are queued to connections in its backlog.
    pub fn remove_files(self) {
        for listener in self.listeners {
            if let Endpoint::Bound(bound) = &listener.endpoint {
                bound.remove_file();
            }
            std::mem::forget(listener);
        }
    }
}
