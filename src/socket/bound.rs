//! Binding a unix socket to a path: the file appears with its mode, replaces only a dead socket,
//! and is removed at the end.

use super::connect::connect;
use crate::error::{Cause, Error};
use bpf_inherit::Errno;
use bpf_inherit::peer::{pass_credentials, pass_rights};
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, openat, renameat2};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, umask};
use nix::unistd::{Gid, UnlinkatFlags, fchownat, unlinkat};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The longest path that a socket address holds, without its NUL (unix(7)).
pub const MAX_PATH: usize = 107;
/// Temporary names that are tried.
const ATTEMPTS: u32 = 100;
/// Connections that wait to be accepted: they are accepted in order, so that a longer queue is a
/// longer wait for the last one.
const BACKLOG: i32 = 64;
const BIND: &str = "bind socket";

/// The name of the file at which a socket can be bound; an error if `path` is too long, or ends with
/// `/` or `..`.
pub fn file_name(path: &Path) -> Result<&OsStr, Error> {
    let bytes = path.as_os_str().as_bytes();
    let fail = |cause: Cause| Error::new(bytes, BIND, cause);
    if bytes.len() > MAX_PATH {
        let cause = format!("{} bytes: a socket path has at most {MAX_PATH}", bytes.len());
        return Err(fail(cause.into()));
    }
    let name = path.file_name().filter(|name| bytes.ends_with(name.as_bytes()));
    name.ok_or_else(|| fail("not a file name".into()))
}

/// A socket bound to a path. Dropping it removes the file.
#[derive(Debug)]
pub struct Bound {
    socket: OwnedFd,
    directory: OwnedFd,
    /// The current name of the file in `directory`.
    name: OsString,
    /// Device and inode of the file, which identify it.
    inode: (u64, u64),
}

impl Bound {
    /// Binds a non-blocking socket for datagrams to `path`, with the permission bits `mode`
    /// regardless of the umask. Datagrams have the credentials of their senders.
    ///
    /// The socket is bound to a temporary name in the same directory, and then renamed. It replaces
    /// a dead socket; a live one, or any other file, is an error. A symbolic link in the last
    /// component is not followed.
    pub fn for_datagrams(path: &Path, mode: u32) -> Result<Bound, Error> {
        // Before it is bound, since datagrams that are queued without credentials never get them.
        let prepare = |socket: BorrowedFd| pass_credentials(socket);
        Bound::new(path, SockType::Datagram, mode, prepare, |_| Ok(()))
    }

    /// Likewise, a socket of type SOCK_SEQPACKET that listens. Its group is `group`, if there is
    /// one. Unless `passes_rights`, clients cannot send file descriptors before that is allowed for
    /// their connection (since Linux 6.16).
    pub fn listening(
        path: &Path,
        mode: u32,
        group: Option<u32>,
        passes_rights: bool,
    ) -> Result<Bound, Error> {
        let prepare = |socket: BorrowedFd| {
            if !passes_rights {
                // ENOPROTOOPT before Linux 6.16.
                let _ = pass_rights(socket, false);
            }
            Ok(())
        };
        let finish = |bound: &Bound| {
            if let Some(group) = group {
                let (gid, flag) = (Gid::from_raw(group), AtFlags::AT_SYMLINK_NOFOLLOW);
                fchownat(&bound.directory, &*bound.name, None, Some(gid), flag)?;
            }
            // Before the file gets its name, so that no client is refused.
            listen(&bound.socket, Backlog::new(BACKLOG)?)
        };
        Bound::new(path, SockType::SeqPacket, mode, prepare, finish)
    }

