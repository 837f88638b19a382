//! The service: what all connections share. It decides requests by the policy, carries them out
//! on the store, and logs the decisions.

use super::RequestError;
use super::log::Log;
use super::peer::Peer;
use super::policy::{PermissionSet, Policy};
use super::quota::Quota;
use super::store::Store;
use crate::text::quoted;
use crate::wire::agent::{Reply, Status};
use std::fmt::Display;
use std::os::fd::BorrowedFd;

/// The policy, the store, the log, and the quota of fds in flight.
#[derive(Debug)]
pub struct Service {
    pub(super) policy: Policy,
    pub(super) store: Store,
    pub(super) log: Log,
    pub(super) in_flight: Quota,
    /// A name was stored or removed since this was last taken.
    pub(super) has_news: bool,
}

impl Service {
    pub fn new(policy: Policy, store: Store, log: Log, in_flight: usize) -> Service {
        let in_flight = Quota::new(in_flight, bpf_inherit::scm::MAX_FDS);
        Service { policy, store, log, in_flight, has_news: false }
    }

    /// An error unless `peer` has all of the permissions `needed` on `name`.
    pub(super) fn demand(
        &self,
        peer: &Peer,
        name: &[u8],
        needed: PermissionSet,
    ) -> Result<(), RequestError> {
        let granted = peer.granted(name);
        if granted.permissions.has(needed) {
            return Ok(());
        }
        let reason = granted.refusal(peer.uid, needed, name);
        Err(RequestError::new(Status::Refused, reason).of(name))
    }

    /// Logs a refusal, and returns the reply that reports it.
    pub(super) fn refuse(
        &mut self,
        peer: &Peer,
        socket: BorrowedFd,
        operation: &str,
        error: RequestError,
    ) -> Reply {
        let name = error.name.as_ref().map(|name| format!(" {}", quoted(name)));
        let (name, reason) = (name.unwrap_or_default(), &error.reason);
        let message = format!("{operation}{name}: refused: {reason}");
        self.log.about(peer, || peer.describe(socket), message);
        error.into()
    }

    /// Logs something that is neither granted nor refused.
    pub(super) fn report(&mut self, peer: &Peer, message: impl Display) {
        self.log.about(peer, || peer.to_string(), message);
    }
}

impl From<RequestError> for Reply {
    fn from(error: RequestError) -> Reply {
        Reply::Failure { status: error.status, reason: error.reason }
    }
}
