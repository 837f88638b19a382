//! File descriptors in messages over unix sockets (SCM_RIGHTS, unix(7)).

use crate::{Errno, Result};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// SCM_MAX_FD: the kernel refuses to send more file descriptors in one message.
pub const MAX_FDS: usize = 253;

/// SCM_PIDFD of `include/linux/socket.h`, since Linux 6.5.
const SCM_PIDFD: libc::c_int = 4;
/// How long the kernel may take to close the descriptors of a discarded message.
const DISCARD_TIME: libc::timeval = libc::timeval { tv_sec: 0, tv_usec: 20_000 };

/// One message, with the file descriptors that were attached to it.
#[derive(Debug)]
pub struct Received {
    /// Bytes in the buffer.
    pub length: usize,
    /// The attached file descriptors, close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// Whether the payload was truncated, because it did not fit.
    pub payload_truncated: bool,
    /// Whether file descriptors were discarded, because of the buffer or the limit on open files.
    pub control_truncated: bool,
    /// The process, user and group of the sender, if the socket has SO_PASSCRED.
    pub credentials: Option<(u32, u32, u32)>,
}

/// Receives one message into `payload`, with up to [`MAX_FDS`] file descriptors, and with the
/// sender's credentials if the socket has SO_PASSCRED.
///
/// # Errors
/// EAGAIN if no message is queued, even if the socket is blocking, as an inherited socket may be.
pub fn receive(socket: BorrowedFd, payload: &mut [u8]) -> Result<Received> {
    receive_into(socket, payload, credentials() + rights(MAX_FDS), libc::MSG_DONTWAIT)
}

/// The credentials of the next message, which stays queued. Its file descriptors are not
/// installed in this process; if it has any, `control_truncated` is set. EAGAIN as for [`receive`].
pub fn peek(socket: BorrowedFd) -> Result<Received> {
    receive_into(socket, &mut [], credentials(), libc::MSG_PEEK | libc::MSG_DONTWAIT)
}

/// Copies the payload of the next message, which stays queued. Without SO_PASSCRED,
/// `control_truncated` is set exactly if file descriptors are attached; with SO_PASSCRED it is set
/// for every message, and not at the end of the connection. EAGAIN as for [`receive`].
pub fn peek_payload(socket: BorrowedFd, payload: &mut [u8]) -> Result<Received> {
    receive_into(socket, payload, 0, libc::MSG_PEEK | libc::MSG_DONTWAIT)
}

/// Discards the next message. EAGAIN as for [`receive`].
pub fn discard(socket: BorrowedFd) -> Result<()> {
    receive_into(socket, &mut [], 0, libc::MSG_DONTWAIT).map(drop)
}

/// Discards the next message, if any, which may have file descriptors that another user chose.
///
/// The process that discards a message closes the files in it. A FUSE file is not flushed, since it
/// was not installed. But closing a socket with SO_LINGER, or one in the queue of another socket,
/// blocks until a signal arrives. Therefore a child process discards the message, or this process
/// if fork(2) fails.
pub fn discard_hostile(socket: BorrowedFd) -> Result<()> {
    // SAFETY: the child only makes system calls, and exits with _exit.
    let child = unsafe { libc::fork() };
    match child {
        -1 => discard(socket),
        0 => {
            end_process_after(DISCARD_TIME);
            let dropped = discard(socket);
            // SAFETY: no pointers; nothing of the parent is run.
            unsafe { libc::_exit(dropped.is_err().into()) }
        }
        // ECHILD once it has ended, if SIGCHLD is ignored. Otherwise EINTR is the only error.
        _ => loop {
            // SAFETY: no status is asked for.
            let ended = unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            if ended == child || Errno::last() != Errno::EINTR {
                return Ok(());
            }
        },
    }
}

/// Arms a timer that ends this process with SIGALRM.
pub(crate) fn end_process_after(time: libc::timeval) {
    let timer =
        libc::itimerval { it_value: time, it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 } };
    // SAFETY: a valid signal, a set that is initialized before it is read, and a live timer.
    unsafe {
        let mut alarm: libc::sigset_t = zeroed();
        libc::sigemptyset(&raw mut alarm);
        libc::sigaddset(&raw mut alarm, libc::SIGALRM);
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const alarm, std::ptr::null_mut());
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut());
    }
}

/// Receives one message with at most `room` file descriptors. The kernel discards the others, which
/// are never installed in this process.
pub fn receive_at_most(socket: BorrowedFd, payload: &mut [u8], room: usize) -> Result<Received> {
    receive_into(socket, payload, if room == 0 { 0 } else { rights(room) }, 0)
}

/// Bytes of a control message with the sender's credentials.
fn credentials() -> usize {
    // SAFETY: CMSG_SPACE only computes.
    unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) as usize }
}

