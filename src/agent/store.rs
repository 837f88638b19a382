//! What the agent holds: objects by name, and how they come in and go out.

use super::about::About;
use super::keep::Keeper;
use super::state::{Change, New, Saved, access_of, bound_of, class_of};
use super::stored::{Handout, Stored, by_id, check_layout, trouble};
use super::{Trouble, share};
use crate::error::Cause;
use crate::text::{count, quote};
use crate::wire::agent::{Mode, Record, State, Status};
use bpf_inherit::object::Object;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::os::fd::AsFd;
use std::time::{SystemTime, UNIX_EPOCH};

/// A new object, on its way in.
#[derive(Debug)]
pub struct Incoming {
    pub object: Object,
    pub layout: Vec<u8>,
    /// Take the place of what has the name.
    pub replace: bool,
    pub uid: u32,
    pub gid: u32,
    pub pid: u32,
    /// Root or the agent's own user puts it, who may fill all the room that there is.
    pub is_trusted: bool,
}

/// All objects of an agent.
#[derive(Debug)]
pub struct Store {
    objects: BTreeMap<Vec<u8>, Stored>,
    keeper: Keeper,
    limit: usize,
}

impl Store {
    pub fn new(keeper: Keeper, limit: usize) -> Store {
        Store { objects: BTreeMap::new(), keeper, limit }
    }

    /// Takes back what an earlier agent stored. Says what is not as it was.
    pub fn restore(&mut self, saved: Vec<Saved>) -> Vec<String> {
        let mut warnings = Vec::new();
        for Saved { name, about, layout, object } in saved {
            let lost = match object {
                Some(_) => (State::Gone, 0),
                None => self.keeper.look(&name, &about),
            };
            let stored = Stored { about, layout, object, lost };
            if stored.object.is_none() {
                warnings.push(stored.trouble(&name).reason);
            }
            self.objects.insert(name, stored);
        }
        warnings
    }

    pub fn len(&self) -> usize {
        self.objects.len()
    }

    pub fn get(&self, name: &[u8]) -> Option<&Stored> {
        self.objects.get(name)
    }

