//! Making and removing pins.

use super::pin::get;
use super::{NOT_BPFFS, is_bpffs};
use crate::error::{Cause, Error};
use bpf_inherit::AccessMode;
use bpf_inherit::Errno;
use bpf_inherit::ObjectKind;
use bpf_inherit::bpf::obj_pin;
use bpf_inherit::fd::{self, FdType};
use bpf_inherit::process::run_in_child;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, open, openat, renameat2};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat, fstatat, umask};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, geteuid, unlinkat};
use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Pins `object` at `path`, which must not exist.
pub fn pin(object: impl AsFd, path: &Path) -> Result<(), Error> {
    let bytes = path.as_os_str().as_bytes();
    let fail = |cause: Cause| Error::new(bytes, "pin", cause);
    let text = CString::new(bytes).map_err(|_| fail(Errno::EINVAL.into()))?;
    obj_pin(object.as_fd(), &text).map_err(|errno| fail(explain(path, errno)))
}

/// The mode and the owner of a pin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Permissions {
    /// The bits of chmod(2).
    pub mode: u32,
    pub owner: Option<Uid>,
    pub group: Option<Gid>,
}

/// Pins `object` at `path`, which must not exist yet. The pin has these permissions from the
/// beginning.
///
/// The kernel chooses the mode of a new pin. Therefore the object is pinned under another name, and
/// renamed. A child process does both, and completes them if this process is killed.
pub fn publish(object: impl AsFd, path: &Path, permissions: Permissions) -> Result<(), Error> {
    let bytes = path.as_os_str().as_bytes();
    let fail = |cause: Cause| Error::new(bytes, "pin", cause);
    let name = path.file_name().filter(|name| bytes.ends_with(name.as_bytes()));
    let Some(name) = name else { return Err(fail("a directory".into())) };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = open(parent.unwrap_or(Path::new(".")), flags, Mode::empty());
    let directory = directory.map_err(|errno| fail(explain(path, errno)))?;
    let temporary = format!("bpf-map-{}", std::process::id());
    let proc = fd::proc_path(directory.as_fd()).map_err(|errno| fail(errno.into()))?;
    let place =
        CString::new(format!("{proc}/{temporary}")).map_err(|_| fail(Errno::EINVAL.into()))?;
    let temporary = Path::new(&temporary);
    let remove = || unlinkat(&directory, temporary, UnlinkatFlags::NoRemoveDir);
    let published = run_in_child(|| {
        umask(Mode::all());
        obj_pin(object.as_fd(), &place)?;
        let renamed = set_permissions(&directory, temporary, permissions).and_then(|()| {
            let flags = RenameFlags::RENAME_NOREPLACE;
            renameat2(&directory, temporary, &directory, name, flags)
        });
        if renamed.is_err() {
            // The error above is reported, not an error of this removal.
            let _ = remove();
        }
        renamed
    });
    if published == Err(Errno::EINTR) {
        let _ = remove();
    }
    published.map_err(|errno| fail(explain(path, errno)))
}

/// Sets the permissions of a new pin, which has mode 0000 because of the umask.
///
/// The owner of the directory can replace the pin at any time, also by a symbolic link. Therefore
/// the file is opened first, and ESTALE is returned unless it is a new file of this process.
fn set_permissions(
    directory: impl AsFd,
    name: &Path,
    Permissions { mode, owner, group }: Permissions,
) -> Result<(), Errno> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let pin = openat(directory, name, flags, Mode::empty())?;
    let stat = fstat(&pin)?;
    if stat.st_mode != SFlag::S_IFREG.bits() || stat.st_uid != geteuid().as_raw() {
        return Err(Errno::ESTALE);
    }
    fchownat(&pin, "", owner, group, AtFlags::AT_EMPTY_PATH)?;
    let path = fd::proc_path(pin.as_fd())?;
    let mode = Mode::from_bits_truncate(mode);
    fchmodat(AT_FDCWD, path.as_str(), mode, FchmodatFlags::FollowSymlink)
}

/// The cause of the failure to pin an object at `path`, derived from `errno`.
fn explain(path: &Path, errno: Errno) -> Cause {
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    };
    let dotted = path.file_name().is_some_and(|name| name.as_bytes().contains(&b'.'));
    match errno {
        Errno::EPERM if is_bpffs(directory) == Ok(false) => NOT_BPFFS.into(),
        Errno::EPERM if dotted => "the name of a pin cannot contain a dot".into(),
        Errno::EPERM => Cause::denied("CAP_BPF may be needed"),
        Errno::ENOENT if !directory.exists() => "no such directory".into(),
        // The error of sysfs, in which /sys/fs/bpf is an empty directory.
        Errno::ENOENT if is_bpffs(directory) == Ok(false) => NOT_BPFFS.into(),
        Errno::EEXIST => "already exists".into(),
        Errno::ESTALE => "another process has replaced the new pin".into(),
        errno => errno.into(),
    }
}

