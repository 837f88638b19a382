//! Programs, for maps whose values they are: by pin, id or inherited descriptor.

use crate::error::{Cause, Error};
use crate::sys::bpf::{Access, obj_get, prog_by_id};
use crate::sys::fd::{self, Inherited, Kind};
use crate::sys::{Errno, Result as SysResult};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Opens the program pinned at `path`.
pub fn open_pinned(path: &Path) -> Result<OwnedFd, Error> {
    let fail = |cause: Cause| Error::new(path.as_os_str().as_bytes(), "open pin", cause);
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| fail("a NUL byte".into()))?;
    // A program's descriptor has no modes: to be allowed to read its pin is enough. A link's
    // pin wants more, and is opened to say what it is.
    let opened = match obj_get(&name, Access::ReadOnly) {
        Err(Errno::EINVAL) => obj_get(&name, Access::ReadWrite),
        opened => opened,
    };
    check(opened.map_err(|errno| fail(errno.into()))?).map_err(fail)
}

/// Opens the program with this id; wants CAP_SYS_ADMIN.
pub fn open_by_id(id: u32) -> Result<OwnedFd, Error> {
    prog_by_id(id).map_err(|errno| {
        let cause = match errno {
            Errno::EPERM => Cause::Hint(errno, "CAP_SYS_ADMIN is needed"),
            Errno::ENOENT => "no such program".into(),
            errno => errno.into(),
        };
        Error::new(format!("id {id}"), "open program by id", cause)
    })
}

/// A descriptor of our own for the program that was inherited as `number`.
pub fn duplicate(number: RawFd) -> Result<OwnedFd, Error> {
    let fail = |cause: Cause| Error::new(format!("descriptor {number}"), "duplicate", cause);
    let fd: SysResult<OwnedFd> = Inherited::new(number).and_then(|fd| fd.duplicate());
    check(fd.map_err(|errno| fail(errno.into()))?).map_err(fail)
}

fn check(fd: OwnedFd) -> Result<OwnedFd, Cause> {
    match fd::kind(fd.as_fd())? {
        Kind::Prog => Ok(fd),
        other => Err(format!("{}, not a program", other.describe()).into()),
    }
}
