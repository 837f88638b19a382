//! The stored objects, by name.

use super::RequestError;
use super::about::About;
use super::peer::Peer;
use super::policy::Policy;
use super::quota::Quota;
use super::state::{Change, New, Saved, StateDir};
use super::stored::{Handout, Stored, by_id};
use crate::error::Cause;
use crate::map::typed::canonical_layout;
use crate::text::quoted;
use crate::wire::agent::{Access, PinState, Record, Status};
use bpf_inherit::fd;
use bpf_inherit::object::Object;
use bpf_inherit::{AccessMode, MapType};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of layouts that are stored at most: a list of all of them fits into a reply.
const LAYOUT_BYTES: usize = 16 << 20;
/// The largest perf_event_array of a user that is not trusted: the time to close a descriptor of
/// one is proportional to the number of its entries.
const MAX_PERF_EVENTS: u32 = 1 << 16;
/// Read-only fds of maps that were put with more access, kept at most.
pub const MAX_READ_ONLY: usize = 64;

/// A new object.
#[derive(Debug)]
pub struct Incoming<'a> {
    pub object: Object,
    pub layout: Vec<u8>,
    /// Replace an existing object.
    pub replace: bool,
    pub peer: &'a Peer,
    /// The peer may see what is stored under the name.
    pub may_list: bool,
}

/// All objects of an agent.
#[derive(Debug)]
pub struct Store {
    objects: BTreeMap<Vec<u8>, Stored>,
    /// Where pins keep the objects when the agent ends; None to hold them in memory only.
    state: Option<StateDir>,
    names: Quota,
    layouts: Quota,
    /// Read-only fds by map id, the most recently used last. Clients share each open file, but
    /// cannot disturb each other: it has no position, maps ignore its status flags, and its access
    /// mode cannot be changed.
    read_only: RefCell<Vec<(u32, Rc<OwnedFd>)>>,
}

impl Store {
    /// An empty store for `limit` names, of which an eighth is reserved for trusted users.
    pub fn new(state: Option<StateDir>, limit: usize) -> Store {
        let quota = |limit| Quota::new(limit - limit / 8, limit / 8);
        let (names, layouts) = (quota(limit), quota(LAYOUT_BYTES));
        Store { objects: BTreeMap::new(), state, names, layouts, read_only: RefCell::default() }
    }

