//! What is pinned in a bpf file system: one pin, or all of a kind below a directory.

use super::walk::{self, Pin, Step};
use super::{Opened, Settings};
use crate::error::{Cause, Error};
use crate::text::escape;
use bpf_inherit::AccessMode;
use bpf_inherit::Map;
use bpf_inherit::ObjectKind;
use bpf_inherit::bpf::obj_get;
use bpf_inherit::object::Object;
use bpf_inherit::{Errno, fd};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use std::ffi::CString;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Where the bpf file system is, unless something else is said.
pub const ROOT: &str = "/sys/fs/bpf";
/// The mode of a directory whose pins are nobody's but its owner's, such as an agent's state:
/// a walk that comes by passes over it. Nothing but this can be told of it from outside.
pub const APART: u32 = 0o1700;
const OPEN: &str = "open pin";
const WALK: &str = "read directory";
pub(super) const TOO_DEEP: &str = "directories are nested too deeply here: skipped";

/// Opens the object of this kind pinned at `path`, or every one below it if it is a directory.
///
/// Warnings are about directories that are too deep to be walked.
pub fn open(
    kind: ObjectKind,
    path: &Path,
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Result<Vec<Opened>, Error> {
    let access = access(kind, settings.read_only);
    match get(path, access) {
        // OBJ_GET answers EACCES for a directory, on bpffs and elsewhere.
        Err(Errno::EACCES) if path.is_dir() => {
            open_below(kind, path, access, &settings.bpffs, warnings)
        }
        result => {
            let fd = result.map_err(|errno| explain(kind, path, errno, access, &settings.bpffs));
            Ok(vec![name_after(path, object(kind, path, fd?)?)])
        }
    }
}

/// How a pin is opened: to be allowed to read it is enough for a program, whose descriptor has
/// no modes; a link can be opened in no way but read-write.
fn access(kind: ObjectKind, read_only: bool) -> AccessMode {
    match kind {
        ObjectKind::Map if !read_only => AccessMode::ReadWrite,
        ObjectKind::Map | ObjectKind::Program => AccessMode::ReadOnly,
        ObjectKind::Link => AccessMode::ReadWrite,
    }
}

/// Opens everything of this kind that is pinned below the directory `root`, in the order of
/// [`walk::each`]; other classes are skipped.
fn open_below(
    kind: ObjectKind,
    root: &Path,
    access: AccessMode,
    bpffs: &Path,
    warnings: &mut Vec<String>,
) -> Result<Vec<Opened>, Error> {
    check_bpffs(root, bpffs)?;
    let mut found = Vec::new();
    let unread = |path: &Path, errno| Error::new(path.as_os_str().as_bytes(), WALK, errno);
    let walked = walk::each(root, |step| match step {
        // One user of a root that all may write to must not end the walks of the others.
        Step::TooDeep(path) => {
            let path = escape(path.as_os_str().as_bytes());
            warnings.push(format!("{path}: {TOO_DEEP}"));
            ControlFlow::Continue(())
        }
        Step::Unread(path, errno) => ControlFlow::Break(unread(path, errno)),
        Step::Pin(pin) => match open_one(kind, &pin, access) {
            Ok(opened) => {
                found.extend(opened);
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        },
    });
    match walked.map_err(|errno| unread(root, errno))? {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(found),
    }
}

/// The object behind a pin that a walk met; None if it is of another kind, or vanished.
fn open_one(kind: ObjectKind, pin: &Pin, access: AccessMode) -> Result<Option<Opened>, Error> {
    match pin.open(access) {
        Ok(fd) => {
            let object = Object::identify_as(kind, fd).map_err(|e| fail(&pin.path, e))?;
            Ok(object.ok().map(|object| name_after(&pin.path, object)))
        }
        Err(Errno::ENOENT) => Ok(None),
        // A link, which can be opened in no other way than read-write.
        Err(Errno::EINVAL) if access != AccessMode::ReadWrite => Ok(None),
        Err(errno) => {
            let at = pin.reachable();
            Err(fail(&pin.path, cause(kind, &at, errno, access, &at)))
        }
    }
}

/// Opens the pin of the map with this id below `root` with read-only access, if
/// there is one; what cannot be opened or read is skipped.
pub fn find_read_only(root: &Path, id: u32) -> Option<Map> {
    let walked = walk::each(root, |step| {
        let Step::Pin(pin) = step else { return ControlFlow::Continue(()) };
        let opened = pin.open(AccessMode::ReadOnly).and_then(Map::new).ok();
        match opened.filter(|map| map.info().id == id) {
            Some(map) => ControlFlow::Break(map),
            None => ControlFlow::Continue(()),
        }
    });
    walked.ok()?.break_value()
}

/// Opens the pin of a map for a caller that has no settings: see [`open`].
pub fn open_map(path: &Path, access: AccessMode, bpffs: &Path) -> Result<Map, Error> {
    let kind = ObjectKind::Map;
    let fd = get(path, access).map_err(|errno| explain(kind, path, errno, access, bpffs))?;
    let map = Map::identify(fd).map_err(|errno| fail(path, errno))?;
    map.map_err(|other| fail(path, instead(kind, other)))
}

/// Opens the pin of an object of any kind, likewise; of a map for reading and writing.
pub fn open_object(kind: ObjectKind, path: &Path, bpffs: &Path) -> Result<Object, Error> {
    let access = access(kind, false);
    let fd = get(path, access).map_err(|errno| explain(kind, path, errno, access, bpffs))?;
    object(kind, path, fd)
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

/// Tells a pin from another one that took its path since: the kernel gives each an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

/// The identity of the pin at `path`; None if there is none.
pub fn identity(path: &Path) -> Option<Identity> {
    let about = path.metadata().ok()?;
    let changed = (about.ctime(), about.ctime_nsec());
    Some(Identity { device: about.dev(), inode: about.ino(), changed })
}

pub(super) fn get(path: &Path, access: AccessMode) -> Result<OwnedFd, Errno> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    obj_get(&path, access)
}

/// The object of this kind behind a pin; an error that says what it is instead.
fn object(kind: ObjectKind, path: &Path, fd: OwnedFd) -> Result<Object, Error> {
    let object = Object::identify_as(kind, fd).map_err(|errno| fail(path, errno))?;
    object.map_err(|other| fail(path, instead(kind, other)))
}

fn fail(path: &Path, cause: impl Into<Cause>) -> Error {
    Error::new(path.as_os_str().as_bytes(), OPEN, cause)
}

fn instead(kind: ObjectKind, other: fd::FdType) -> String {
    format!("{}, not a {}", other.with_article(), kind.noun())
}

fn name_after(path: &Path, object: Object) -> Opened {
    let opened = Opened::new(object);
    match path.file_name() {
        Some(name) => opened.named(name.as_bytes()),
        None => opened,
    }
}

/// Whether what refused to be opened for reading alone takes the one access that a link has, or
/// would, were it allowed.
fn is_link(path: &Path) -> bool {
    matches!(get(path, AccessMode::ReadWrite), Ok(_) | Err(Errno::EACCES))
}

/// Why a pin could not be opened, as far as the kernel's answer tells it.
fn explain(kind: ObjectKind, path: &Path, errno: Errno, access: AccessMode, bpffs: &Path) -> Error {
    fail(path, cause(kind, path, errno, access, bpffs))
}

fn cause(kind: ObjectKind, path: &Path, errno: Errno, access: AccessMode, bpffs: &Path) -> Cause {
    let readable = || get(path, AccessMode::ReadOnly).and_then(|fd| fd::fd_type(fd.as_fd()));
    match errno {
        Errno::EACCES | Errno::EPERM if on_bpffs(path) == Ok(false) => NOT_BPFFS.into(),
        Errno::EACCES if path.is_dir() => format!("a directory, not a {}", kind.noun()).into(),
        Errno::EACCES if access == AccessMode::ReadWrite => match readable() {
            Ok(found) if found == fd::FdType::Object(kind) => {
                Cause::Hint(errno, "reading alone is allowed")
            }
            Ok(other) => instead(kind, other).into(),
            Err(_) => errno.into(),
        },
        Errno::EINVAL if access != AccessMode::ReadWrite && is_link(path) => {
            instead(kind, fd::FdType::Object(ObjectKind::Link)).into()
        }
        Errno::ENOENT if on_bpffs(path) == Ok(true) => "neither a map, a program nor a link".into(),
        Errno::ENOENT if path.starts_with(bpffs) && on_bpffs(bpffs) == Ok(false) => {
            Cause::Hint(errno, NO_BPFFS)
        }
        errno => errno.into(),
    }
}