    fn new(
        path: &Path,
        kind: SockType,
        mode: u32,
        prepare: impl FnOnce(BorrowedFd) -> Result<(), Errno>,
        finish: impl FnOnce(&Bound) -> Result<(), Errno>,
    ) -> Result<Bound, Error> {
        let name = file_name(path)?;
        let fail = |cause: Cause| Error::new(path.as_os_str().as_bytes(), BIND, cause);
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = openat(AT_FDCWD, parent.unwrap_or(Path::new(".")), flags, Mode::empty())
            .map_err(|e| fail(e.into()))?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket =
            socket(AddressFamily::Unix, kind, flags, None).map_err(|errno| fail(errno.into()))?;
        prepare(socket.as_fd()).map_err(|errno| fail(errno.into()))?;
        let mut bound = Bound::temporary(socket, directory, mode).map_err(|e| fail(e.into()))?;
        finish(&bound).map_err(|errno| fail(errno.into()))?;
        bound.publish(name).map_err(fail)?;
        Ok(bound)
    }

    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Binds a socket to a temporary name in `directory`.
    fn temporary(socket: OwnedFd, directory: OwnedFd, mode: u32) -> Result<Bound, Errno> {
        let mut attempts = 0..ATTEMPTS;
        loop {
            let name = aside(attempts.next().unwrap_or(ATTEMPTS));
            // Through /proc: the directory's path and the name may be too long for an address.
            let address = UnixAddr::new(&in_proc(&directory).join(&name))?;
            let before = umask(Mode::from_bits_truncate(!mode & 0o777));
            let bound = bind(socket.as_raw_fd(), &address);
            umask(before);
            match bound {
                Ok(()) => {
                    let stat = stat(&directory, &name).inspect_err(|_| {
                        // The bind(2) above created it.
                        let _ = unlinkat(&directory, &*name, UnlinkatFlags::NoRemoveDir);
                    })?;
                    let inode = (stat.st_dev, stat.st_ino);
                    return Ok(Bound { socket, directory, name, inode });
                }
                // Left by a process that was killed, or used by one in another PID namespace.
                Err(Errno::EADDRINUSE) if !attempts.is_empty() => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Renames the file to `name`, unless that is taken by anything but a dead socket.
    fn publish(&mut self, name: &OsStr) -> Result<(), Cause> {
        // Each round follows a change by a concurrent process.
        for _ in 0..16 {
            match self.rename(&self.name, name, RenameFlags::RENAME_NOREPLACE) {
                Ok(()) => {
                    self.name = name.into();
                    return Ok(());
                }
                Err(Errno::EEXIST) => {}
                Err(Errno::EINVAL) => {
                    return Err("this file system cannot rename without replacing".into());
                }
                Err(errno) => return Err(errno.into()),
            }
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let old = match openat(&self.directory, name, flags, Mode::empty()) {
                Err(Errno::ENOENT) => continue,
                old => old?,
            };
            let inode = expect_dead(&old)?;
            // An exchange removes nothing, so the replaced file can be checked again first.
            self.rename(&self.name, name, RenameFlags::RENAME_EXCHANGE)?;
            let temporary = std::mem::replace(&mut self.name, name.into());
            if stat(&self.directory, &temporary).is_ok_and(|s| (s.st_dev, s.st_ino) == inode) {
                unlinkat(&self.directory, &*temporary, UnlinkatFlags::NoRemoveDir)?;
                return Ok(());
            }
            self.rename(&temporary, name, RenameFlags::RENAME_EXCHANGE)?;
            self.name = temporary;
        }
        Err("other processes keep replacing it".into())
    }

    fn rename(&self, from: &OsStr, to: &OsStr, flags: RenameFlags) -> Result<(), Errno> {
        renameat2(&self.directory, from, &self.directory, to, flags)
    }

    /// Removes the file, unless another file has its name by now.
    pub fn remove_file(&self) {
        // If this fails, the file was replaced or removed, or so was its directory.
        let _ = self.remove();
    }

    /// Removes the file, unless another has taken its name.
    fn remove(&self) -> Result<(), Errno> {
        if !self.is_ours(&self.name)? {
            return Ok(());
        }
        // Renamed and checked again, so that another file that has taken the name is not removed.
        let set_aside = |n| {
            let aside = aside(n);
            self.rename(&self.name, &aside, RenameFlags::RENAME_NOREPLACE).map(|()| aside)
        };
        let taken = |result: &Result<OsString, Errno>| *result == Err(Errno::EEXIST);
        match (0..ATTEMPTS).map(set_aside).find(|r| !taken(r)).unwrap_or(Err(Errno::EEXIST)) {
            Ok(aside) if self.is_ours(&aside)? => self.unlink(&aside),
            Ok(aside) => self.rename(&aside, &self.name, RenameFlags::RENAME_NOREPLACE),
            // The file system cannot do that, or no name is free: rely on the first check.
            Err(_) => self.unlink(&self.name),
        }
    }

    fn is_ours(&self, name: &OsStr) -> Result<bool, Errno> {
        let stat = stat(&self.directory, name)?;
        Ok((stat.st_dev, stat.st_ino) == self.inode)
    }

    fn unlink(&self, name: &OsStr) -> Result<(), Errno> {
        unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.remove_file();
    }
}

/// A temporary name. A process that was killed may have left a file with this name.
fn aside(attempt: u32) -> OsString {
    format!(".bpf-exec.{}.{attempt}", std::process::id()).into()
}

fn stat(directory: &OwnedFd, name: &OsStr) -> Result<FileStat, Errno> {
    fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

fn in_proc(fd: &OwnedFd) -> std::path::PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

/// The device and inode of a dead socket, which no process has open; an error for anything else.
fn expect_dead(file: &OwnedFd) -> Result<(u64, u64), Cause> {
    let stat = fstat(file)?;
    let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
    if kind != SFlag::S_IFSOCK {
        return Err("exists, and is not a socket".into());
    }
    let probe = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    match connect(&probe, file) {
        Err(Errno::ECONNREFUSED) => Ok((stat.st_dev, stat.st_ino)),
        Err(errno @ Errno::EACCES) => Err(errno.into()),
        // EPERM, for one, shows that the socket is connected to another one.
        _ => Err("a live socket is bound there".into()),
    }
}
