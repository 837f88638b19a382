//! One object that is held: what is told of it, and descriptors of it.

use super::Trouble;
use super::about::About;
use crate::map::typed::parse_layout_for;
use crate::text::quote;
use crate::wire::agent::{Class, Mode, Record, State, Status};
use bpf_inherit::AccessMode;
use bpf_inherit::Errno;
use bpf_inherit::bpf::{MapInfo, map_by_id};
use bpf_inherit::describe;
use bpf_inherit::object::Object;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// One object.
#[derive(Debug)]
pub struct Stored {
    pub about: About,
    pub layout: Vec<u8>,
    /// Its access is the bound. None where its pin led to something else at the start.
    pub object: Option<Object>,
    /// What its pin leads to instead, in that case.
    pub lost: (State, u32),
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

    /// What a reply tells of it, to a peer that gets it with `access`. `found` is whether it is
    /// kept as it was stored, and the id that its pin leads to, 0 for none.
    pub fn record(&self, name: &[u8], access: Mode, found: (State, u32)) -> Record {
        let about = &self.about;
        let (state, pin_id) = found;
        let (kind, details) = match &self.object {
            Some(Object::Map(map)) => (map.info().map_type.0, details(map.info())),
            Some(Object::Program(_, info)) => (info.program_type, [0; 4]),
            Some(Object::Link(_, info)) => (info.link_type, [info.program_id, 0, 0, 0]),
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
            layout: self.layout.clone(),
        }
    }

    /// Why nothing is held as `name`, where nothing is.
    pub fn trouble(&self, name: &[u8]) -> Trouble {
        trouble(name, &self.about, self.lost)
    }
}

/// What a name's pin leads to, where that is not what was stored.
pub fn trouble(name: &[u8], about: &About, lost: (State, u32)) -> Trouble {
    let (class, id) = (about.class.name(), about.id);
    let reason = match lost {
        (State::Changed, now) => {
            format!("its pin leads to id {now}, where {class} {id} was stored")
        }
        _ => format!("the pin of {class} {id} is gone, or cannot be opened"),
    };
    Trouble::new(Status::Changed, format!("{}: {reason}", quote(name)))
}

fn details(info: &MapInfo) -> [u32; 4] {
    [info.key_size, info.value_size, info.max_entries, info.flags]
}

/// A descriptor of a map, stored as `name`, of which there are no pins.
pub fn by_id(name: &[u8], id: u32, access: AccessMode) -> Result<OwnedFd, Trouble> {
    let why = "a descriptor with less access cannot be made: \
               that needs a pin (--state), or CAP_SYS_ADMIN";
    map_by_id(id, access).map_err(|errno| match errno {
        Errno::EPERM => Trouble::new(Status::Failed, format!("{}: {why}", quote(name))),
        errno => Trouble::new(Status::Failed, describe(errno)),
    })
}

/// An error unless a layout is one, and fits the map. Other objects have none.
pub fn check_layout(text: &[u8], object: &Object) -> Result<(), String> {
    match object {
        _ if text.is_empty() => Ok(()),
        Object::Map(map) => parse_layout_for(text, map.info()).map(drop),
        other => Err(format!("a layout for {}", other.kind().with_article())),
    }
}
