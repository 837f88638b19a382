//! A directory of a BPF file system that belongs to this user alone, such as an agent's state.

use super::walk::PRIVATE_MODE;
use super::{NOT_BPFFS, is_bpffs};
use crate::error::Cause;
use crate::text::escape;
use bpf_inherit::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, open, renameat2};
use nix::sys::stat::{Mode, fchmod, fstat, fstatat, mkdirat, stat};
use nix::sys::statfs::{BPF_FS_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Names that are tried for a directory before it is renamed.
const ATTEMPTS: u32 = 100;

/// Opens a directory, and creates it if it is missing. One that belongs to another user, or that
/// other users may access, is an error. It gets the mode that makes walks skip it.
///
/// Any user can have created the path before if the directory above is world-writable: another
/// user's file is renamed then. Adds a warning for that, and for a mode that cannot be set.
pub fn open_private(path: &Path, warnings: &mut Vec<String>) -> Result<OwnedFd, Cause> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    warnings.extend(replace_foreign(path));
    let opened = match open(path, flags, Mode::empty()) {
        Err(Errno::ENOENT) => {
            create(path)?;
            open(path, flags, Mode::empty())
        }
        opened => opened,
    };
    let directory = opened.map_err(|errno| match errno {
        Errno::ENOTDIR | Errno::ELOOP => "not a directory".into(),
        errno => Cause::from(errno),
    })?;
    if fstatfs(&directory)?.filesystem_type() != BPF_FS_MAGIC {
        return Err(NOT_BPFFS.into());
    }
    let stat = fstat(&directory)?;
    if stat.st_uid != geteuid().as_raw() {
        return Err(format!("it belongs to uid {}", stat.st_uid).into());
    }
    if stat.st_mode & 0o077 != 0 {
        return Err(format!("open to others: mode {:04o}", stat.st_mode & 0o7777).into());
    }
    // It may be the user's own directory, and neither the umask nor the directory above matter.
    if stat.st_mode & 0o7777 != PRIVATE_MODE
        && let Err(errno) = fchmod(&directory, Mode::from_bits_truncate(PRIVATE_MODE))
    {
        let cause = Cause::from(errno);
        warnings.push(format!("{}: set mode {PRIVATE_MODE:04o}: {cause}", show(path)));
    }
    Ok(directory)
}

fn show(path: &Path) -> String {
    escape(path.as_os_str().as_bytes())
}

fn parent_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn create(path: &Path) -> Result<(), Cause> {
    if !is_bpffs(parent_of(path))? {
        return Err(NOT_BPFFS.into());
    }
    Ok(mkdirat(AT_FDCWD, path, Mode::from_bits_truncate(PRIVATE_MODE))?)
}

/// Puts an empty directory of this user in the place of a file that another user created in a
/// world-writable directory. Returns a warning with the new name of that file. On failure nothing
/// is changed, and opening the path reports the reason.
fn replace_foreign(path: &Path) -> Option<String> {
    let own = geteuid().as_raw();
    let there = fstatat(AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
    let is_open = stat(parent_of(path)).ok()?.st_mode & 0o022 != 0;
    if there.st_uid == own || there.st_uid == 0 || !is_open {
        return None;
    }
    let other = create_beside(path).ok()?;
    // An exchange leaves no time in which the path is free for another user.
    if renameat2(AT_FDCWD, &other, AT_FDCWD, path, RenameFlags::RENAME_EXCHANGE).is_err() {
        let _ = unlinkat(AT_FDCWD, &other, UnlinkatFlags::RemoveDir);
        return None;
    }
    let (path, uid, other) = (show(path), there.st_uid, show(&other));
    Some(format!("warning: {path} belonged to uid {uid}: renamed to {other}"))
}

/// Creates a directory whose name other users do not know before.
fn create_beside(path: &Path) -> Result<PathBuf, Cause> {
    let mut result = Err(Errno::EEXIST.into());
    for _ in 0..ATTEMPTS {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_nanos());
        let mut other = OsString::from(path);
        other.push(format!("-{time}"));
        result = create(other.as_ref()).map(|()| other.into());
        if result.is_ok() {
            break;
        }
    }
    result
}