/// Removes the pin of an object of this kind, or of any object if `kind` is None.
///
/// Only regular files of a BPF file system are removed: a directory or a symbolic link is not a
/// pin. The checks and the removal use one file descriptor of the directory, so no concurrent
/// rename can redirect them. A process with write permission for the directory can still swap pins.
pub fn unpin(path: &Path, kind: Option<ObjectKind>) -> Result<(), Error> {
    let fail = |cause: Cause| Error::new(path.as_os_str().as_bytes(), "unpin", cause);
    let name = path.file_name().filter(|n| path.as_os_str().as_bytes().ends_with(n.as_bytes()));
    let Some(name) = name else { return Err(fail("a directory, not a pin".into())) };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = open(parent.unwrap_or(Path::new(".")), flags, Mode::empty());
    let directory = directory.map_err(|errno| fail(errno.into()))?;
    let stat = fstatat(&directory, name, AtFlags::AT_SYMLINK_NOFOLLOW);
    let mode = stat.map_err(|errno| fail(errno.into()))?.st_mode;
    let file_type = SFlag::from_bits_truncate(mode) & SFlag::S_IFMT;
    if file_type == SFlag::S_IFLNK {
        return Err(fail("a symbolic link, not a pin".into()));
    }
    let place = fd::proc_path(directory.as_fd()).map_err(|errno| fail(errno.into()))?;
    let place = PathBuf::from(place);
    let file = place.join(name);
    // A directory may be the mount point of a BPF file system.
    let at = if file_type == SFlag::S_IFDIR { &file } else { &place };
    match is_bpffs(at) {
        Ok(true) => {}
        Ok(false) => return Err(fail(NOT_BPFFS.into())),
        Err(errno) => return Err(fail(errno.into())),
    }
    if file_type == SFlag::S_IFDIR {
        return Err(fail("a directory, not a pin".into()));
    }
    if let Some(kind) = kind {
        check_kind(&file, kind).map_err(fail)?;
    }
    unlinkat(&directory, name, UnlinkatFlags::NoRemoveDir).map_err(|errno| fail(errno.into()))
}

/// An error unless an object of this kind is pinned at `path`: the last pin of a link keeps a program
/// attached, so it is not removed as that of a map.
fn check_kind(path: &Path, kind: ObjectKind) -> Result<(), Cause> {
    const HINT: &str = "--force removes it";
    // A link can only be opened read-write.
    let opened = match get(path, AccessMode::ReadOnly) {
        Err(Errno::EINVAL) => get(path, AccessMode::ReadWrite),
        opened => opened,
    };
    let fd = opened.map_err(|errno| match errno {
        Errno::ENOENT => format!("neither a map, a program nor a link ({HINT})").into(),
        errno => Cause::Hint(errno, HINT),
    })?;
    match fd::fd_type(fd.as_fd()).map_err(Cause::from)? {
        FdType::Object(found) if found == kind => Ok(()),
        other => {
            let prefix = match other {
                FdType::Object(ObjectKind::Program) => "prog:PATH or ",
                FdType::Object(ObjectKind::Link) => "link:PATH or ",
                FdType::Object(ObjectKind::Map) | FdType::Other(_) => "",
            };
            let (found, wanted) = (other.with_article(), kind.noun());
            Err(format!("{found}, not a {wanted} ({prefix}{HINT})").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions, Permissions as FileMode, set_permissions as set_mode};
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};

    #[test]
    fn only_a_new_file_gets_permissions() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let create =
            |name| OpenOptions::new().write(true).create_new(true).mode(0o000).open(path(name));
        create("new").expect("a file");
        create("old").expect("a file");
        set_mode(path("old"), FileMode::from_mode(0o600)).expect("the owner's");
        create("target").expect("a file");
        symlink(path("target"), path("link")).expect("a link");
        let opened = File::open(directory.path()).expect("a directory");
        let permissions = Permissions { mode: 0o444, owner: None, group: None };
        for (name, file, want, mode) in [
            ("new", "new", Ok(()), 0o444),
            ("old", "old", Err(Errno::ESTALE), 0o600),
            ("link", "target", Err(Errno::ESTALE), 0),
        ] {
            assert_eq!(set_permissions(&opened, Path::new(name), permissions), want, "{name}");
            let found = path(file).metadata().expect("it exists").permissions().mode();
            assert_eq!(found & 0o7777, mode, "{name}");
        }
    }
}
