//! The users that may send to an import, and those whose datagrams were refused.

use nix::unistd::geteuid;
use std::collections::BTreeSet;

/// Users that are reported: a sender in a user namespace may have thousands of uids.
const MAX_REPORTED: usize = 16;

/// The accepted users, and the refused ones.
#[derive(Clone, Debug)]
pub struct Senders {
    accepted: Vec<u32>,
    by_default: bool,
    /// The uid of all users that this user namespace does not map.
    overflow: u32,
    /// None: without credentials.
    refused: BTreeSet<Option<u32>>,
}

impl Senders {
    /// Accepts the given users; if none is given, root and the user of this process.
    pub fn new(given: &[u32]) -> Senders {
        let (own, overflow) = (geteuid().as_raw(), overflow_uid());
        let accepted = match given {
            // Any unmapped user has the overflow uid.
            [] if own == overflow && !knows_all_users() => vec![0],
            [] => vec![0, own],
            given => given.to_vec(),
        };
        Senders { accepted, by_default: given.is_empty(), overflow, refused: BTreeSet::new() }
    }

    pub fn accepts(&self, sender: Option<u32>) -> bool {
        sender.is_some_and(|uid| self.accepted.contains(&uid))
    }

    /// The warning that a datagram of `sender` was refused, once for each user.
    pub fn refuse(&mut self, sender: Option<u32>) -> Option<String> {
        if self.refused.len() > MAX_REPORTED || !self.refused.insert(sender) {
            return None;
        }
        if self.refused.len() > MAX_REPORTED {
            return Some("refused datagrams of more users, which are not reported".into());
        }
        let hint = if self.by_default { "see --from" } else { "--from does not name it" };
        Some(match sender {
            Some(uid) if uid == self.overflow => format!(
                "refused a datagram of uid {uid} (a user that this user namespace does not map); {hint}"
            ),
            Some(uid) => format!("refused a datagram of uid {uid}; {hint}"),
            None => "refused a datagram without credentials, which was queued before the socket \
                     was set to pass them"
                .into(),
        })
    }
}

/// The uid of users that this user namespace does not map, which an administrator can change.
fn overflow_uid() -> u32 {
    let read = std::fs::read_to_string("/proc/sys/kernel/overflowuid");
    read.ok().and_then(|text| text.trim_end().parse().ok()).unwrap_or(65534)
}

/// Whether this user namespace maps all users, so that none appears as the overflow uid.
fn knows_all_users() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_users_are_reported_once_up_to_a_limit() {
        let mut senders = Senders::new(&[]);
        let refuse = |senders: &mut Senders, uid| senders.refuse(Some(uid)).is_some();
        assert!(refuse(&mut senders, 1) && !refuse(&mut senders, 1));
        let reported = (0..100_000).filter(|uid| refuse(&mut senders, *uid)).count();
        assert_eq!(reported, MAX_REPORTED, "one of them says that more are not reported");
        assert!(senders.refused.len() <= MAX_REPORTED + 1);
    }
}