/// Bytes of a control message with `count` file descriptors. There is no padding after them, which
/// would have room for another one.
fn rights(count: usize) -> usize {
    // SAFETY: CMSG_LEN only computes.
    unsafe { libc::CMSG_LEN((count * size_of::<i32>()) as u32) as usize }
}

fn receive_into(
    socket: BorrowedFd,
    payload: &mut [u8],
    space: usize,
    flags: libc::c_int,
) -> Result<Received> {
    let mut iov = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
    // An array of u64, so that the headers of the control messages are aligned.
    let mut control = vec![0u64; space.div_ceil(size_of::<u64>())];
    // SAFETY: integers and pointers, for which all zeroes is valid.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = space as _;
    // SAFETY: message refers to one live buffer of payload and one of control data.
    let length = match unsafe {
        libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC | flags)
    } {
        -1 => return Err(Errno::last()),
        length => length as usize,
    };
    let (fds, credentials) = take(&message);
    Ok(Received {
        length,
        fds,
        payload_truncated: message.msg_flags & libc::MSG_TRUNC != 0,
        control_truncated: message.msg_flags & libc::MSG_CTRUNC != 0,
        credentials,
    })
}

/// The file descriptors, and the sender's credentials, in the control messages of `message`, which
/// the kernel wrote.
fn take(message: &libc::msghdr) -> (Vec<OwnedFd>, Option<(u32, u32, u32)>) {
    let (mut fds, mut credentials) = (Vec::new(), None);
    // SAFETY: msg_control and msg_controllen are as the kernel left them.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: a header inside the control buffer.
        let cmsg = unsafe { header.read_unaligned() };
        if (cmsg.cmsg_level, cmsg.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // The width of the length differs in musl.
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
        if (cmsg.cmsg_level, cmsg.cmsg_type) == (libc::SOL_SOCKET, SCM_PIDFD) {
            // An inherited socket may have SO_PASSPIDFD. The pidfd is not used.
            // SAFETY: the kernel writes one descriptor, which it has just made for us.
            let fd = unsafe { libc::CMSG_DATA(header).cast::<i32>().read_unaligned() };
            if fd >= 0 {
                // SAFETY: as above.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
        if (cmsg.cmsg_level, cmsg.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) {
            // SAFETY: the kernel writes a whole ucred, which is integers.
            let sender = unsafe { libc::CMSG_DATA(header).cast::<libc::ucred>().read_unaligned() };
            credentials = Some((sender.pid as u32, sender.uid, sender.gid));
        }
        // SAFETY: header came from CMSG_FIRSTHDR or CMSG_NXTHDR on the same message.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    (fds, credentials)
}

/// Sends one message with at most one file descriptor, and allocates nothing.
pub(crate) fn send_one(socket: BorrowedFd, payload: &[u8], fd: Option<BorrowedFd>) -> Result<()> {
    // Room for a header and one number, in words so that the header is aligned.
    send_with(socket, payload, fd.as_slice(), &mut [0; 4])
}

/// Sends one message with these file descriptors, at most [`MAX_FDS`].
///
/// # Errors
/// EAGAIN if the socket is non-blocking and its queue is full; EPIPE, without SIGPIPE, if the peer
/// has closed the connection.
pub fn send(socket: BorrowedFd, payload: &[u8], fds: &[BorrowedFd]) -> Result<()> {
    // SAFETY: CMSG_SPACE only computes.
    let space = unsafe { libc::CMSG_SPACE((size_of_val(fds)) as u32) } as usize;
    // u64 so that the control message's header is aligned.
    send_with(socket, payload, fds, &mut vec![0u64; space.div_ceil(size_of::<u64>())])
}

/// [`send`], with a control buffer of at least the size that the file descriptors need.
fn send_with(
    socket: BorrowedFd,
    payload: &[u8],
    fds: &[BorrowedFd],
    control: &mut [u64],
) -> Result<()> {
    let mut iov =
        libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() };
    let length = rights(fds.len());
    // SAFETY: CMSG_SPACE only computes.
    let space = unsafe { libc::CMSG_SPACE((size_of_val(fds)) as u32) } as usize;
    assert!(space <= size_of_val(control));
    // SAFETY: integers and pointers, for which all zeroes is valid.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = space as _;
        // SAFETY: the control buffer has room for one header and the descriptors. No reference to
        // the header is made, because the data that follow it are written.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = length as _;
            let data = libc::CMSG_DATA(header).cast::<i32>();
            for (i, fd) in fds.iter().enumerate() {
                data.add(i).write_unaligned(fd.as_raw_fd());
            }
        }
    }
    loop {
        // SAFETY: message refers to live buffers, which the kernel only reads.
        match unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) } {
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Err(Errno::last()),
            // Datagrams and packets are sent whole.
            _ => return Ok(()),
        }
    }
}
