//! The peer of a unix socket, as the kernel recorded it when it connected (unix(7)).

use crate::{Errno, Result};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// SO_PASSRIGHTS, since Linux 6.16.
const SO_PASSRIGHTS: libc::c_int = 83;
/// SO_PEERPIDFD, since Linux 6.5.
const SO_PEERPIDFD: libc::c_int = 77;
/// The most supplementary groups that a process can have (NGROUPS_MAX).
const MAX_GROUPS: usize = 65536;

/// The process, user and primary group of the peer (SO_PEERCRED), as numbers in the namespaces of
/// this process. A user without a mapping is the overflow user, 65534; a process without a number
/// is 0.
pub fn credentials(socket: BorrowedFd) -> Result<(u32, u32, u32)> {
    // SAFETY: integers, for which all zeroes is valid.
    let mut found: libc::ucred = unsafe { zeroed() };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: found is length bytes of integers.
    unsafe { option(socket, libc::SO_PEERCRED, (&raw mut found).cast(), &mut length)? };
    Ok((found.pid as u32, found.uid, found.gid))
}

/// The supplementary groups of the peer (SO_PEERGROUPS).
pub fn groups(socket: BorrowedFd) -> Result<Vec<u32>> {
    let mut groups = vec![0u32; 64];
    loop {
        let mut length = (groups.len() * size_of::<u32>()) as libc::socklen_t;
        // SAFETY: groups is length bytes of integers.
        let got =
            unsafe { option(socket, libc::SO_PEERGROUPS, groups.as_mut_ptr().cast(), &mut length) };
        let count = length as usize / size_of::<u32>();
        match got {
            Ok(()) => {
                groups.truncate(count);
                return Ok(groups);
            }
            // The kernel has written the length that is needed.
            Err(Errno::ERANGE) if count > groups.len() && count <= MAX_GROUPS => {
                groups.resize(count, 0);
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// A pidfd of the process that connected (SO_PEERPIDFD).
///
/// # Errors
/// ENOPROTOOPT before Linux 6.5.
pub fn pidfd(socket: BorrowedFd) -> Result<OwnedFd> {
    let mut fd: libc::c_int = -1;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: fd is an integer of length bytes.
    unsafe { option(socket, SO_PEERPIDFD, (&raw mut fd).cast(), &mut length)? };
    // SAFETY: the kernel has just made it for us, close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes the kernel attach the sender's credentials to every datagram (SO_PASSCRED).
pub fn pass_credentials(socket: BorrowedFd) -> Result<()> {
    set_option(socket, libc::SO_PASSCRED, true)
}

/// Sets whether a peer may attach file descriptors (SO_PASSRIGHTS). If not, sending them fails with
/// EPERM in the peer. A connection has the option that its listener had when the peer connected;
/// file descriptors that are queued already stay.
///
/// # Errors
/// ENOPROTOOPT before Linux 6.16.
pub fn pass_rights(socket: BorrowedFd, on: bool) -> Result<()> {
    set_option(socket, SO_PASSRIGHTS, on)
}

/// Whether a peer may attach file descriptors. Before Linux 6.16 every peer may.
pub fn passes_rights(socket: BorrowedFd) -> bool {
    let mut on: libc::c_int = 1;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: on is an integer of length bytes.
    let got = unsafe { option(socket, SO_PASSRIGHTS, (&raw mut on).cast(), &mut length) };
    got.is_err() || on != 0
}

/// setsockopt(2) at the socket level.
fn set_option(socket: BorrowedFd, name: libc::c_int, on: bool) -> Result<()> {
    let on = libc::c_int::from(on);
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    let (number, level) = (socket.as_raw_fd(), libc::SOL_SOCKET);
    // SAFETY: on is an integer of length bytes.
    let set = unsafe { libc::setsockopt(number, level, name, (&raw const on).cast(), length) };
    crate::check(set.into()).map(drop)
}

/// The number of bytes that were sent and that the peer has not read, including the kernel's
/// overhead (SIOCOUTQ); 0 if the peer has read everything.
pub fn unread(socket: BorrowedFd) -> Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one integer.
    let asked = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    crate::check(asked.into()).map(|_| bytes as usize)
}

/// getsockopt(2) at the socket level.
///
/// # Safety
/// `value` points to `length` bytes that the kernel may write.
unsafe fn option(
    socket: BorrowedFd,
    name: libc::c_int,
    value: *mut libc::c_void,
    length: &mut libc::socklen_t,
) -> Result<()> {
    // SAFETY: passed on to the caller.
    let got = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, value, &raw mut *length)
    };
    crate::check(got.into()).map(drop)
}
