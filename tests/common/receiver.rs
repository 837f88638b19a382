//! A receiver of datagrams with descriptors, which shares no code with the sender.

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// A bound socket as systemd passes it with `PassCredentials=yes`.
pub fn activated(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).expect("a socket");
    setsockopt(&socket, sockopt::PassCred, &true).expect("credentials");
    socket
}

/// A socket of the test's own, which does not block.
pub fn receiver(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).expect("a socket");
    socket.set_nonblocking(true).expect("a socket that does not block");
    socket
}

/// One message and its descriptors; None if no message is queued.
pub fn receive(socket: &UnixDatagram) -> Option<(Vec<u8>, Vec<OwnedFd>)> {
    let (mut bytes, mut control) = (vec![0; 1 << 16], cmsg_space!([RawFd; 253]));
    let mut parts = [IoSliceMut::new(&mut bytes)];
    // The crate that sends would receive fds that commands of other tests inherit.
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
        Ok(message) => message,
        Err(Errno::EAGAIN) => return None,
        Err(e) => panic!("{e}"),
    };
    let mut fds = Vec::new();
    for part in message.cmsgs().expect("not truncated") {
        let ControlMessageOwned::ScmRights(numbers) = part else { panic!("{part:?}") };
        // SAFETY: the kernel has just made them for us.
        fds.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
    }
    let length = message.bytes;
    bytes.truncate(length);
    Some((bytes, fds))
}
