//! A walk over a BPF file system. Each directory is opened relative to its parent, so paths may
//! have any length, and symbolic links are not followed.

use super::pin::NOT_MOUNTED;
use super::{NOT_BPFFS, is_bpffs};
use crate::error::{Cause, Error};
use bpf_inherit::bpf::obj_get;
use bpf_inherit::fd;
use bpf_inherit::{AccessMode, Errno};
use nix::dir::{Dir, Type};
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use std::ffi::{CStr, CString, OsStr};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The mode of a directory whose pins are private to its owner, such as an agent's state: walks
/// skip it. A directory's mode is all that other programs can see of its purpose.
pub const PRIVATE_MODE: u32 = 0o1700;
pub const TOO_DEEP: &str = "directories are nested too deeply here: skipped";
const WALK: &str = "read directory";
/// Levels of directories below the root. Each has an open fd during the walk.
pub const MAX_DEPTH: usize = 64;

/// One step of a walk.
pub enum Step<'w> {
    Pin(Pin<'w>),
    /// A directory that could not be read.
    Unread(&'w Path, Errno),
    /// A directory with more than [`MAX_DEPTH`] directories above it.
    TooDeep(&'w Path),
}

/// A pin that the walk has found.
pub struct Pin<'w> {
    directory: BorrowedFd<'w>,
    name: &'w CString,
    /// For messages and names. It may be too long to be opened.
    pub path: PathBuf,
}

impl Pin<'_> {
    /// A short path of the pin, valid during its step of the walk.
    pub fn reachable(&self) -> PathBuf {
        let directory = format!("/proc/self/fd/{}", self.directory.as_raw_fd());
        Path::new(&directory).join(OsStr::from_bytes(self.name.as_bytes()))
    }

    /// Opens the pinned object (BPF_OBJ_GET).
    pub fn open(&self, mode: AccessMode) -> Result<OwnedFd, Errno> {
        let path = CString::new(self.reachable().as_os_str().as_bytes());
        obj_get(&path.map_err(|_| Errno::EINVAL)?, mode)
    }
}

/// Calls `visit` for every pin below `root`, sorted bytewise, directory by directory, until it
/// breaks. Skipped are files with a dot in their name, which are the kernel's, directories of mode
/// [`PRIVATE_MODE`], and files removed during the walk. An error concerns the root; it is
/// [`NO_PROC`](bpf_inherit::NO_PROC) if no pin can be opened because /proc/self is missing.
pub fn each<B>(
    root: &Path,
    mut visit: impl FnMut(Step) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = open(root, flags, Mode::empty())?;
    fd::proc_path(directory.as_fd())?;
    let entries = list(&directory)?;
    Ok(below(&directory, root, &entries, 0, &mut visit))
}

/// An error unless `start` is a directory of a BPF file system.
pub fn check_bpffs(start: &Path, root: &Path) -> Result<(), Error> {
    match is_bpffs(start) {
        Ok(true) => Ok(()),
        Ok(false) => Err(fail(start, if start == root { NOT_MOUNTED } else { NOT_BPFFS })),
        Err(errno) => Err(fail(start, errno)),
    }
}

/// An error of reading the directory `path`.
pub fn fail(path: &Path, cause: impl Into<Cause>) -> Error {
    Error::new(path.as_os_str().as_bytes(), WALK, cause)
}

fn below<B>(
    directory: &OwnedFd,
    path: &Path,
    entries: &[(CString, bool)],
    depth: usize,
    visit: &mut impl FnMut(Step) -> ControlFlow<B>,
) -> ControlFlow<B> {
    for (name, is_dir) in entries {
        let path = path.join(OsStr::from_bytes(name.as_bytes()));
        if !is_dir {
            visit(Step::Pin(Pin { directory: directory.as_fd(), name, path }))?;
            continue;
        }
        if depth == MAX_DEPTH {
            visit(Step::TooDeep(&path))?;
            continue;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = openat(directory, name.as_c_str(), flags, Mode::empty());
        match opened.and_then(|below| list(&below).map(|entries| (below, entries))) {
            Ok((inner, entries)) => below(&inner, &path, &entries, depth + 1, visit)?,
            Err(Errno::ENOENT) => {}
            Err(errno) => visit(Step::Unread(&path, errno))?,
        }
    }
    ControlFlow::Continue(())
}

/// The names of pins and of directories to be walked, sorted.
fn list(directory: &OwnedFd) -> Result<Vec<(CString, bool)>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::from_fd(directory.try_clone().map_err(bpf_inherit::errno)?)?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        // Among them `.` and `..`.
        if name.to_bytes().contains(&b'.') {
            continue;
        }
        let is_dir = match entry.file_type() {
            Some(Type::File) => false,
            Some(Type::Directory) | None => match stat(directory, name) {
                Err(Errno::ENOENT) => continue,
                // Opening it as a directory reports the reason.
                Err(_) => true,
                Ok(stat) if is(&stat, SFlag::S_IFREG) => false,
                Ok(stat) if is(&stat, SFlag::S_IFDIR) && stat.st_mode & 0o7777 != PRIVATE_MODE => {
                    true
                }
                Ok(_) => continue,
            },
            Some(_) => continue,
        };
        names.push((name.to_owned(), is_dir));
    }
    names.sort_unstable();
    Ok(names)
}

fn stat(directory: &OwnedFd, name: &CStr) -> Result<FileStat, Errno> {
    fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

fn is(stat: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == kind
}
