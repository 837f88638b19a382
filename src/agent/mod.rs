//! The agent: it stores BPF objects under names, and hands their file descriptors out to the peers
//! that its policy allows.
//!
//! Each part owns its state: the listener its sockets, the connections their peers and replies, the
//! service the policy, the store and the log, the foreign fds the children that handle them.

mod about;
mod connection;
mod connections;
mod foreign_fd;
mod glob;
pub mod keep;
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

/// Why a request is refused, as its reply reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    pub status: Status,
    pub reason: String,
}

impl RequestError {
    pub fn new(status: Status, reason: impl Into<String>) -> RequestError {
        RequestError { status, reason: reason.into() }
    }
}
