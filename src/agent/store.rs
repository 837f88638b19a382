//! What the agent holds: objects by name, and how they come in and go out.

use super::Trouble;
use super::about::About;
use super::keep::Keeper;
use super::state::{Change, New, Saved, access_of, bound_of, class_of};
use crate::error::{Cause, describe};
use crate::layout::{Layout, Type};
use crate::sys::Errno;
use crate::sys::bpf::{Access, MapInfo, map_by_id, prog_by_id};
use crate::sys::object::{Object, link_by_id};
use crate::text::{count, quote};
use crate::wire::agent::{Class, Mode, Record, State, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

/// One object.
#[derive(Debug)]
pub struct Stored {
    pub about: About,
    pub layout: Vec<u8>,
    /// Its access is the bound. None where its pin led to something else at the start.
    object: Option<Object>,
    /// What its pin leads to instead, in that case.
    lost: (State, u32),
}

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
}

/// A descriptor on its way out.
#[derive(Debug)]
pub enum Handout<'a> {
    Held(BorrowedFd<'a>),
    Opened(OwnedFd),
}

impl AsFd for Handout<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Handout::Held(fd) => *fd,
            Handout::Opened(fd) => fd.as_fd(),
        }
    }
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
                warnings.push(format!("{}: {}", quote(&name), stored.trouble().reason));
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

    /// Stores objects under names that differ, all or none; of each, whether anything changed:
    /// not where the very same object is stored under its name already. With an error that is
    /// about one of them comes its place.
    pub fn put(
        &mut self,
        all: Vec<(&[u8], Incoming)>,
    ) -> Result<Vec<bool>, (Option<usize>, Trouble)> {
        let mut coming = Vec::new();
        let mut changed = Vec::new();
        for (at, (name, incoming)) in all.into_iter().enumerate() {
            let admitted = self.admit(name, incoming, &coming);
            let admitted = admitted.map_err(|trouble| (Some(at), trouble))?;
            changed.push(admitted.is_some());
            coming.extend(admitted.map(|stored| (name, stored)));
        }
        let about = |name: &[u8]| self.objects.get(name).map(|stored| &stored.about);
        let changes: Vec<Change> = coming
            .iter()
            .filter_map(|(name, stored)| {
                let object = stored.object.as_ref()?.as_fd();
                let new = Some(New { about: &stored.about, layout: &stored.layout, object });
                Some(Change { name, old: about(name), new })
            })
            .collect();
        self.keeper.apply(&changes, self.objects.len()).map_err(|cause| (None, failed(cause)))?;
        self.objects.extend(coming.into_iter().map(|(name, stored)| (name.to_vec(), stored)));
        Ok(changed)
    }

    /// What an object will be here, if it may be stored beside those that are coming; None where
    /// it is stored already.
    fn admit(
        &self,
        name: &[u8],
        incoming: Incoming,
        coming: &[(&[u8], Stored)],
    ) -> Result<Option<Stored>, Trouble> {
        let Incoming { object, layout, replace, uid, gid, pid } = incoming;
        let class = class_of(object.kind())
            .ok_or_else(|| Trouble::new(Status::Unfit, "not a BPF object"))?;
        check_layout(&layout, &object).map_err(|why| Trouble::new(Status::Unfit, why))?;
        let bound = bound_of(&object).map_err(|errno| failed(errno.into()))?;
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
        let about = About { class, id: object.id(), bound, uid, gid, pid, time };
        if let Some(old) = self.objects.get(name) {
            // systemd does not keep layouts: who puts an object again brings its own.
            let is_lost = old.layout.is_empty() && matches!(self.keeper, Keeper::Systemd(_));
            let is_same = (old.about.class, old.about.id, old.about.bound)
                == (class, about.id, bound)
                && (old.layout == layout || is_lost);
            // Whoever had no answer to a put asks again. What is not kept any more as it was
            // is kept anew.
            let is_kept = || self.keeper.look(name, &old.about).0 == self.keeper.state();
            if is_same && old.layout == layout && old.object.is_some() && is_kept() {
                return Ok(None);
            }
            if !is_same && !replace {
                let held = format!("{} {}", old.about.class.name(), old.about.id);
                let reason = format!("{} is the name of {held} already", quote(name));
                return Err(Trouble::new(Status::Exists, reason));
            }
        } else {
            let is_new = |(name, _): &&(&[u8], Stored)| !self.objects.contains_key(*name);
            if self.objects.len() + coming.iter().filter(is_new).count() >= self.limit {
                let limit = count(self.limit, "object");
                let reason = format!("{limit} are stored, as many as may be");
                return Err(Trouble::new(Status::Full, reason));
            }
        }
        let mut others = self.objects.values().chain(coming.iter().map(|(_, stored)| stored));
        let is_shared =
            others.any(|other| (other.about.class, other.about.id) == (class, about.id));
        // systemd stores one open file once, under one name.
        let object = match is_shared && matches!(self.keeper, Keeper::Systemd(_)) {
            true => opened_anew(object, bound).map_err(failed)?,
            false => object,
        };
        Ok(Some(Stored { about, layout, object: Some(object), lost: (State::Gone, 0) }))
    }

    /// Forgets names, all or none; those that nothing has are passed over.
    pub fn remove(&mut self, names: &BTreeSet<&[u8]>) -> Result<(), Trouble> {
        let named = names.iter().filter_map(|&name| Some((name, self.objects.get(name)?)));
        let changes: Vec<Change> = named
            .map(|(name, stored)| Change { name, old: Some(&stored.about), new: None })
            .collect();
        self.keeper.apply(&changes, self.objects.len()).map_err(failed)?;
        self.objects.retain(|name, _| !names.contains(&name[..]));
        Ok(())
    }

    /// A descriptor of an object with this access, which is within its bound.
    pub fn hand_out(&self, name: &[u8], mode: Mode) -> Result<Handout<'_>, Trouble> {
        let stored = self.objects.get(name).ok_or_else(|| absent(name))?;
        let object = stored.object.as_ref().ok_or_else(|| stored.trouble())?;
        if mode == stored.about.bound {
            return Ok(Handout::Held(object.as_fd()));
        }
        let access = access_of(mode);
        let pinned = self.keeper.reopen(name, stored.about.class, access);
        let pinned = pinned.and_then(Result::ok).filter(|o| Saved::is(o, &stored.about));
        match (pinned, &self.keeper) {
            (Some(object), _) => Ok(Handout::Opened(object.into())),
            (None, Keeper::Pins(_)) => {
                let lost = trouble(&stored.about, self.keeper.look(name, &stored.about));
                let why = "no descriptor with less access can be made of it";
                Err(Trouble::new(lost.status, format!("{}: {why}", lost.reason)))
            }
            (None, _) => by_id(stored.about.id, access).map(Handout::Opened),
        }
    }

    /// What a reply tells of an object, to a peer that gets it with `access`. Only with `look`
    /// is it found out what its pin leads to now.
    pub fn record(&self, name: &[u8], stored: &Stored, access: Mode, look: bool) -> Record {
        let about = &stored.about;
        let (state, pin_id) = match (look, &stored.object) {
            (true, _) => self.keeper.look(name, about),
            (false, _) => (self.keeper.state(), 0),
        };
        let (kind, details) = match &stored.object {
            Some(Object::Map(map)) => (map.info().kind, details(map.info())),
            Some(Object::Prog(_, info)) => (info.kind, [0; 4]),
            Some(Object::Link(_, info)) => (info.kind, [info.prog_id, 0, 0, 0]),
            None => (0, [0; 4]),
        };
        Record {
            class: about.class,
            access: access.and(about.bound),
            bound: about.bound,
            state,
            id: about.id,
            pin_id,
            kind,
            details,
            uid: about.uid,
            gid: about.gid,
            pid: about.pid,
            time: about.time,
            name: name.to_vec(),
            layout: stored.layout.clone(),
        }
    }
}

