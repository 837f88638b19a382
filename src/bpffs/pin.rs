//! One pin: opening the pinned object, and the reason if it could not be opened.

use super::{NOT_BPFFS, is_bpffs};
use crate::error::{Cause, Error};
use bpf_inherit::bpf::obj_get;
use bpf_inherit::fd::{FdType, fd_type};
use bpf_inherit::object::Object;
use bpf_inherit::{AccessMode, Errno, Map, ObjectKind};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const OPEN: &str = "open pin";
pub(super) const NOT_MOUNTED: &str = "no bpf file system is mounted there";

/// Distinguishes a pin from a later pin at the same path by its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

/// The identity of the pin at `path`; None if there is none.
pub fn identity(path: &Path) -> Option<Identity> {
    let metadata = path.metadata().ok()?;
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    Some(Identity { device: metadata.dev(), inode: metadata.ino(), changed })
}

/// The access mode with which a pin is opened. Read permission suffices for a program, whose file
/// descriptor has no access mode; a link can only be opened read-write.
pub fn access_mode(kind: ObjectKind, read_only: bool) -> AccessMode {
    match kind {
        ObjectKind::Map if !read_only => AccessMode::ReadWrite,
        ObjectKind::Map | ObjectKind::Program => AccessMode::ReadOnly,
        ObjectKind::Link => AccessMode::ReadWrite,
    }
}

/// Opens the pin of a map. `root` is the BPF file system root, for the message if none is mounted.
pub fn open_map(path: &Path, mode: AccessMode, root: &Path) -> Result<Map, Error> {
    let kind = ObjectKind::Map;
    let map = Map::identify(open_fd(kind, path, mode, root)?).map_err(|errno| fail(path, errno))?;
    map.map_err(|other| fail(path, describe_mismatch(kind, other)))
}

/// Opens the pin of an object of any kind; with `read_only`, a map is opened read-only.
pub fn open_object(
    kind: ObjectKind,
    path: &Path,
    read_only: bool,
    root: &Path,
) -> Result<Object, Error> {
    let fd = open_fd(kind, path, access_mode(kind, read_only), root)?;
    let object = Object::identify_as(kind, fd).map_err(|errno| fail(path, errno))?;
    object.map_err(|other| fail(path, describe_mismatch(kind, other)))
}

fn open_fd(kind: ObjectKind, path: &Path, mode: AccessMode, root: &Path) -> Result<OwnedFd, Error> {
    get(path, mode).map_err(|errno| fail(path, explain(kind, path, errno, mode, root)))
}

/// Opens the object that is pinned at `path` (BPF_OBJ_GET).
pub(super) fn get(path: &Path, mode: AccessMode) -> Result<OwnedFd, Errno> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    obj_get(&path, mode)
}

/// An error of opening the pin at `path`.
pub fn fail(path: &Path, cause: impl Into<Cause>) -> Error {
    Error::new(path.as_os_str().as_bytes(), OPEN, cause)
}

fn describe_mismatch(kind: ObjectKind, other: FdType) -> String {
    format!("{}, not a {}", other.with_article(), kind.noun())
}

/// Whether a pin that cannot be opened read-only is that of a link: those can be opened read-write,
/// or could with the permission.
fn is_link(path: &Path) -> bool {
    matches!(get(path, AccessMode::ReadWrite), Ok(_) | Err(Errno::EACCES))
}

/// The cause of the failure to open an object of this kind at `path`, derived from `errno`.
pub fn explain(
    kind: ObjectKind,
    path: &Path,
    errno: Errno,
    mode: AccessMode,
    root: &Path,
) -> Cause {
    let readable = || get(path, AccessMode::ReadOnly).and_then(|fd| fd_type(fd.as_fd()));
    match errno {
        Errno::EACCES | Errno::EPERM if is_bpffs(path) == Ok(false) => NOT_BPFFS.into(),
        Errno::EACCES if path.is_dir() => format!("a directory, not a {}", kind.noun()).into(),
        Errno::EACCES if mode == AccessMode::ReadWrite => match readable() {
            Ok(found) if found == FdType::Object(kind) => {
                Cause::Hint(errno, "only reading is allowed")
            }
            Ok(other) => describe_mismatch(kind, other).into(),
            Err(_) => errno.into(),
        },
        Errno::EINVAL if mode != AccessMode::ReadWrite && is_link(path) => {
            describe_mismatch(kind, FdType::Object(ObjectKind::Link)).into()
        }
        Errno::ENOENT if is_bpffs(path) == Ok(true) => "neither a map, a program nor a link".into(),
        Errno::ENOENT if path.starts_with(root) && is_bpffs(root) == Ok(false) => {
            Cause::Hint(errno, NOT_MOUNTED)
        }
        errno => errno.into(),
    }
}
