//! Receiving descriptors over a unix socket (SCM_RIGHTS, unix(7)).

use super::{Errno, Result};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// SCM_MAX_FD: the kernel refuses to send more in one message.
pub const MAX_FDS: usize = 253;

/// One message, with the descriptors that came along.
#[derive(Debug)]
pub struct Received {
    /// Bytes in the buffer.
    pub length: usize,
    /// Owned from the first moment, and close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// The payload did not fit, and its rest is gone.
    pub payload_truncated: bool,
    /// Descriptors did not fit, in the buffer or under the limit on open files, and are gone.
    pub control_truncated: bool,
}

/// Receives one message into `payload`.
pub fn receive(socket: BorrowedFd, payload: &mut [u8]) -> Result<Received> {
    let mut iov = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
    // u64 so that the control messages' headers are aligned.
    // SAFETY: CMSG_SPACE only computes.
    let space = unsafe { libc::CMSG_SPACE((MAX_FDS * size_of::<i32>()) as u32) } as usize;
    let mut control = vec![0u64; space.div_ceil(size_of::<u64>())];
    // SAFETY: integers and pointers, for which all zeroes is valid.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = space as _;
    // SAFETY: message leads to one live buffer of payload and one of control data.
    let length = match unsafe {
        libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC)
    } {
        -1 => return Err(Errno::last()),
        length => length as usize,
    };
    Ok(Received {
        length,
        fds: take_fds(&message),
        payload_truncated: message.msg_flags & libc::MSG_TRUNC != 0,
        control_truncated: message.msg_flags & libc::MSG_CTRUNC != 0,
    })
}

/// Every descriptor in the control messages of `message`, which the kernel wrote.
fn take_fds(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    // SAFETY: msg_control and msg_controllen are as the kernel left them.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: null, or a header inside the control buffer.
    while let Some(&cmsg) = unsafe { header.as_ref() } {
        if (cmsg.cmsg_level, cmsg.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // The length has another width in musl.
            #[allow(clippy::unnecessary_cast)]
            // SAFETY: CMSG_LEN(0) is the size of the header alone.
            let bytes = cmsg.cmsg_len as usize - unsafe { libc::CMSG_LEN(0) } as usize;
            // SAFETY: header is inside the control buffer.
            let data = unsafe { libc::CMSG_DATA(header) }.cast::<i32>();
            for i in 0..bytes / size_of::<i32>() {
                // SAFETY: within the data of this message; the kernel has just made it for us.
                fds.push(unsafe { OwnedFd::from_raw_fd(data.add(i).read_unaligned()) });
            }
        }
        // SAFETY: header came from CMSG_FIRSTHDR or CMSG_NXTHDR on the same message.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    fds
}
