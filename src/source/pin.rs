//! Maps pinned in a bpf file system: one pin, or all below a directory.

use super::{Opened, Settings};
use crate::error::{Cause, Error};
use crate::sys::Errno;
use crate::sys::bpf::{Access, obj_get};
use crate::sys::elem::MapFd;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use std::ffi::{CString, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Where the bpf file system is, unless something else is said.
pub const ROOT: &str = "/sys/fs/bpf";
const OPEN: &str = "open pin";
const WALK: &str = "read directory";

/// Opens the map pinned at `path`, or every map below it if it is a directory.
pub fn open(path: &Path, settings: &Settings) -> Result<Vec<Opened>, Error> {
    let access = if settings.read_only { Access::ReadOnly } else { Access::ReadWrite };
    match get(path, access) {
        // OBJ_GET answers EACCES for a directory, on bpffs and elsewhere.
        Err(Errno::EACCES) if path.is_dir() => open_below(path, access, &settings.bpffs),
        result => {
            let fd = result.map_err(|errno| explain(path, errno, access, &settings.bpffs))?;
            let map = map(path, fd)?;
            Ok(vec![name_after(path, map)])
        }
    }
}

/// Opens every map pinned below the directory `root`.
///
/// Sorted bytewise, directory by directory; symbolic links are not followed, and
/// programs, links and what vanishes meanwhile are passed over.
fn open_below(root: &Path, access: Access, bpffs: &Path) -> Result<Vec<Opened>, Error> {
    check_bpffs(root, bpffs)?;
    let mut maps = Vec::new();
    let listed = list(root).map_err(|e| Error::new(root.as_os_str().as_bytes(), WALK, e))?;
    visit(root, listed, access, &mut maps)?;
    Ok(maps)
}

/// Opens the pin of the map with this id below `root` with read-only access, if
/// there is one; what cannot be opened or read is passed over.
pub fn find_read_only(root: &Path, id: u32) -> Option<MapFd> {
    for (name, is_dir) in list(root).ok()? {
        let path = root.join(name);
        let found = if is_dir {
            find_read_only(&path, id)
        } else {
            let opened = get(&path, Access::ReadOnly).and_then(MapFd::new).ok();
            opened.filter(|map| map.info().id == id)
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Opens one pin for a caller that has no settings: see [`open`].
pub fn open_one(path: &Path, access: Access, bpffs: &Path) -> Result<MapFd, Error> {
    let fd = get(path, access).map_err(|errno| explain(path, errno, access, bpffs))?;
    map(path, fd)
}

/// Whether `path` is in a bpf file system.
pub(super) fn on_bpffs(path: &Path) -> Result<bool, Errno> {
    statfs(path).map(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
}

/// An error unless `root` is a directory of a bpf file system.
fn check_bpffs(root: &Path, bpffs: &Path) -> Result<(), Error> {
    match statfs(root) {
        Ok(stat) if stat.filesystem_type() == BPF_FS_MAGIC => Ok(()),
        Ok(_) => {
            let cause = if root == bpffs { NO_BPFFS } else { NOT_BPFFS };
            Err(Error::new(root.as_os_str().as_bytes(), WALK, cause))
        }
        Err(errno) => Err(Error::new(root.as_os_str().as_bytes(), WALK, errno)),
    }
}

pub(super) const NOT_BPFFS: &str = "not on a bpf file system";
const NO_BPFFS: &str = "no bpf file system is mounted there";

/// The names in a directory, sorted, each with whether it is a directory.
/// Symbolic links are left out, and names with a dot: the kernel makes no pin of such a
/// name, but has files of its own, such as maps.debug, which only root may open.
pub(super) fn list(directory: &Path) -> std::io::Result<Vec<(OsString, bool)>> {
    let mut names = Vec::new();
    for entry in directory.read_dir()? {
        let entry = entry?;
        let kind = match entry.file_type() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            kind => kind?,
        };
        let of_the_kernel = entry.file_name().as_bytes().contains(&b'.');
        if !of_the_kernel && (kind.is_file() || kind.is_dir()) {
            names.push((entry.file_name(), kind.is_dir()));
        }
    }
    names.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    Ok(names)
}

/// Adds to `maps` every map among `entries` of `directory` and below them.
fn visit(
    directory: &Path,
    entries: Vec<(OsString, bool)>,
    access: Access,
    maps: &mut Vec<Opened>,
) -> Result<(), Error> {
    for (name, is_dir) in entries {
        let path = directory.join(name);
        let fail =
            |operation, cause: Cause| Error::new(path.as_os_str().as_bytes(), operation, cause);
        if is_dir {
            match list(&path) {
                Ok(entries) => visit(&path, entries, access, maps)?,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(fail(WALK, e.into())),
            }
            continue;
        }
        match get(&path, access) {
            Ok(fd) => {
                if let Ok(map) = MapFd::identify(fd).map_err(|e| fail(OPEN, e.into()))? {
                    maps.push(name_after(&path, map));
                }
            }
            // It went after it was listed.
            Err(Errno::ENOENT) => {}
            // A link, which can be opened in no other way than read-write.
            Err(Errno::EINVAL) if access != Access::ReadWrite => {}
            Err(errno) => return Err(explain(&path, errno, access, directory)),
        }
    }
    Ok(())
}

pub(super) fn get(path: &Path, access: Access) -> Result<OwnedFd, Errno> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    obj_get(&path, access)
}

/// The map behind a pin, or what it is instead.
fn map(path: &Path, fd: OwnedFd) -> Result<MapFd, Error> {
    let fail = |cause: Cause| Error::new(path.as_os_str().as_bytes(), OPEN, cause);
    let map = MapFd::identify(fd).map_err(|e| fail(e.into()))?;
    map.map_err(|other| fail(format!("{}, not a map", other.describe()).into()))
}

fn name_after(path: &Path, map: MapFd) -> Opened {
    let opened = Opened::new(map);
    match path.file_name() {
        Some(name) => opened.named(name.as_bytes()),
        None => opened,
    }
}

/// Why a pin could not be opened, as far as the kernel's answer tells it.
fn explain(path: &Path, errno: Errno, access: Access, bpffs: &Path) -> Error {
    let cause: Cause = match errno {
        Errno::EACCES | Errno::EPERM if on_bpffs(path) == Ok(false) => NOT_BPFFS.into(),
        Errno::EACCES if path.is_dir() => "a directory, not a map".into(),
        Errno::EACCES if access == Access::ReadWrite && get(path, Access::ReadOnly).is_ok() => {
            Cause::Hint(errno, "reading alone is allowed")
        }
        Errno::EINVAL if access != Access::ReadWrite && get(path, Access::ReadWrite).is_ok() => {
            "a BPF link, not a map".into()
        }
        Errno::ENOENT if on_bpffs(path) == Ok(true) => "neither a map, a program nor a link".into(),
        Errno::ENOENT if path.starts_with(bpffs) && on_bpffs(bpffs) == Ok(false) => {
            Cause::Hint(errno, NO_BPFFS)
        }
        errno => errno.into(),
    };
    Error::new(path.as_os_str().as_bytes(), OPEN, cause)
}
