//! Maps that were inherited: those which the environment declares and which are open.

use crate::handoff::environ::{self, Claim};
use crate::sys::bpf::{Access, MapInfo};
use crate::sys::{Errno, elem, fd};
use std::ffi::CString;
use std::os::fd::AsFd;

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

/// The maps that `environment` declares, by index, and a warning for each number
/// that is closed or is no map, and for a wrong count.
///
/// Call it before anything else is opened.
pub fn open(environment: &[CString]) -> (Vec<Inherited>, Vec<String>) {
    let (claims, mut warnings) = environ::claims(environment.iter().map(|e| e.as_bytes()));
    let mut maps = Vec::new();
    for claim in claims {
        match check(claim.fd) {
            Ok((fd, info, access)) => maps.push(Inherited { claim, fd, info, access }),
            Err(reason) => {
                let Claim { index, fd, .. } = claim;
                warnings.push(format!("BPF_MAP{index}: descriptor {fd} is {reason}, dropped"));
            }
        }
    }
    (maps, warnings)
}

/// The map behind the descriptor `number` that was inherited, or what it is instead.
pub fn check(number: i32) -> Result<(fd::Inherited, MapInfo, Access), String> {
    let unusable = |errno| match errno {
        Errno::EBADF => "closed".into(),
        errno => format!("unusable ({})", crate::error::describe(errno)),
    };
    let inherited = fd::Inherited::new(number).map_err(unusable)?;
    let info = elem::describe(inherited.as_fd())
        .map_err(unusable)?
        .map_err(|other| format!("{}, not a map", other.describe()))?;
    Ok((inherited, info, fd::access(inherited.as_fd()).map_err(unusable)?))
}
