//! systemd's protocol: sockets that it passes at the start (sd_listen_fds(3)), and notifications
//! of the agent's state (sd_notify(3)).

use crate::error::Error;
use crate::sys::fd;
use sd_notify::NotifyState;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The descriptors that this process was started with by the protocol, with their names.
pub fn inherited() -> Result<Vec<(OwnedFd, String)>, Error> {
    let fail = |e: std::io::Error| Error::new("LISTEN_FDS", "take over", e);
    let listed = sd_notify::listen_fds_with_names().map_err(fail)?;
    Ok(listed.map(|(number, name)| (fd::adopt_listed(number), name)).collect())
}

/// How often the watchdog expects a notification: half of `WatchdogSec=`, as sd_watchdog_enabled(3)
/// recommends. None without a watchdog.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()).map(|limit| limit / 2)
}

pub fn notify_ready() {
    notify("READY=1\n");
}

pub fn notify_reloading() {
    let now = NotifyState::monotonic_usec_now().map(|now| now.to_string());
    notify(&format!("RELOADING=1\n{}\n", now.unwrap_or_default()));
}

pub fn notify_stopping() {
    notify("STOPPING=1\n");
}

pub fn notify_watchdog() {
    notify("WATCHDOG=1\n");
}

/// Sends a notification to the service manager, if there is one. It never blocks: a manager that
/// does not read loses the notification rather than delaying clients.
fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match path.as_bytes() {
        [] => return,
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&path),
    };
    // A failure changes nothing that the agent does.
    let _ = address.and_then(|address| {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to_addr(state.as_bytes(), &address)
    });
}
