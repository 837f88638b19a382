//! A unix socket that peers connect or send to: bound here, or inherited.

use super::socket::Bound;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A socket that this process bound, whose file is removed with it, or that it inherited.
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
