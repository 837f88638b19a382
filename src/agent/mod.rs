//! The agent: it stores BPF objects under names, and hands their file descriptors out to the peers
//! that its policy allows.
//!
//! Each part owns its state: the listener its sockets, the connections their peers and replies, the
//! service the policy, the store and the log, the foreign fds the children that handle them.

mod about;
mod connection;
pub mod connections;
mod foreign_fd;
pub mod listener;
pub mod log;
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
