//! One stored object: its record in replies, and its fds.

use super::RequestError;
use super::about::About;
use super::quota::Charge;
use crate::text::quoted;
use crate::wire::agent::{Access, PinState, Record, Status};
use bpf_inherit::Errno;
use bpf_inherit::bpf::{MapInfo, map_by_id};
use bpf_inherit::describe;
use bpf_inherit::object::Object;
use bpf_inherit::{AccessMode, ObjectKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// One object.
#[derive(Debug)]
pub struct Stored {
    pub about: About,
    pub layout: Vec<u8>,
    /// Its access is the bound. None if its pin referred to another object at the start.
    pub object: Option<Object>,
    /// The state and id of its pin in that case.
    pub lost: (PinState, u32),
    /// The name, and the bytes of the layout.
    pub charges: [Charge; 2],
}

/// An fd that is handed out.
#[derive(Debug)]
pub enum Handout<'a> {
    Held(BorrowedFd<'a>),
    Opened(Rc<OwnedFd>),
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
    /// The access that a peer with these permissions gets: programs and links are handed out only
    /// with both.
    pub fn access(&self, allowed: Access) -> Access {
        match self.about.kind {
            ObjectKind::Map => allowed.and(self.about.bound),
            ObjectKind::Program | ObjectKind::Link if allowed == Access::BOTH => allowed,
            ObjectKind::Program | ObjectKind::Link => Access::NONE,
        }
    }

    /// The record for a peer that gets the object with `access`. `found` is the state of its pin,
    /// and the id that the pin refers to, or 0.
    pub fn record(&self, name: &[u8], access: Access, found: (PinState, u32)) -> Record {
        let about = &self.about;
        let (state, pin_id) = found;
        let (object_type, details) = match &self.object {
            Some(Object::Map(map)) => {
                let MapInfo { map_type, key_size, value_size, max_entries, flags, .. } = map.info();
                (map_type.0, [*key_size, *value_size, *max_entries, *flags])
            }
            Some(Object::Program(_, info)) => (info.program_type, [0; 4]),
            Some(Object::Link(_, info)) => (info.link_type, [info.program_id, 0, 0, 0]),
            None => (0, [0; 4]),
        };
        Record {
            kind: about.kind,
            access: access.and(about.bound),
            bound: about.bound,
            state,
            id: about.id,
            pin_id,
            object_type,
            details,
            uid: about.uid,
            gid: about.gid,
            pid: about.pid,
            time: about.time,
            name: name.to_vec(),
            layout: self.layout.clone(),
        }
    }

    /// The error for a pin that does not refer to the stored object.
    pub fn trouble(&self, name: &[u8], lost: (PinState, u32)) -> RequestError {
        let (kind, id) = (self.about.kind.short_name(), self.about.id);
        let reason = match lost {
            (PinState::Changed, now) => {
                format!("its pin refers to id {now}, but {kind} {id} was stored")
            }
            _ => format!("the pin of {kind} {id} is gone, or cannot be opened"),
        };
        RequestError::new(Status::Changed, format!("{}: {reason}", quoted(name)))
    }
}

/// An fd of a map that is stored as `name` and has no pin.
pub fn by_id(name: &[u8], id: u32, access: AccessMode) -> Result<OwnedFd, RequestError> {
    let why = "an fd with less access needs a pin (--state), or CAP_SYS_ADMIN";
    map_by_id(id, access).map_err(|errno| match errno {
        Errno::EPERM => RequestError::new(Status::Failed, format!("{}: {why}", quoted(name))),
        errno => RequestError::new(Status::Failed, describe(errno)),
    })
}
