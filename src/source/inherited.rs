//! Maps that were inherited: those which the environment declares and which are open.

use crate::error::{Error, describe};
use crate::handoff::environ::{self, Claim};
use crate::sys::bpf::{Access, MapInfo};
use crate::sys::{Errno, elem, fd, process};
use std::fmt;
use std::os::fd::{AsFd, RawFd};

/// An inherited map.
#[derive(Debug)]
pub struct Inherited {
    /// What the environment says of it.
    pub claim: Claim,
    /// The descriptor, where it was inherited. It is looked at there, not duplicated:
    /// below a limit on open files there may be no room for as many again.
    pub fd: fd::Inherited,
    pub info: MapInfo,
    pub access: Access,
}

/// What was inherited.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// The maps that the environment declares, by index.
    pub maps: Vec<Inherited>,
    /// Whether it declares any, be it one that is not there.
    pub declared: bool,
    /// A line for each number that is closed or is no map, and for a wrong count.
    pub warnings: Vec<String>,
}

/// Why a descriptor is not the map that it should be.
#[derive(Debug)]
pub enum Unfit {
    Closed,
    /// It is something else.
    Other(fd::Kind),
    /// What it is could not be found out.
    Unknown(Errno),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Unfit::Closed => f.write_str("closed"),
            Unfit::Other(kind) => write!(f, "{}, not a map", kind.describe()),
            Unfit::Unknown(errno) => write!(f, "unusable ({})", describe(*errno)),
        }
    }
}

/// Finds the maps that `environment` declares. That a descriptor is there and cannot be
/// told for what it is, for want of /proc, is an error: it may be a writable map.
///
/// Call it before anything else is opened.
pub fn open<'a>(environment: impl IntoIterator<Item = &'a [u8]>) -> Result<Inheritance, Error> {
    let environ::Claims { claims, declared, mut warnings } = environ::claims(environment);
    let mut maps = Vec::new();
    for claim in claims {
        let Claim { index, fd, .. } = claim;
        match check(fd) {
            Ok((fd, info, access)) => maps.push(Inherited { claim, fd, info, access }),
            Err(Unfit::Unknown(errno)) => {
                let object = format!("BPF_MAP{index}: descriptor {fd}");
                return Err(Error::new(object, "identify", errno));
            }
            Err(reason) => {
                warnings.push(format!("BPF_MAP{index}: descriptor {fd} is {reason}, dropped"));
            }
        }
    }
    Ok(Inheritance { maps, declared, warnings })
}

/// As [`open`], of this process's own environment: for the binaries, see [`process::environment`].
pub fn here() -> Result<Inheritance, Error> {
    open(process::environment().iter().map(|entry| entry.as_bytes()))
}

/// The map behind the descriptor `number` that was inherited, or why it is none.
pub fn check(number: RawFd) -> Result<(fd::Inherited, MapInfo, Access), Unfit> {
    let inherited = fd::Inherited::new(number).map_err(|_| Unfit::Closed)?;
    let info = elem::describe(inherited.as_fd()).map_err(Unfit::Unknown)?;
    let info = info.map_err(Unfit::Other)?;
    let access = fd::access(inherited.as_fd()).map_err(Unfit::Unknown)?;
    Ok((inherited, info, access))
}

/// Every map that was inherited, declared or not, by rising number.
pub fn every() -> Result<Vec<(fd::Inherited, MapInfo, Access)>, Error> {
    let fail = |errno| Error::new("inherited descriptors", "list", errno);
    let numbers = fd::open_numbers().map_err(fail)?;
    let mut maps = Vec::new();
    for number in numbers {
        match check(number) {
            Ok(map) => maps.push(map),
            Err(Unfit::Closed | Unfit::Other(_)) => {}
            Err(Unfit::Unknown(errno)) => return Err(fail(errno)),
        }
    }
    Ok(maps)
}
