//! The agent: it holds descriptors, and hands them out to whom its rules allow.

mod about;
pub mod access;
mod answer;
mod client;
pub mod closer;
mod crowd;
pub mod import;
pub mod in_flight;
pub mod keep;
pub mod log;
mod packet;
pub mod server;
pub mod shared;
pub mod socket;
pub mod state;
pub mod store;
mod stored;
pub mod systemd;

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

/// How much one user gets of what there is at most: so that nobody but root and the agent's own
/// user, who are trusted, keeps all others out.
pub fn share(most: usize, is_trusted: bool) -> usize {
    if is_trusted { most } else { (most / 2).max(1) }
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