    /// Names and objects, rising, behind `name`, or all.
    pub fn after(&self, name: Option<&[u8]>) -> impl Iterator<Item = (&Vec<u8>, &Stored)> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        self.objects.range::<[u8], _>((from, Bound::Unbounded))
    }

    /// Stores an object under a name; false if the very same object is stored there already.
    pub fn put(&mut self, name: &[u8], incoming: Incoming) -> Result<bool, Trouble> {
        let user = (!incoming.is_trusted).then_some(incoming.uid);
        let Some(stored) = self.admit(name, incoming)? else { return Ok(false) };
        self.check_room(name, user)?;
        let old = self.objects.get(name).map(|stored| &stored.about);
        let object = stored.object.as_ref().map(AsFd::as_fd);
        let new = object.map(|object| New { about: &stored.about, layout: &stored.layout, object });
        self.keeper.apply(&Change { name, old, new }).map_err(failed)?;
        self.objects.insert(name.to_vec(), stored);
        Ok(true)
    }

    /// The entry of an object that may be stored; None if it is stored already.
    fn admit(&self, name: &[u8], incoming: Incoming) -> Result<Option<Stored>, Trouble> {
        let Incoming { object, layout, replace, uid, gid, pid, .. } = incoming;
        let class = class_of(object.kind());
        check_layout(&layout, &object).map_err(|why| Trouble::new(Status::Unfit, why))?;
        let bound = bound_of(&object).map_err(|errno| failed(errno.into()))?;
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
        let about = About { class, id: object.id(), bound, uid, gid, pid, time };
        if let Some(old) = self.objects.get(name) {
            let is_same = (old.about.class, old.about.id, old.about.bound)
                == (class, about.id, bound)
                && old.layout == layout;
            // Whoever had no answer to a put asks again. What is not kept any more as it was
            // is kept anew.
            let is_kept = || self.keeper.look(name, &old.about).0 == self.keeper.state();
            if is_same && old.object.is_some() && is_kept() {
                return Ok(None);
            }
            if !is_same && !replace {
                let held = format!("{} {}", old.about.class.name(), old.about.id);
                let reason = format!("{} is the name of {held} already", quote(name));
                return Err(Trouble::new(Status::Exists, reason));
            }
        }
        let (object, lost) = (Some(object), (State::Gone, 0));
        Ok(Some(Stored { about, layout, object, lost }))
    }

    /// An error if there is no room for another object under `name`, or if `user`, who is not
    /// trusted, stores its share already. An object that it replaces becomes its own.
    fn check_room(&self, name: &[u8], user: Option<u32>) -> Result<(), Trouble> {
        let full = |reason: String| Err(Trouble::new(Status::Full, reason));
        let limit = |limit: usize| count(limit, "object");
        let old = self.objects.get(name);
        if old.is_none() && self.objects.len() >= self.limit {
            return full(format!("{} are stored, as many as may be", limit(self.limit)));
        }
        let Some(uid) = user else { return Ok(()) };
        let is_own = |stored: &&Stored| stored.about.uid == uid;
        let share = share(self.limit);
        if !old.as_ref().is_some_and(is_own)
            && self.objects.values().filter(is_own).count() >= share
        {
            return full(format!("uid {uid} may store {} at most", limit(share)));
        }
        Ok(())
    }

    /// Forgets a name.
    pub fn remove(&mut self, name: &[u8]) -> Result<(), Trouble> {
        let stored = self.objects.get(name).ok_or_else(|| absent(name))?;
        let change = Change { name, old: Some(&stored.about), new: None };
        self.keeper.apply(&change).map_err(failed)?;
        self.objects.remove(name);
        Ok(())
    }

    /// The record of an object, for a peer that gets it with `access`, without a look at its pin.
    pub fn record(&self, name: &[u8], stored: &Stored, access: Mode) -> Record {
        stored.record(name, access, (self.keeper.state(), 0))
    }

    /// The record of an object, for a peer that could get it with `access`: if it can be handed
    /// out so at this moment. With what its pin leads to now.
    pub fn look(&self, name: &[u8], stored: &Stored, access: Mode) -> Record {
        let can = access != Mode::NONE && self.hand_out(name, access).is_ok();
        let access = if can { access } else { Mode::NONE };
        stored.record(name, access, self.keeper.look(name, &stored.about))
    }

    /// A descriptor of an object with this access, which is within its bound.
    pub fn hand_out(&self, name: &[u8], mode: Mode) -> Result<Handout<'_>, Trouble> {
        let stored = self.objects.get(name).ok_or_else(|| absent(name))?;
        let object = stored.object.as_ref().ok_or_else(|| stored.trouble(name))?;
        if mode == stored.about.bound {
            return Ok(Handout::Held(object.as_fd()));
        }
        let access = access_of(mode);
        let pinned = self.keeper.reopen(name, stored.about.class, access);
        let pinned = pinned.and_then(Result::ok).filter(|o| Saved::is(o, &stored.about));
        match (pinned, &self.keeper) {
            (Some(object), _) => Ok(Handout::Opened(object.into())),
            (None, Keeper::Pins(_)) => {
                let lost = trouble(name, &stored.about, self.keeper.look(name, &stored.about));
                let why = "no descriptor with less access can be made of it";
                Err(Trouble::new(lost.status, format!("{}: {why}", lost.reason)))
            }
            (None, _) => by_id(name, stored.about.id, access).map(Handout::Opened),
        }
    }
}

fn failed(cause: Cause) -> Trouble {
    Trouble::new(Status::Failed, cause.to_string())
}

/// That no object has a name.
pub fn absent(name: &[u8]) -> Trouble {
    Trouble::new(Status::Absent, format!("nothing is stored as {}", quote(name)))
}