    /// Restores the objects that an earlier agent stored. Returns a warning for each that changed.
    pub fn restore(&mut self, saved: Vec<Saved>, policy: &Policy) -> Vec<String> {
        let mut warnings = Vec::new();
        for Saved { name, about, layout, object } in saved {
            let lost = match object {
                Some(_) => (PinState::Gone, 0),
                None => self.find(&name, &about),
            };
            let uid = Some(about.uid).filter(|uid| !policy.is_trusted(*uid));
            let charges =
                [self.names.charge_always(uid, 1), self.layouts.charge_always(uid, layout.len())];
            let stored = Stored { about, layout, object, lost, charges };
            if stored.object.is_none() {
                warnings.push(stored.trouble(&name, stored.lost).reason);
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

    /// Names and objects after `name`, or all, in ascending order.
    pub fn after(&self, name: Option<&[u8]>) -> impl Iterator<Item = (&Vec<u8>, &Stored)> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        self.objects.range::<[u8], _>((from, Bound::Unbounded))
    }

    /// Stores an object under a name; false if the same object is stored there already.
    pub fn put(&mut self, name: &[u8], incoming: Incoming) -> Result<bool, RequestError> {
        let Some(stored) = self.admit(name, incoming)? else { return Ok(false) };
        let old = self.objects.get(name).map(|stored| &stored.about);
        let object = stored.object.as_ref().map(AsFd::as_fd);
        let new = object.map(|object| New { about: &stored.about, layout: &stored.layout, object });
        self.apply(&Change { name, old, new })?;
        self.objects.insert(name.to_vec(), stored);
        Ok(true)
    }

    /// The entry of an object that may be stored; None if it is stored already.
    fn admit(&self, name: &[u8], incoming: Incoming) -> Result<Option<Stored>, RequestError> {
        let Incoming { object, layout, replace, peer, may_list } = incoming;
        let kind = object.kind();
        let unfit = |why| RequestError::new(Status::Unfit, why);
        let layout = canonical_layout(&layout, &object).map_err(unfit)?;
        if let Object::Map(map) = &object
            && map.info().map_type == MapType::PERF_EVENT_ARRAY
            && map.info().max_entries > MAX_PERF_EVENTS
            && !peer.is_trusted
        {
            let why = format!("a perf_event_array of more than {MAX_PERF_EVENTS} entries");
            return Err(unfit(why));
        }
        let bound = match &object {
            Object::Map(map) => {
                fd::access_mode(map.as_fd()).map_err(|errno| failed(errno.into()))?.into()
            }
            Object::Program(..) | Object::Link(..) => Access::BOTH,
        };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
        let Peer { uid, gid, pid, .. } = *peer;
        let about = About { kind, id: object.id(), bound, uid, gid, pid, time };
        let old = self.objects.get(name);
        if let Some(old) = old {
            // A peer that may not list the name learns only that it is taken.
            let is_visible = may_list || old.about.uid == uid;
            let is_same = is_visible
                && (old.about.kind, old.about.id, old.about.bound) == (kind, about.id, bound)
                && old.layout == layout;
            // A client that got no reply repeats its put. An object that is not kept any more as it
            // was stored is stored again.
            let is_kept = || self.find(name, &old.about).0 == self.intact();
            if is_same && old.object.is_some() && is_kept() {
                return Ok(None);
            }
            if !is_same && !replace {
                let held = match is_visible {
                    true => format!(" {} {}", old.about.kind.short_name(), old.about.id),
                    false => " another object".into(),
                };
                let reason = format!("{} is the name of{held} already", quoted(name));
                return Err(RequestError::new(Status::Exists, reason));
            }
        }
        let full = |reason| RequestError::new(Status::Full, reason);
        let [names, bytes] = match old {
            Some(old) => [Some(&old.charges[0]), Some(&old.charges[1])],
            None => [None, None],
        };
        let names = self.names.replace(peer, 1, names);
        let bytes = self.layouts.replace(peer, layout.len(), bytes);
        let charges = [
            names.map_err(|exceeded| full(exceeded.reason("names")))?,
            bytes.map_err(|exceeded| full(exceeded.reason("bytes of layouts")))?,
        ];
        let (object, lost) = (Some(object), (PinState::Gone, 0));
        Ok(Some(Stored { about, layout, object, lost, charges }))
    }

    fn apply(&self, change: &Change) -> Result<(), RequestError> {
        self.read_only.borrow_mut().retain(|(id, _)| change.old.is_none_or(|old| old.id != *id));
        self.state.as_ref().map_or(Ok(()), |state| state.apply(change)).map_err(failed)
    }

    /// How an object is kept as long as nothing else changes its pin.
    fn intact(&self) -> PinState {
        if self.state.is_some() { PinState::Pinned } else { PinState::Memory }
    }

    /// How an object is kept, and the id of the object that its pin refers to now, or 0.
    fn find(&self, name: &[u8], about: &About) -> (PinState, u32) {
        let Some(state) = &self.state else { return (PinState::Memory, 0) };
        // If the directory was unmounted or replaced, its pins are removed when the agent ends.
        if !state.is_reachable() {
            return (PinState::Gone, 0);
        }
        // The pin of a link can be opened for reading and writing only.
        match state.open_pin(name, about.kind, AccessMode::ReadWrite) {
            Ok(object) if Saved::is(&object, about) => (PinState::Pinned, object.id()),
            Ok(object) => (PinState::Changed, object.id()),
            Err(_) => (PinState::Gone, 0),
        }
    }

    /// Removes a name.
    pub fn remove(&mut self, name: &[u8]) -> Result<(), RequestError> {
        let stored = self.objects.get(name).ok_or_else(|| absent(name))?;
        self.apply(&Change { name, old: Some(&stored.about), new: None })?;
        self.objects.remove(name);
        Ok(())
    }

    /// The record of an object, for a peer that gets it with `access`, without a look at its pin.
    pub fn record(&self, name: &[u8], stored: &Stored, access: Access) -> Record {
        stored.record(name, access, (self.intact(), 0))
    }

    /// The record of an object, for a peer that could get it with `access`, if it can be handed out
    /// so now; with the id that its pin refers to now.
    pub fn look(&self, name: &[u8], stored: &Stored, access: Access) -> Record {
        let can = access != Access::NONE && self.hand_out(name, access).is_ok();
        let access = if can { access } else { Access::NONE };
        stored.record(name, access, self.find(name, &stored.about))
    }

    /// An fd of an object with this access, which is within its bound.
    pub fn hand_out(&self, name: &[u8], mode: Access) -> Result<Handout<'_>, RequestError> {
        let stored = self.objects.get(name).ok_or_else(|| absent(name))?;
        let object = stored.object.as_ref().ok_or_else(|| stored.trouble(name, stored.lost))?;
        if mode == stored.about.bound {
            return Ok(Handout::Held(object.as_fd()));
        }
        if mode != Access::READ {
            return Ok(Handout::Opened(self.open(name, stored, mode)?.into()));
        }
        let mut kept = self.read_only.borrow_mut();
        let fd = match kept.iter().position(|(id, _)| *id == stored.about.id) {
            Some(at) => kept.remove(at).1,
            None => self.open(name, stored, mode)?.into(),
        };
        kept.push((stored.about.id, fd.clone()));
        let excess = kept.len().saturating_sub(MAX_READ_ONLY);
        kept.drain(..excess);
        Ok(Handout::Opened(fd))
    }

    fn open(&self, name: &[u8], stored: &Stored, mode: Access) -> Result<OwnedFd, RequestError> {
        let (about, access) = (&stored.about, mode.mode());
        let Some(state) = &self.state else { return by_id(name, about.id, access) };
        match state.open_pin(name, about.kind, access) {
            Ok(object) if Saved::is(&object, about) => Ok(object.into()),
            _ => {
                let lost = stored.trouble(name, self.find(name, about));
                let why = "no fd with less access can be opened";
                Err(RequestError::new(lost.status, format!("{}: {why}", lost.reason)))
            }
        }
    }
}

fn failed(cause: Cause) -> RequestError {
    RequestError::new(Status::Failed, cause.to_string())
}

/// The error for a name that no object has.
pub fn absent(name: &[u8]) -> RequestError {
    RequestError::new(Status::Absent, format!("nothing is stored as {}", quoted(name))).of(name)
}
