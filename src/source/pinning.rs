//! Making and removing pins.

use super::pin::{NOT_BPFFS, get, on_bpffs};
use crate::error::{Cause, Error};
use crate::sys::Errno;
use crate::sys::bpf::{Access, obj_pin};
use crate::sys::elem::MapFd;
use crate::sys::fd::{self, Kind};
use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Pins `map` at `path`, where nothing may be.
pub fn pin(map: &MapFd, path: &Path) -> Result<(), Error> {
    let bytes = path.as_os_str().as_bytes();
    let fail = |cause: Cause| Error::new(bytes, "pin", cause);
    let text = CString::new(bytes).map_err(|_| fail(Errno::EINVAL.into()))?;
    obj_pin(map.as_fd(), &text).map_err(|errno| fail(explain(path, errno)))
}

/// Why nothing could be pinned at `path`, as far as the kernel's answer tells it.
fn explain(path: &Path, errno: Errno) -> Cause {
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    };
    let dotted = path.file_name().is_some_and(|name| name.as_bytes().contains(&b'.'));
    match errno {
        Errno::EPERM if on_bpffs(directory) == Ok(false) => NOT_BPFFS.into(),
        Errno::EPERM if dotted => "a pin's name may not have a dot".into(),
        Errno::ENOENT if !directory.exists() => "no such directory".into(),
        Errno::EEXIST => "it exists already".into(),
        errno => errno.into(),
    }
}

/// Removes the pin of a map; with `force` any pin, whatever is pinned.
///
/// Nothing but a regular file of a bpf file system is removed: a directory or a symbolic
/// link is not a pin.
pub fn unpin(path: &Path, force: bool) -> Result<(), Error> {
    let fail = |cause: Cause| Error::new(path.as_os_str().as_bytes(), "unpin", cause);
    let kind = path.symlink_metadata().map_err(|e| fail(e.into()))?.file_type();
    if kind.is_symlink() {
        return Err(fail("a symbolic link, not a pin".into()));
    }
    match on_bpffs(path) {
        Ok(true) => {}
        Ok(false) => return Err(fail(NOT_BPFFS.into())),
        Err(errno) => return Err(fail(errno.into())),
    }
    if kind.is_dir() {
        return Err(fail("a directory, not a pin".into()));
    }
    if !force {
        check_map(path).map_err(fail)?;
    }
    std::fs::remove_file(path).map_err(|e| fail(e.into()))
}

/// An error unless a map is pinned at `path`: the only pin of a link keeps a program attached.
fn check_map(path: &Path) -> Result<(), Cause> {
    const HINT: &str = "--force removes it";
    // A link can be opened in no way but read-write.
    let opened = match get(path, Access::ReadOnly) {
        Err(Errno::EINVAL) => get(path, Access::ReadWrite),
        opened => opened,
    };
    let fd = opened.map_err(|errno| match errno {
        Errno::ENOENT => format!("neither a map, a program nor a link ({HINT})").into(),
        errno => Cause::Hint(errno, HINT),
    })?;
    match fd::kind(fd.as_fd()).map_err(Cause::from)? {
        Kind::Map => Ok(()),
        other => Err(format!("{}, not a map ({HINT})", other.describe()).into()),
    }
}
