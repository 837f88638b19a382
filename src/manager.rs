//! Notifications of the agent's state to systemd (sd_notify(3)).

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use sd_notify::NotifyState;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::rc::Rc;
use std::time::Duration;

/// How often the watchdog expects a notification: half of `WatchdogSec=`, as sd_watchdog_enabled(3)
/// recommends. None without a watchdog.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()).map(|limit| limit / 2)
}

/// Notifications to the service manager, if there is one. None blocks: the agent serves its
/// clients whether the manager reads or not.
///
/// READY and RELOADING that find the manager's queue full are sent once it has room. A later reload
/// replaces an earlier one, so that at most these two are pending.
pub struct Manager {
    epoll: Rc<Epoll>,
    /// The data of epoll events of `socket`.
    token: u64,
    pending: VecDeque<String>,
    /// Connected to the manager, and watched until it can be written, while anything is pending.
    socket: Option<UnixDatagram>,
}

impl Manager {
    pub fn new(epoll: Rc<Epoll>, token: u64) -> Manager {
        Manager { epoll, token, pending: VecDeque::new(), socket: None }
    }

    pub fn notify_ready(&mut self) {
        self.send("READY=1\n".into());
    }

    pub fn notify_reloading(&mut self) {
        self.pending.clear();
        self.send(reloading(NotifyState::monotonic_usec_now().ok()));
    }

    /// Lost if the queue is full: the end of the agent says as much.
    pub fn notify_stopping(&mut self) {
        (self.socket, self.pending) = (None, VecDeque::new());
        send_once("STOPPING=1\n");
    }

    /// Lost if the queue is full: the next one is due soon.
    pub fn notify_watchdog(&self) {
        send_once("WATCHDOG=1\n");
    }

    fn send(&mut self, message: String) {
        self.pending.push_back(message);
        self.send_pending();
    }

    /// Sends what is pending, as far as the queue has room.
    pub fn send_pending(&mut self) {
        let Some(socket) = self.socket.take().or_else(connect) else {
            self.pending.clear();
            return;
        };
        while let Some(message) = self.pending.front() {
            let sent = socket.send(message.as_bytes());
            if sent.is_err_and(|e| e.kind() == ErrorKind::WouldBlock) {
                // EEXIST if it is watched already.
                let event = EpollEvent::new(EpollFlags::EPOLLOUT, self.token);
                let _ = self.epoll.add(&socket, event);
                self.socket = Some(socket);
                return;
            }
            // Any other failure lasts, and changes nothing that the agent does.
            self.pending.pop_front();
        }
    }
}

/// A reload that began at this time of CLOCK_MONOTONIC, if the time is known.
fn reloading(now: Option<NotifyState>) -> String {
    let time = now.map(|now| format!("{now}\n"));
    format!("RELOADING=1\n{}", time.unwrap_or_default())
}

fn send_once(message: &str) {
    let _ = connect().map(|socket| socket.send(message.as_bytes()));
}

/// A socket connected to the manager. None without a manager, and if it cannot be reached.
fn connect() -> Option<UnixDatagram> {
    let path = std::env::var_os("NOTIFY_SOCKET")?;
    let address = match path.as_bytes() {
        [] => return None,
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&path),
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect_addr(&address.ok()?).ok()?;
    Some(socket)
}

#[cfg(test)]
mod tests {
    use super::{NotifyState, reloading};

    #[test]
    fn reloading_has_no_line_for_an_unknown_time() {
        let now = NotifyState::MonotonicUsec(57);
        assert_eq!(reloading(Some(now)), "RELOADING=1\nMONOTONIC_USEC=57\n");
        assert_eq!(reloading(None), "RELOADING=1\n");
    }
}
