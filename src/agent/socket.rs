//! A socket at which the agent is reached.

use crate::source::socket::Bound;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A socket that was bound here, whose file goes with it, or that was inherited.
#[derive(Debug)]
pub enum Socket {
    Bound(Bound),
    Inherited(OwnedFd),
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Bound(bound) => bound.socket(),
            Socket::Inherited(fd) => fd.as_fd(),
        }
    }
}
