//! The state that all connections share.

use super::Limits;
use super::access::Access;
use super::closer::Closer;
use super::in_flight::InFlight;
use super::log::Log;
use super::store::Store;

/// The agent, apart from who is connected to it.
#[derive(Debug)]
pub struct Agent {
    pub access: Access,
    pub store: Store,
    pub log: Log,
    pub limits: Limits,
    pub in_flight: InFlight,
    pub closer: Closer,
    /// It is about to end: nobody is waited for.
    pub ends: bool,
    /// A name has come since those who wait were last looked at.
    pub news: bool,
}
