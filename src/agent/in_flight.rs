//! How many descriptors were sent that nobody is known to have received: the kernel keeps them
//! for whoever does not read.

use super::share;
use bpf_inherit::scm::MAX_FDS;
use std::collections::BTreeMap;

/// Descriptors in flight, in all and of each user.
#[derive(Debug)]
pub struct InFlight {
    most: usize,
    total: usize,
    /// None of them 0.
    of_users: BTreeMap<u32, usize>,
}

impl InFlight {
    pub fn new(most: usize) -> InFlight {
        InFlight { most, total: 0, of_users: BTreeMap::new() }
    }

    pub fn total(&self) -> usize {
        self.total
    }

    /// How many more a user may have. Of those who are not trusted nobody gets more than half,
    /// and for those who are there is a packet's worth beyond what all others may have together.
    pub fn room(&self, uid: u32, is_trusted: bool) -> usize {
        if is_trusted {
            return (self.most + MAX_FDS).saturating_sub(self.total);
        }
        let own = self.of_users.get(&uid).copied().unwrap_or(0);
        let share = share(self.most).saturating_sub(own);
        self.most.saturating_sub(self.total).min(share)
    }

    pub fn add(&mut self, uid: u32, count: usize) {
        if count > 0 {
            self.total += count;
            *self.of_users.entry(uid).or_default() += count;
        }
    }

    /// Takes back what was added.
    pub fn release(&mut self, uid: u32, count: usize) {
        self.total -= count;
        if let Some(own) = self.of_users.get_mut(&uid) {
            *own -= count;
            if *own == 0 {
                self.of_users.remove(&uid);
            }
        }
    }
}
