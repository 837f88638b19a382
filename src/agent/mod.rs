//! The agent: it stores BPF objects under names, and hands their file descriptors out to the peers
//! that its policy allows.
//!
//! Each part owns its state: the listener its sockets, the connections their peers and replies, the
//! service the policy, the store and the log, the foreign fds the children that handle them.

mod about;
mod connection;
mod connections;
mod foreign_fd;
pub mod listener;
pub mod log;
mod manager;
mod peer;
pub mod policy;
mod quota;
mod reply;
mod request;
pub mod server;
pub mod service;
pub mod state;
pub mod store;
mod stored;
mod wait;

use crate::wire::agent::Status;
use bpf_inherit::scm::MAX_FDS;
use std::time::Duration;

/// The limits of the agent.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time.
    pub clients: usize,
    /// Names stored.
    pub objects: usize,
    /// Fds sent that no client has received yet.
    pub in_flight: usize,
    /// Bytes of a request.
    pub request: usize,
    /// How long a client may be idle, or leave its reply unread.
    pub idle_timeout: Duration,
}

/// Fds that are not connections or objects: those of one packet and of discarded connections, two
/// for each child process, sockets and files.
const OTHER_FDS: usize = 512;

impl Limits {
    /// Reduces the limits to what a limit on open files allows. Returns a warning for each that is
    /// reduced. Objects may have a quarter of the fds at least, since clients are in use for a time
    /// only.
    pub fn clamp(&mut self, open_files: usize) -> Vec<String> {
        let free = open_files - OTHER_FDS.min(open_files / 2);
        let clients = (free - free / 4).saturating_sub(connections::RESERVE).max(1);
        let objects = free.saturating_sub(self.clients.min(clients) + connections::RESERVE).max(1);
        // The kernel compares those of each sender with the limit on open files (unix(7)).
        let in_flight = open_files.saturating_sub(MAX_FDS).max(open_files / 2);
        let mut warnings = Vec::new();
        for (limit, most, option) in [
            (&mut self.clients, clients, "--max-clients"),
            (&mut self.objects, objects, "--max-objects"),
            (&mut self.in_flight, in_flight, "--max-in-flight"),
        ] {
            if *limit > most {
                let reason = format!("{open_files} files may be open");
                warnings.push(format!("warning: {option} {limit} is reduced to {most}: {reason}"));
                *limit = most;
            }
        }
        warnings
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    pub status: Status,
    /// As the reply reports it.
    pub reason: String,
    /// The name that is refused, for the log.
    pub name: Option<Vec<u8>>,
}

impl RequestError {
    pub fn new(status: Status, reason: impl Into<String>) -> RequestError {
        RequestError { status, reason: reason.into(), name: None }
    }

    pub fn of(self, name: &[u8]) -> RequestError {
        RequestError { name: Some(name.to_vec()), ..self }
    }
}
