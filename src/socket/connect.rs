//! Connecting to a unix socket by its file, and whose sockets this process uses.

use bpf_inherit::{Errno, fd};
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// Opens the file of a socket, in order to check it and to connect to it.
pub fn open_file(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
}

/// Connects `socket` to the socket that was bound to `file`.
///
/// The address is a path in /proc. So the checked file is the one that is connected to, even if its
/// path has been replaced, and the path may be longer than the 107 bytes of an address.
pub fn connect(socket: impl AsFd, file: &OwnedFd) -> Result<(), Errno> {
    let address = UnixAddr::new(fd::proc_path(file.as_fd())?.as_str())?;
    socket::connect(socket.as_fd().as_raw_fd(), &address)
}

/// A new socket that is connected to the one bound to `file`.
pub fn connect_new(file: &OwnedFd, kind: SockType, flags: SockFlag) -> Result<OwnedFd, Errno> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    let socket = socket::socket(AddressFamily::Unix, kind, flags, None)?;
    connect(&socket, file)?;
    Ok(socket)
}

/// Whether this process may exchange objects with a socket of user `uid`: root only with root's,
/// because any user can bind a socket in a directory such as /tmp. Other users with any.
pub fn is_trusted(uid: u32) -> bool {
    uid == 0 || !geteuid().is_root()
}
