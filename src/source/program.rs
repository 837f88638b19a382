//! Programs, for maps whose values they are: by pin, id or inherited descriptor.

use super::{id, pin};
use crate::error::{Cause, Error};
use crate::handoff::environ::Class;
use crate::sys::Result as SysResult;
use crate::sys::fd::{self, Inherited, Kind};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;

/// Opens the program pinned at `path`.
pub fn open_pinned(path: &Path) -> Result<OwnedFd, Error> {
    Ok(pin::open_object(Class::Prog, path, Path::new(pin::ROOT))?.into())
}

/// Opens the program with this id; wants CAP_SYS_ADMIN.
pub fn open_by_id(id: u32) -> Result<OwnedFd, Error> {
    Ok(id::open(Class::Prog, id, false)?.into())
}

/// A descriptor of our own for the program that was inherited as `number`.
pub fn duplicate(number: RawFd) -> Result<OwnedFd, Error> {
    let fail = |cause: Cause| Error::new(format!("descriptor {number}"), "duplicate", cause);
    let fd: SysResult<OwnedFd> = Inherited::new(number).and_then(|fd| fd.duplicate());
    let fd = fd.map_err(|errno| fail(errno.into()))?;
    match fd::kind(fd.as_fd()).map_err(|errno| fail(errno.into()))? {
        Kind::Prog => Ok(fd),
        other => Err(fail(format!("{}, not a program", other.describe()).into())),
    }
}
