//! The peer of a connection: the user that connected, and the rules that apply to it.

use super::policy::{Granted, Policy, Rule};
use crate::text::quoted;
use bpf_inherit::{Result, peer, process};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

/// A peer, as the kernel recorded it when it connected.
#[derive(Clone, Debug)]
pub struct Peer {
    pub uid: u32,
    pub gid: u32,
    /// 0 if the process is in a pid namespace that is not visible from here.
    pub pid: u32,
    /// Root or the user of the agent itself.
    pub is_trusted: bool,
    rules: Vec<Rc<Rule>>,
}

impl Peer {
    pub fn identify(socket: BorrowedFd, policy: &Policy) -> Result<Peer> {
        let (pid, uid, gid) = peer::credentials(socket)?;
        let is_trusted = policy.is_trusted(uid);
        let mut found = Peer { uid, gid, pid, is_trusted, rules: Vec::new() };
        found.apply(socket, policy);
        Ok(found)
    }

    /// Selects the rules that apply to the peer. Its groups are not kept: there may be 65,536.
    pub fn apply(&mut self, socket: BorrowedFd, policy: &Policy) {
        if self.is_trusted {
            return;
        }
        // Without the groups, only rules for the user and its primary group apply.
        let groups = if policy.has_groups() { peer::groups(socket) } else { Ok(Vec::new()) };
        let mut groups = groups.unwrap_or_default();
        groups.sort_unstable();
        self.rules = policy.rules_for(self.uid, self.gid, &groups);
    }

    /// Whether the peer may do anything at all.
    pub fn is_admitted(&self) -> bool {
        self.is_trusted || !self.rules.is_empty()
    }

    /// The permissions of the peer for a name.
    pub fn granted(&self, name: &[u8]) -> Granted<'_> {
        if self.is_trusted { Granted::all() } else { Granted::by(&self.rules, name) }
    }

    /// The peer with the name of its program, if that can be determined reliably.
    pub fn describe(&self, socket: BorrowedFd) -> String {
        let comm = peer::pidfd(socket).ok().and_then(|pidfd| {
            let name = std::fs::read(format!("/proc/{}/comm", self.pid)).ok()?;
            // Checked after reading, so the number was still that of the peer.
            process::is_alive(pidfd.as_fd()).then_some(name)
        });
        match comm {
            Some(name) => format!("{self} comm {}", quoted(name.trim_ascii_end())),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "uid {} gid {} pid {}", self.uid, self.gid, self.pid)
    }
}

#[cfg(test)]
impl Peer {
    pub fn for_tests(uid: u32) -> Peer {
        Peer { uid, gid: uid, pid: 1, is_trusted: uid == 0, rules: Vec::new() }
    }
}
