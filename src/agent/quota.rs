//! Quotas: how much of a limited resource each user has. Every amount in use is a [`Charge`],
//! which gives it back when dropped.

use super::peer::Peer;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A resource of which there is a limited amount.
///
/// A user that is not trusted may have at most as much as is free. With n users that take all
/// they can, each has the same amount, and one (n+1)th is free, of which a further user gets half:
/// half of its fair share. Trusted users are bound by the total alone, and have a reserve.
#[derive(Clone, Debug)]
pub struct Quota(Rc<Usage>);

#[derive(Debug)]
struct Usage {
    limit: usize,
    /// Beyond the limit, for trusted users.
    reserve: usize,
    total: Cell<usize>,
    /// The amounts of users that are not trusted; none of them is 0.
    users: RefCell<BTreeMap<u32, usize>>,
    /// Something was given back since this was last asked.
    is_released: Cell<bool>,
}

/// An amount in use.
#[derive(Debug)]
pub struct Charge {
    usage: Rc<Usage>,
    /// None for a trusted user.
    uid: Option<u32>,
    amount: usize,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// All that there is is in use.
    Limit(usize),
    /// The user has as much as one user may have at this time.
    Share { uid: u32, own: usize, limit: usize },
}

impl Quota {
    pub fn new(limit: usize, reserve: usize) -> Quota {
        let (total, is_released) = (Cell::new(0), Cell::new(false));
        Quota(Rc::new(Usage { limit, reserve, total, users: RefCell::default(), is_released }))
    }

    pub fn total(&self) -> usize {
        self.0.total.get()
    }

    /// Whether no user at all has room.
    pub fn is_full(&self) -> bool {
        self.total() >= self.0.limit + self.0.reserve
    }

    /// Whether something was given back since the last call.
    pub fn take_released(&self) -> bool {
        self.0.is_released.take()
    }

    /// How much more a peer may have.
    pub fn room(&self, peer: &Peer) -> usize {
        self.room_without(peer, None)
    }

    /// Likewise, if `old` is given back.
    fn room_without(&self, peer: &Peer, old: Option<&Charge>) -> usize {
        let usage = &*self.0;
        let given = old.map_or(0, |charge| charge.amount);
        let total = usage.total.get() - given;
        if peer.is_trusted {
            return (usage.limit + usage.reserve).saturating_sub(total);
        }
        let mut own = self.own(peer.uid);
        if old.is_some_and(|charge| charge.uid == Some(peer.uid)) {
            own -= given;
        }
        let free = usage.limit.saturating_sub(total);
        free.saturating_sub(own).div_ceil(2)
    }

    fn own(&self, uid: u32) -> usize {
        self.0.users.borrow().get(&uid).copied().unwrap_or(0)
    }

    pub fn charge(&self, peer: &Peer, amount: usize) -> Result<Charge, Exceeded> {
        self.replace(peer, amount, None)
    }

    /// Charges an amount in place of `old`, which the caller drops afterwards.
    pub fn replace(
        &self,
        peer: &Peer,
        amount: usize,
        old: Option<&Charge>,
    ) -> Result<Charge, Exceeded> {
        let uid = (!peer.is_trusted).then_some(peer.uid);
        // A user keeps the amount that it has, however much other users have. Trusted users may take it.
        let is_own = |old: &Charge| uid.is_none() || old.uid == uid;
        let has = old.is_some_and(|old| is_own(old) && old.amount >= amount);
        if has || amount <= self.room_without(peer, old) {
            return Ok(self.charge_always(uid, amount));
        }
        let limit = self.0.limit;
        let given = old.map_or(0, |charge| charge.amount);
        Err(match uid {
            Some(uid) if self.total() - given + amount <= limit => {
                Exceeded::Share { uid, own: self.own(uid), limit }
            }
            _ => Exceeded::Limit(limit + if uid.is_none() { self.0.reserve } else { 0 }),
        })
    }

