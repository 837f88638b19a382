//! The agent: it holds descriptors, and hands them out to whom its rules allow.

mod about;
pub mod access;
mod answer;
mod client;
pub mod closer;
mod crowd;
pub mod in_flight;
pub mod keep;
mod listeners;
pub mod log;
mod packet;
pub mod server;
pub mod shared;
pub mod state;
pub mod store;
mod stored;
pub mod systemd;
mod wait;

use crate::wire::agent::Status;
use std::time::Duration;

/// How much the agent lets its clients have.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time.
    pub clients: usize,
    /// Names stored.
    pub objects: usize,
    /// Descriptors sent that nobody has received yet.
    pub in_flight: usize,
    /// Bytes of a request.
    pub request: usize,
    /// How long a client may be idle, or leave its reply unread.
    pub patience: Duration,
}

/// How much of a limit one untrusted user gets, so that no single user uses up all of it.
pub fn share(most: usize) -> usize {
    (most / 2).max(1)
}

/// Why a request is not fulfilled: what its reply says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub status: Status,
    pub reason: String,
}

impl Trouble {
    pub fn new(status: Status, reason: impl Into<String>) -> Trouble {
        Trouble { status, reason: reason.into() }
    }
}
