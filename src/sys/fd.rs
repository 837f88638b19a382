//! Descriptor numbers: what they are, and putting one where it should be.

use super::bpf::Access;
use super::{Errno, Result, errno};
use nix::fcntl::{F_GETFL, FcntlArg, FdFlag, OFlag, fcntl, readlink};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

/// What a descriptor leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Map,
    Prog,
    Link,
    /// Anything else, with an article: `a socket`.
    Other(&'static str),
}

impl Kind {
    /// With an article, for a sentence: `a BPF link`.
    pub fn describe(self) -> &'static str {
        match self {
            Kind::Map => "a BPF map",
            Kind::Prog => "a BPF program",
            Kind::Link => "a BPF link",
            Kind::Other(what) => what,
        }
    }

    /// Reads what `/proc/PID/fd/N` points to. The names are given by the kernel
    /// (`kernel/bpf/syscall.c`); the path of a file begins with a slash, so no
    /// file can pass for a map.
    pub fn of_link(target: &[u8]) -> Kind {
        match target {
            b"anon_inode:bpf-map" => Kind::Map,
            b"anon_inode:bpf-prog" => Kind::Prog,
            // One when it is made, the other when it is opened anew.
            b"anon_inode:bpf_link" | b"anon_inode:bpf-link" => Kind::Link,
            b"anon_inode:[perf_event]" => Kind::Other("a perf event"),
            b"anon_inode:btf" => Kind::Other("a BTF object"),
            b"anon_inode:bpf_iter" => Kind::Other("a BPF iterator"),
            _ if target.starts_with(b"socket:") => Kind::Other("a socket"),
            _ if target.starts_with(b"pipe:") => Kind::Other("a pipe"),
            _ if target.starts_with(b"/") => Kind::Other("a file"),
            _ => Kind::Other("something else"),
        }
    }
}

impl AsFd for Inherited {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: open since the start, and closed only when it is handed over or given up.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

/// What `fd` leads to, from the link in /proc: bpf(2) itself cannot be asked,
/// since it answers for a program as if it were a map.
pub fn kind(fd: BorrowedFd) -> Result<Kind> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(Kind::of_link(readlink(path.as_str())?.as_bytes()))
}

/// The access mode of a map's descriptor.
pub fn access(fd: BorrowedFd) -> Result<Access> {
    let flags = OFlag::from_bits_retain(fcntl(fd, F_GETFL)?);
    Ok(match flags & OFlag::O_ACCMODE {
        OFlag::O_RDONLY => Access::ReadOnly,
        OFlag::O_WRONLY => Access::WriteOnly,
        _ => Access::ReadWrite,
    })
}

/// A descriptor that this process was started with, and does not own: several
/// parts of the environment may name the same number.
#[derive(Debug)]
pub struct Inherited(RawFd);

impl Inherited {
    /// EBADF where `number` is closed, or is one that this process opened itself
    /// (those are close-on-exec, and none that was inherited is).
    pub fn new(number: RawFd) -> Result<Inherited> {
        if is_free(number) { Err(Errno::EBADF) } else { Ok(Inherited(number)) }
    }

    pub fn number(&self) -> RawFd {
        self.0
    }

    /// A descriptor of our own for the same thing, with the same access mode.
    pub fn duplicate(&self) -> Result<OwnedFd> {
        duplicate(self.0)
    }

    /// Closes the number, if it is still open: nothing else may use it any more.
    pub fn close(self) {
        if !is_free(self.0) {
            // SAFETY: it was open at the start, and no owner exists in this process.
            drop(unsafe { OwnedFd::from_raw_fd(self.0) });
        }
    }

    /// Puts `fd` in its place, for the command to inherit.
    pub fn replace(self, fd: OwnedFd) -> Result<()> {
        move_to(fd, self.0)
    }
}

/// The numbers of all open descriptors, rising, from /proc/self/fd.
pub fn open_numbers() -> Result<Vec<RawFd>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").map_err(errno)? {
        let name = entry.map_err(errno)?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A descriptor of our own, close-on-exec, for what `number` leads to; EBADF where it is closed.
pub fn duplicate(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes no pointer, and answers EBADF for a closed number.
    let fd = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
    if fd == -1 {
        return Err(Errno::last());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes ownership of an inherited descriptor, and makes it close-on-exec. EBADF
/// for one that was taken before: it no longer counts as inherited.
///
/// That nothing else in the process owns the number is what the environment
/// contract says: whoever sets the variables hands the descriptors over.
pub fn adopt(inherited: Inherited) -> Result<OwnedFd> {
    Inherited::new(inherited.0)?;
    // SAFETY: open, not close-on-exec as ours are, and not taken before.
    let fd = unsafe { OwnedFd::from_raw_fd(inherited.0) };
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(fd)
}

/// Whether `number` was closed when this process started: it is closed now, or
/// close-on-exec, as everything is that this process opens.
pub fn is_free(number: RawFd) -> bool {
    // SAFETY: F_GETFD takes no pointer, and answers EBADF for a closed number.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    flags == -1 || flags & libc::FD_CLOEXEC != 0
}

/// Makes `number` lead to what `fd` does, without close-on-exec, and closes `fd`.
/// What `number` led to before is closed.
pub fn move_to(fd: OwnedFd, number: RawFd) -> Result<()> {
    if fd.as_raw_fd() == number {
        fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
        let _ = fd.into_raw_fd(); // stays open for the command
        return Ok(());
    }
    // SAFETY: dup3 takes no pointers; that nothing owns `number` is up to the caller.
    match unsafe { libc::dup3(fd.as_raw_fd(), number, 0) } {
        -1 => Err(Errno::last()),
        _ => Ok(()),
    }
}

/// What /proc tells of a descriptor of this process: a line for each field.
pub fn info(fd: BorrowedFd) -> Result<String> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
    let text = std::fs::read_to_string(path);
    text.map_err(errno)
}

/// Takes ownership of a descriptor that this process was started with by LISTEN_FDS
/// (sd_listen_fds(3)). To be called once for each, before anything else is opened.
pub fn adopt_listed(number: RawFd) -> OwnedFd {
    // SAFETY: whoever set the variables handed the descriptors over; nothing else owns them.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Takes ownership of what accept4(2) has returned.
pub fn accepted(number: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made it for us.
    unsafe { OwnedFd::from_raw_fd(number) }
}