    /// Charges an amount even if there is no room. `uid` is None for a trusted user.
    pub fn charge_always(&self, uid: Option<u32>, amount: usize) -> Charge {
        let usage = self.0.clone();
        usage.total.set(usage.total.get() + amount);
        if let Some(uid) = uid.filter(|_| amount > 0) {
            *usage.users.borrow_mut().entry(uid).or_default() += amount;
        }
        Charge { usage, uid, amount }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.amount == 0 {
            return;
        }
        let Charge { usage, uid, amount } = self;
        usage.total.set(usage.total.get() - *amount);
        usage.is_released.set(true);
        let mut users = usage.users.borrow_mut();
        if let Some(uid) = uid
            && let Some(own) = users.get_mut(uid)
        {
            *own -= *amount;
            if *own == 0 {
                users.remove(uid);
            }
        }
    }
}

impl Exceeded {
    /// The reason for a refusal; `things` are what is limited.
    pub fn reason(self, things: &str) -> String {
        match self {
            Exceeded::Limit(limit) => format!("the limit of {limit} {things} is reached"),
            Exceeded::Share { uid, own, limit } => {
                format!("uid {uid} has its share of {limit} {things}: {own}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32) -> Peer {
        Peer::for_tests(uid)
    }

    /// Takes single units until there is no room, and returns them.
    fn take_all(quota: &Quota, uid: u32) -> Vec<Charge> {
        std::iter::from_fn(|| quota.charge(&peer(uid), 1).ok()).collect()
    }

    #[test]
    fn greedy_users_leave_half_of_a_fair_share() {
        for (limit, users) in [(1, 1), (2, 1), (1024, 1), (1024, 2), (1024, 3), (1024, 64)] {
            let quota = Quota::new(limit, 0);
            // Round after round, because users compete.
            let mut held: Vec<Charge> = Vec::new();
            loop {
                let before = held.len();
                held.extend((1..=users).filter_map(|uid| quota.charge(&peer(uid), 1).ok()));
                if held.len() == before {
                    break;
                }
            }
            let late = take_all(&quota, users + 1).len();
            let fair = limit / (users as usize + 1);
            assert!(late >= fair / 2, "{limit} {users}: {late} of {fair}");
        }
    }

    #[test]
    fn trusted_users_have_the_rest_and_the_reserve() {
        let quota = Quota::new(10, 4);
        let held = take_all(&quota, 7);
        assert_eq!((held.len(), quota.room(&peer(0)), quota.room(&peer(8))), (5, 9, 3));
        let root = take_all(&quota, 0);
        assert_eq!(root.len(), 9);
        assert!(quota.is_full());
        assert_eq!(quota.charge(&peer(0), 1).unwrap_err(), Exceeded::Limit(14));
        assert_eq!(quota.charge(&peer(8), 1).unwrap_err(), Exceeded::Limit(10));
        assert!(!quota.take_released());
        drop((held, root));
        assert_eq!((quota.total(), quota.take_released()), (0, true));
    }

    #[test]
    fn replacing_an_amount_does_not_count_it_twice() {
        let quota = Quota::new(4, 0);
        let held = take_all(&quota, 7);
        assert_eq!(held.len(), 2);
        let share = Exceeded::Share { uid: 7, own: 2, limit: 4 };
        assert_eq!(quota.charge(&peer(7), 1).unwrap_err(), share);
        let new = quota.replace(&peer(7), 1, Some(&held[0])).unwrap();
        drop(held);
        let other = take_all(&quota, 8);
        let full = take_all(&quota, 0);
        assert_eq!((other.len(), full.len()), (2, 1));
        // Its own stays replaceable; one of another user does not become its own.
        let again = quota.replace(&peer(7), 1, Some(&new)).unwrap();
        drop(again);
        assert_eq!(
            quota.replace(&peer(7), 1, Some(&other[0])).unwrap_err(),
            Exceeded::Share { uid: 7, own: 1, limit: 4 }
        );
        assert!(quota.replace(&peer(0), 1, Some(&new)).is_ok());
    }
}