impl Stored {
    /// The access that a peer with these rights to the elements gets: programs and links have
    /// no lesser one than both.
    pub fn access(&self, mode: Mode) -> Mode {
        match self.about.class {
            Class::Map => mode.and(self.about.bound),
            Class::Prog | Class::Link if mode == Mode::BOTH => mode,
            Class::Prog | Class::Link => Mode::NONE,
        }
    }

    fn trouble(&self) -> Trouble {
        trouble(&self.about, self.lost)
    }
}

/// What a pin leads to, where that is not what was stored.
fn trouble(about: &About, lost: (State, u32)) -> Trouble {
    let (class, id) = (about.class.name(), about.id);
    let reason = match lost {
        (State::Changed, now) => {
            format!("its pin leads to id {now}, where {class} {id} was stored")
        }
        _ => format!("the pin of {class} {id} is gone, or cannot be opened"),
    };
    Trouble::new(Status::Changed, reason)
}

fn failed(cause: Cause) -> Trouble {
    Trouble::new(Status::Failed, cause.to_string())
}

/// Another open file for an object that has a name here.
fn opened_anew(object: Object, bound: Mode) -> Result<Object, Cause> {
    let id = object.id();
    let opened = match object {
        Object::Map(_) => map_by_id(id, access_of(bound)),
        Object::Prog(..) => prog_by_id(id),
        Object::Link(..) => link_by_id(id),
    };
    match opened {
        Ok(fd) => Object::identify(fd)?.map_err(|kind| kind.describe().into()),
        Err(Errno::EPERM) => Err(
            "it has another name here, systemd stores it once, and to open it anew needs CAP_SYS_ADMIN".into(),
        ),
        Err(errno) => Err(errno.into()),
    }
}

/// That no object has a name.
pub fn absent(name: &[u8]) -> Trouble {
    Trouble::new(Status::Absent, format!("nothing is stored as {}", quote(name)))
}

fn details(info: &MapInfo) -> [u32; 4] {
    [info.key_size, info.value_size, info.max_entries, info.flags]
}

/// A descriptor of a map of which no pin can be opened.
fn by_id(id: u32, access: Access) -> Result<OwnedFd, Trouble> {
    map_by_id(id, access).map_err(|errno| match errno {
        Errno::EPERM => Trouble::new(
            Status::Failed,
            "a descriptor with less access cannot be made: that needs a pin (--state), or CAP_SYS_ADMIN",
        ),
        errno => Trouble::new(Status::Failed, describe(errno)),
    })
}

/// An error unless a layout is one, and is as long as the map's keys and values. Other objects
/// have none.
fn check_layout(text: &[u8], object: &Object) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let Object::Map(map) = object else {
        return Err(format!("a layout for {}", object.kind().describe()));
    };
    let text = std::str::from_utf8(text).map_err(|_| "a layout that is not UTF-8")?;
    let layout: Layout = text.parse().map_err(|e| format!("layout: {e}"))?;
    let key = layout.key.as_ref().map_or(0, Type::size);
    let (info, value) = (map.info(), layout.value.size());
    for (what, told, real) in [("key", key, info.key_size), ("value", value, info.value_size)] {
        if told != real as usize {
            return Err(format!("layout: a {what} of {told} bytes, where the map's is {real}"));
        }
    }
    Ok(())
}
