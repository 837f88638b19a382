//! A unix socket that peers connect or send to: bound by this process, or inherited.

use super::bound::Bound;
use crate::error::Cause;
use bpf_inherit::peer::pass_credentials;
use bpf_inherit::{Errno, Startup};
use nix::poll::PollTimeout;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::{SockType, UnixAddr, getsockname, getsockopt, sockopt};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

/// A socket that this process bound, and whose file it removes, or that it inherited.
#[derive(Debug)]
pub enum Endpoint {
    Bound(Bound),
    Inherited(OwnedFd),
}

impl Endpoint {
    /// Whether no datagram can arrive any more, after shutdown(2) by any process that has the
    /// socket. poll(2) then reports input forever, but recvmsg(2) finds none.
    pub fn is_shut_down(&self) -> Result<bool, Errno> {
        // nix's poll(2) has no POLLRDHUP.
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(self, EpollEvent::new(EpollFlags::EPOLLRDHUP, 0))?;
        let mut events = [EpollEvent::empty()];
        epoll.wait(&mut events, PollTimeout::ZERO)?;
        Ok(events[0].events().contains(EpollFlags::EPOLLRDHUP))
    }
}

impl AsFd for Endpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Endpoint::Bound(bound) => bound.socket(),
            Endpoint::Inherited(fd) => fd.as_fd(),
        }
    }
}

/// Takes ownership of the inherited socket `number`, so that the command does not inherit it, and
/// sets it to pass credentials. Its file and its flags, which are shared with the process that
/// bound it, are unchanged. Also returns whether it passed credentials before.
pub fn inherit(startup: &Startup, number: RawFd) -> Result<(OwnedFd, bool), Cause> {
    let inherited = startup.fd(number).map_err(|_| "not open, or used by another --import")?;
    let address = getsockname::<UnixAddr>(number).map_err(|errno| match errno {
        Errno::ENOTSOCK => "not a socket".into(),
        Errno::EINVAL => "not a unix socket".into(),
        errno => Cause::from(errno),
    })?;
    if getsockopt(&inherited, sockopt::SockType)? != SockType::Datagram {
        return Err("not a datagram socket".into());
    }
    if address.is_unnamed() {
        return Err("not bound".into());
    }
    let passed = getsockopt(&inherited, sockopt::PassCred)?;
    let socket = startup.take(inherited)?;
    pass_credentials(socket.as_fd())?;
    Ok((socket, passed))
}
