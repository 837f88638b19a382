//! File descriptors: what they refer to, and how they may be used.

use crate::{AccessMode, Errno, NO_PROC, ObjectKind, Result, errno};
use nix::fcntl::{F_GETFL, OFlag, fcntl, readlink};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;

/// What a file descriptor refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FdType {
    /// An object of bpf(2).
    Object(ObjectKind),
    /// Another file, named with an article: `a socket`.
    Other(&'static str),
}

impl FdType {
    /// With an article, for a sentence: `a BPF link`.
    pub fn with_article(self) -> &'static str {
        match self {
            FdType::Object(kind) => kind.with_article(),
            FdType::Other(what) => what,
        }
    }

    /// Determines the type from the target of the link `/proc/PID/fd/N`. The kernel chooses the
    /// names (`kernel/bpf/syscall.c`). No file can be mistaken for a map, because the path of a
    /// file begins with a slash.
    pub fn of_link(target: &[u8]) -> FdType {
        match target {
            b"anon_inode:bpf-map" => FdType::Object(ObjectKind::Map),
            b"anon_inode:bpf-prog" => FdType::Object(ObjectKind::Program),
            // The first name if this fd was returned by BPF_LINK_CREATE, the second if the link was
            // opened.
            b"anon_inode:bpf_link" | b"anon_inode:bpf-link" => FdType::Object(ObjectKind::Link),
            b"anon_inode:[perf_event]" => FdType::Other("a perf event"),
            b"anon_inode:btf" => FdType::Other("a BTF object"),
            b"anon_inode:bpf_iter" => FdType::Other("a BPF iterator"),
            _ if target.starts_with(b"socket:") => FdType::Other("a socket"),
            _ if target.starts_with(b"pipe:") => FdType::Other("a pipe"),
            _ if target.starts_with(b"/") => FdType::Other("a file"),
            _ => FdType::Other("something else"),
        }
    }
}

/// The type of `fd`, from the link in /proc. bpf(2) cannot be used, because it describes a program
/// as if it were a map.
///
/// # Errors
/// [`NO_PROC`], and those of readlink(2).
pub fn fd_type(fd: BorrowedFd) -> Result<FdType> {
    Ok(FdType::of_link(&read_link(&link_path(fd))?))
}

/// The path `/proc/self/fd/N` of an open file descriptor.
///
/// # Errors
/// [`NO_PROC`], and those of readlink(2).
pub fn proc_path(fd: BorrowedFd) -> Result<String> {
    let path = link_path(fd);
    read_link(&path).map(|_| path)
}

fn link_path(fd: BorrowedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn read_link(path: &str) -> Result<Vec<u8>> {
    readlink(path).map(OsStringExt::into_vec).map_err(without_proc)
}

/// The error of a file below /proc/self that exists if /proc/self does.
pub(crate) fn without_proc(errno: Errno) -> Errno {
    if errno == Errno::ENOENT { NO_PROC } else { errno }
}

/// The access mode of a map's file descriptor.
pub fn access_mode(fd: BorrowedFd) -> Result<AccessMode> {
    let flags = OFlag::from_bits_retain(fcntl(fd, F_GETFL)?);
    Ok(match flags & OFlag::O_ACCMODE {
        OFlag::O_RDONLY => AccessMode::ReadOnly,
        OFlag::O_WRONLY => AccessMode::WriteOnly,
        _ => AccessMode::ReadWrite,
    })
}

/// Duplicates the file descriptor `number`, close-on-exec; EBADF if it is closed.
pub(crate) fn duplicate(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes no pointer, and returns EBADF for a closed number.
    let fd = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
    if fd == -1 {
        return Err(Errno::last());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether `number` is closed.
pub fn is_closed(number: RawFd) -> bool {
    // SAFETY: F_GETFD takes no pointer, and returns EBADF for a closed number.
    (unsafe { libc::fcntl(number, libc::F_GETFD) }) == -1
}

/// Whether `number` was closed when this process started: it is closed, or close-on-exec, as all
/// file descriptors are that this process opens.
pub fn is_free(number: RawFd) -> bool {
    // SAFETY: F_GETFD takes no pointer, and returns EBADF for a closed number.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    flags == -1 || flags & libc::FD_CLOEXEC != 0
}

/// Reads /proc/self/fdinfo of a file descriptor: one line per field.
///
/// # Errors
/// [`NO_PROC`], and those of reading the file.
pub fn info(fd: BorrowedFd) -> Result<String> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
    let text = std::fs::read_to_string(path);
    text.map_err(|error| without_proc(errno(error)))
}

/// Accepts a connection on a listening socket (accept4(2)). The connection is close-on-exec and
/// non-blocking.
///
/// # Errors
/// EAGAIN if no connection is pending on a non-blocking socket.
pub fn accept(listener: BorrowedFd) -> Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers: the address is not requested.
    let accepted = unsafe {
        libc::accept4(listener.as_raw_fd(), std::ptr::null_mut(), std::ptr::null_mut(), flags)
    };
    let number = crate::check(accepted.into())?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number as RawFd) })
}
