//! Which users' sockets this process uses.

use nix::unistd::geteuid;

/// Whether this process may exchange objects with a socket of user `uid`: root may only with
/// root's, because every user can bind a socket in a directory such as /tmp. Other users may
/// with any.
pub fn is_trusted(uid: u32) -> bool {
    uid == 0 || !geteuid().is_root()
}
