//! Maps, programs and links that were inherited: those which the environment declares and
//! which are open.

use super::foreign::{ForeignLayout, ForeignName};
use crate::error::{Error, describe};
use crate::handoff::environ::{self, Claim, Class, Scope};
use crate::sys::object::{self, Info};
use crate::sys::{Errno, fd, process};
use std::fmt;
use std::os::fd::{AsFd, RawFd};

/// An inherited object.
#[derive(Debug)]
pub struct Inherited {
    /// What the environment says of it.
    pub claim: Claim,
    /// The descriptor, where it was inherited. It is looked at there, not duplicated:
    /// below a limit on open files there may be no room for as many again.
    pub fd: fd::Inherited,
    pub info: Info,
}

/// What was inherited.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// What the environment declares, by class and index.
    pub objects: Vec<Inherited>,
    /// What it declares, whether or not the descriptors are there.
    pub scope: Scope,
    /// Whether an object that it declares is not among these.
    pub dropped: bool,
    /// A line for each number that is closed or something else, and for a wrong count.
    pub warnings: Vec<String>,
}

/// Why a descriptor is not what it should be.
#[derive(Debug)]
pub enum Unfit {
    Closed,
    /// It is something else than the class wanted.
    Other(fd::Kind, Class),
    /// It is another object of that class than the environment says: the number was closed
    /// and used again.
    Reused {
        class: Class,
        is: u32,
        was: u32,
    },
    /// What it is could not be found out.
    Unknown(Errno),
}

impl Unfit {
    /// The reason as a sentence about the descriptor.
    pub fn about(&self, number: RawFd) -> String {
        match self {
            Unfit::Reused { .. } => format!("fd {number} is {self}"),
            _ => format!("descriptor {number} is {self}"),
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Unfit::Closed => f.write_str("closed"),
            Unfit::Other(kind, class) => {
                write!(f, "{}, not a {}", kind.describe(), class.noun())
            }
            Unfit::Reused { class, is, was } => {
                let noun = class.noun();
                write!(f, "{noun} {is}, not {noun} {was}")
            }
            Unfit::Unknown(errno) => write!(f, "unusable ({})", describe(*errno)),
        }
    }
}

/// Finds what `environment` declares. That a descriptor is there and cannot be told for what
/// it is, for want of /proc, is an error: it may be a writable map.
///
/// Call it before anything else is opened.
pub fn open<'a>(environment: impl IntoIterator<Item = &'a [u8]>) -> Result<Inheritance, Error> {
    let environ::Claims { claims, scope, mut dropped, mut warnings, .. } =
        environ::claims(environment);
    let mut objects = Vec::new();
    for claim in claims {
        let variable = claim.variable();
        match check(claim.fd, claim.class, claim.id) {
            Ok((fd, info)) => {
                let claim = settle(claim, &info, &mut warnings);
                objects.push(Inherited { claim, fd, info });
            }
            Err(Unfit::Unknown(errno)) => {
                let object = format!("{variable}: descriptor {}", claim.fd);
                return Err(Error::new(object, "identify", errno));
            }
            Err(reason) => {
                dropped = true;
                warnings.push(format!("{variable}: {}, dropped", reason.about(claim.fd)));
            }
        }
    }
    Ok(Inheritance { objects, scope, dropped, warnings })
}

/// The claim with a name that can be used, and without a layout that is not the map's.
fn settle(claim: Claim, info: &Info, warnings: &mut Vec<String>) -> Claim {
    let variable = claim.variable();
    let mut warn = |warning: Option<String>| warnings.extend(warning);
    let foreign = claim.name.map(ForeignName::new);
    let index = Some(claim.index);
    let (name, warning) = ForeignName::choose(None, foreign, claim.class, index, info.name());
    warn(warning);
    let layout = match (claim.layout, info) {
        (Some(text), Info::Map(map, _)) => {
            let layout = ForeignLayout::new(text, format!("{variable}_LAYOUT")).fit(map);
            layout.map_err(|warning| warn(Some(warning))).ok()
        }
        _ => None,
    };
    let layout = layout.map(|layout| layout.to_string().into_bytes());
    Claim { name, layout, ..claim }
}

/// As [`open`], of this process's own environment: for the binaries, see [`process::environment`].
pub fn here() -> Result<Inheritance, Error> {
    open(process::environment().iter().map(|entry| entry.as_bytes()))
}

/// The object of this class, and with this id if one is known, behind the descriptor `number`
/// that was inherited; or why there is none.
pub fn check(number: RawFd, class: Class, id: Option<u32>) -> Result<(fd::Inherited, Info), Unfit> {
    let inherited = fd::Inherited::new(number).map_err(|_| Unfit::Closed)?;
    let kind = fd::kind(inherited.as_fd()).map_err(Unfit::Unknown)?;
    let info = match kind == class.kind() {
        true => object::describe(inherited.as_fd(), kind).map_err(Unfit::Unknown)?,
        false => None,
    };
    let info = info.ok_or(Unfit::Other(kind, class))?;
    match (info.id(), id) {
        (is, Some(was)) if is != was => Err(Unfit::Reused { class, is, was }),
        _ => Ok((inherited, info)),
    }
}

/// Every map, program and link that was inherited, declared or not, by rising number.
pub fn every() -> Result<Vec<(fd::Inherited, Class)>, Error> {
    let fail = |errno| Error::new("inherited descriptors", "list", errno);
    let mut found = Vec::new();
    for number in fd::open_numbers().map_err(fail)? {
        let Ok(inherited) = fd::Inherited::new(number) else { continue };
        let kind = fd::kind(inherited.as_fd()).map_err(fail)?;
        let class = Class::ALL.into_iter().find(|class| class.kind() == kind);
        found.extend(class.map(|class| (inherited, class)));
    }
    Ok(found)
}
