//! Maps that were inherited: those which the environment declares and which are open.

use crate::handoff::environ::{self, Claim};
use crate::sys::elem::MapFd;
use crate::sys::{Errno, fd};
use std::ffi::CString;
use std::os::fd::AsFd;

/// An inherited map.
#[derive(Debug)]
pub struct Inherited {
    /// What the environment says of it.
    pub claim: Claim,
    /// The descriptor that was inherited.
    pub fd: fd::Inherited,
    /// A duplicate of it, which is ours.
    pub map: MapFd,
}

/// The maps that `environment` declares, by index, and a warning for each number
/// that is closed or is no map, and for a wrong count.
///
/// Call it before anything else is opened.
pub fn open(environment: &[CString]) -> (Vec<Inherited>, Vec<String>) {
    let (claims, mut warnings) = environ::claims(environment.iter().map(|e| e.as_bytes()));
    let mut maps = Vec::new();
    for claim in claims {
        match check(claim.fd) {
            Ok((fd, map)) => maps.push(Inherited { claim, fd, map }),
            Err(reason) => {
                let Claim { index, fd, .. } = claim;
                warnings.push(format!("BPF_MAP{index}: descriptor {fd} is {reason}, dropped"));
            }
        }
    }
    (maps, warnings)
}

/// The map behind the descriptor `number` that was inherited, or what it is instead.
pub fn check(number: i32) -> Result<(fd::Inherited, MapFd), String> {
    let describe = |errno| match errno {
        Errno::EBADF => "closed".into(),
        errno => format!("unusable ({})", crate::error::describe(errno)),
    };
    let inherited = fd::Inherited::new(number).map_err(describe)?;
    let own = inherited.duplicate().map_err(describe)?;
    match fd::kind(own.as_fd()).map_err(describe)? {
        fd::Kind::Map => Ok((inherited, MapFd::new(own).map_err(describe)?)),
        other => Err(format!("{}, not a map", other.describe())),
    }
}
