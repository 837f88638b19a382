//! The state directory of one agent, and the files in it.

use crate::agent::about::encode_name;
use crate::bpffs::private::open_private;
use crate::error::{Cause, Error};
use crate::text::escape;
use bpf_inherit::Errno;
use bpf_inherit::bpf::obj_get;
use bpf_inherit::object::Object;
use bpf_inherit::{AccessMode, ObjectKind};
use nix::fcntl::readlinkat;
use nix::sys::stat::{fstat, stat};
use std::cell::Cell;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, TryLockError};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

pub const OPEN: &str = "open state";
/// The symbolic link that describes an object.
pub const ABOUT: &str = "about";

/// The state of one agent, which no other agent can open as long as this exists.
#[derive(Debug)]
pub struct StateDir {
    pub(super) path: PathBuf,
    /// Locked with flock(2).
    pub(super) dir: File,
    /// The N of the next `%new-N` or `%old-N`.
    pub(super) next: Cell<u32>,
}

impl StateDir {
    /// Opens the directory, and creates it if it is missing. Adds a warning for anything unusual.
    pub fn open(path: &Path, warnings: &mut Vec<String>) -> Result<StateDir, Error> {
        let fail = |cause: Cause| Error::new(path.as_os_str().as_bytes(), OPEN, cause);
        let dir = open_private(path, warnings).map_err(fail)?;
        let dir = File::from(dir);
        match dir.try_lock() {
            Ok(()) => Ok(StateDir { path: path.into(), dir, next: Cell::new(0) }),
            Err(TryLockError::WouldBlock) => Err(fail("another agent uses it".into())),
            Err(TryLockError::Error(error)) => Err(fail(error.into())),
        }
    }

    /// The names of the files in a directory of the state; none if it is not there.
    pub(super) fn files(&self, below: &OsStr) -> Result<Vec<OsString>, Errno> {
        let entries = match self.in_proc("").join(below).read_dir() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(bpf_inherit::errno)?,
        };
        entries.map(|entry| Ok(entry.map_err(bpf_inherit::errno)?.file_name())).collect()
    }

    pub(super) fn target(&self, file: &OsStr, link: &str) -> Result<Vec<u8>, Errno> {
        readlinkat(&self.dir, &Path::new(file).join(link)).map(OsStringExt::into_vec)
    }

    /// Opens the object that the pin of a name refers to now.
    pub fn open_pin(
        &self,
        name: &[u8],
        kind: ObjectKind,
        access: AccessMode,
    ) -> Result<Object, Cause> {
        let path = format!("{}/{}", encode_name(name), kind.short_name());
        let path =
            CString::new(self.in_proc(&path).as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
        // The fds of programs have no access modes, and links are opened read-write only.
        let access = if kind == ObjectKind::Map { access } else { AccessMode::ReadWrite };
        Object::identify(obj_get(&path, access)?)?.map_err(|kind| kind.with_article().into())
    }

    /// Whether the path still refers to the directory: otherwise the objects in it are released
    /// when the agent ends.
    pub fn is_reachable(&self) -> bool {
        match (fstat(&self.dir), stat(&self.path)) {
            (Ok(own), Ok(there)) => (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino),
            _ => false,
        }
    }

    /// Through /proc: bpf(2) requires a path, and this one always refers to the directory.
    pub(super) fn in_proc(&self, below: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{below}", self.dir.as_fd().as_raw_fd()).into()
    }

    pub(super) fn show(&self, file: &OsStr) -> String {
        escape(self.path.join(file).as_os_str().as_bytes())
    }
}
