//! The sockets on which connections are accepted, as long as there is room for them.

use super::client::Client;
use super::crowd::Crowd;
use super::shared::Agent;
use crate::socket::endpoint::Endpoint;
use bpf_inherit::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use std::os::fd::AsFd;
use std::rc::Rc;

/// What events of listeners carry: this and the position of the listener.
pub const FIRST_LISTENER: u64 = 2;
/// Connections of one listener that are accepted at a time.
const ACCEPTS: usize = 256;

/// All listeners. They are watched level-triggered, and not at all while no connection can be
/// accepted: they would be reported again and again.
pub struct Listeners {
    epoll: Rc<Epoll>,
    sockets: Vec<Endpoint>,
    is_paused: bool,
    /// The error of accept(2) is in the log since the last connection was accepted.
    is_error_logged: bool,
}

impl Listeners {
    pub fn new(epoll: Rc<Epoll>, sockets: Vec<Endpoint>) -> Result<Listeners, Errno> {
        let mut listeners = Listeners { epoll, sockets, is_paused: true, is_error_logged: false };
        listeners.resume()?;
        Ok(listeners)
    }

    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Accepts connections of the listener that was reported with `token`. If some are left it is
    /// reported again.
    pub fn accept(&mut self, token: u64, crowd: &mut Crowd, agent: &mut Agent) {
        let listener = self.sockets[(token - FIRST_LISTENER) as usize].as_fd();
        for accepted in 0..ACCEPTS {
            if crowd.is_full(agent) {
                return self.pause();
            }
            match bpf_inherit::fd::accept(listener) {
                Ok(socket) => {
                    self.is_error_logged = false;
                    if let Ok(client) = Client::new(socket) {
                        crowd.admit(client, agent);
                    }
                }
                Err(Errno::EINTR | Errno::ECONNABORTED) => {}
                Err(Errno::EAGAIN) => return,
                // Without a free descriptor it fails even if no connection is left.
                Err(_) if accepted > 0 => return,
                Err(errno) => {
                    if !std::mem::replace(&mut self.is_error_logged, true) {
                        let cause = bpf_inherit::describe(errno);
                        agent.log.line(format_args!("accept: {cause}"));
                    }
                    return self.pause();
                }
            }
        }
    }

    /// Stops watching the listeners.
    pub fn pause(&mut self) {
        self.is_paused = true;
        for socket in &self.sockets {
            // ENOENT for one that is not watched.
            let _ = self.epoll.delete(socket);
        }
    }

    /// Watches the listeners, all of them or none.
    pub fn resume(&mut self) -> Result<(), Errno> {
        self.is_paused = false;
        for (token, socket) in (FIRST_LISTENER..).zip(&self.sockets) {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, token);
            if let Err(errno) = self.epoll.add(socket, event) {
                self.pause();
                return Err(errno);
            }
        }
        Ok(())
    }
}
