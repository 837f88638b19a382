//! File descriptors that another user chose, handled by child processes.
//!
//! Whichever process drops the last reference to such a file may block for as long as that user
//! likes: a socket with SO_LINGER lingers in close(2), and a file of a FUSE server is flushed at
//! every close of a descriptor that was received. A process that exits does not linger, and a
//! file that was never received is not flushed. Therefore a process that serves others receives
//! and drops no such descriptor; its children do, and exit.

use crate::fd::FdType;
use crate::process::pidfd_open;
use crate::scm::{self, end_process_after};
use crate::{Errno, Result, check};
use std::io::Write;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// How long a child may take to receive a message.
const RECEIVE_TIME: libc::timeval = libc::timeval { tv_sec: 2, tv_usec: 0 };
/// Bytes of the longest link in /proc/self/fd that a child reports.
const MAX_LINK: usize = 64;
/// The first bytes of a child's messages.
const READY: u8 = 0;
const NO_FD: u8 = 1;
const ONE_FD: u8 = 2;
const SEVERAL_FDS: u8 = 3;
const NOT_SENT: u8 = 4;

/// A child process of [`hold`] or [`receive`].
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    /// Readable once the child has ended.
    pidfd: Option<OwnedFd>,
    socket: OwnedFd,
}

/// What a child has reported.
#[derive(Debug)]
pub enum Event {
    /// The child has closed all file descriptors that it was not started for.
    Ready,
    /// The child of [`receive`] has received the message.
    Received(Attached),
}

/// The file descriptors that were attached to a message.
#[derive(Debug)]
pub enum Attached {
    /// None at all.
    None,
    /// One, of a BPF map, program or link.
    Object(OwnedFd),
    /// One of another type, which the child has kept.
    Other(FdType),
    /// More than one.
    Several,
    /// One that the child could not pass on: fds in flight are limited (unix(7), ETOOMANYREFS).
    NotSent(Errno),
}

/// Starts a child that has copies of `fds` alone and exits when the [`Child`] is dropped.
///
/// After [`Event::Ready`], the caller closes its own copies and then drops the [`Child`].
pub fn hold(fds: &[BorrowedFd]) -> Result<Child> {
    let numbers = fds.iter().map(|fd| fd.as_raw_fd()).collect();
    start(numbers, |socket| {
        let mut byte = 0u8;
        loop {
            // SAFETY: one byte of a live buffer. 0 means that no process holds the peer socket.
            let got = unsafe { libc::read(socket, (&raw mut byte).cast(), 1) };
            if got != -1 || Errno::last() != Errno::EINTR {
                return;
            }
        }
    })
}

/// Starts a child that receives the next message of `connection`, discards its payload, and passes
/// on its file descriptor if that is a BPF object.
pub fn receive(connection: BorrowedFd) -> Result<Child> {
    let number = connection.as_raw_fd();
    start(vec![number], move |socket| {
        end_process_after(RECEIVE_TIME);
        receive_and_report(number, socket);
    })
}

/// Forks. The child closes all file descriptors but `keep`, reports that, runs `work` with the
/// number of its socket, and exits. `work` makes system calls only and allocates nothing.
fn start(mut keep: Vec<RawFd>, work: impl FnOnce(RawFd)) -> Result<Child> {
    let mut pair = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: room for two file descriptors.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) }.into())?;
    // SAFETY: the kernel has just made them for us.
    let [socket, theirs] = pair.map(|number| unsafe { OwnedFd::from_raw_fd(number) });
    keep.push(theirs.as_raw_fd());
    keep.sort_unstable();
    // SAFETY: the child makes system calls only, and ends with _exit.
    let pid = unsafe { libc::fork() };
    if pid == -1 {
        return Err(Errno::last());
    }
    if pid == 0 {
        let none: libc::c_ulong = 0;
        // SAFETY: no pointers.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, none, none, none) };
        close_all_but(&keep);
        send(theirs.as_raw_fd(), &[READY], None);
        work(theirs.as_raw_fd());
        // SAFETY: no pointers; nothing of the parent is run.
        unsafe { libc::_exit(0) }
    }
    // The child has not been reaped yet, so the number is its own. Without a pidfd its end is
    // noticed later.
    Ok(Child { pid, pidfd: pidfd_open(pid).ok(), socket })
}

/// Closes all file descriptors but those of `keep`, which is sorted.
fn close_all_but(keep: &[RawFd]) {
    let mut first = 0;
    for &number in keep {
        if number > first {
            close_range(first, number - 1);
        }
        first = number + 1;
    }
    close_range(first, RawFd::MAX);
}

fn close_range(first: RawFd, last: RawFd) {
    // SAFETY: no pointers. The child uses none of these file descriptors.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}

/// The work of the child of [`receive`].
fn receive_and_report(connection: RawFd, socket: RawFd) {
    // Room for two: a third one is never installed.
    let mut control = [0u64; 4];
    // SAFETY: integers and pointers, for which all zeroes is valid.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    // SAFETY: message refers to a live control buffer, and to no payload.
    if unsafe { libc::recvmsg(connection, &raw mut message, flags) } == -1 {
        return send(socket, &[NO_FD], None);
    }
    let mut received = [0; 2];
    let count = numbers(&message, &mut received);
    match count {
        _ if message.msg_flags & libc::MSG_CTRUNC != 0 => send(socket, &[SEVERAL_FDS], None),
        0 => send(socket, &[NO_FD], None),
        1 => report(received[0], socket),
        _ => send(socket, &[SEVERAL_FDS], None),
    }
}

/// Copies the numbers of the received file descriptors, and returns how many there are.
fn numbers(message: &libc::msghdr, received: &mut [RawFd; 2]) -> usize {
    // SAFETY: msg_control and msg_controllen are as the kernel left them.
    let header = unsafe { libc::CMSG_FIRSTHDR(message) };
    if header.is_null() {
        return 0;
    }
    // SAFETY: a header inside the control buffer.
    let cmsg = unsafe { header.read_unaligned() };
    if (cmsg.cmsg_level, cmsg.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
        return 0;
    }
    // The width of the length differs in musl.
    #[allow(clippy::unnecessary_cast)]
    // SAFETY: CMSG_LEN(0) is the size of the header alone.
    let bytes = cmsg.cmsg_len as usize - unsafe { libc::CMSG_LEN(0) } as usize;
    let count = bytes / size_of::<RawFd>();
    for (at, number) in received.iter_mut().enumerate().take(count) {
        // SAFETY: within the data of the message.
        *number = unsafe { libc::CMSG_DATA(header).cast::<RawFd>().add(at).read_unaligned() };
    }
    count
}

/// Reports the type of the file descriptor `number`, with the descriptor itself if it is a BPF
/// object.
fn report(number: RawFd, socket: RawFd) {
    let mut path = [0u8; 32];
    // Shorter than the buffer, whose last byte stays NUL.
    let _ = write!(&mut path[..31], "/proc/self/fd/{number}");
    let mut text = [ONE_FD; 1 + MAX_LINK];
    // SAFETY: a string with a NUL, and a buffer of this length.
    let length =
        unsafe { libc::readlink(path.as_ptr().cast(), text[1..].as_mut_ptr().cast(), MAX_LINK) };
    let text = &text[..1 + length.max(0) as usize];
    match FdType::of_link(&text[1..]) {
        FdType::Object(_) => send(socket, text, Some(number)),
        FdType::Other(_) => send(socket, text, None),
    }
}

/// Sends a message of the child, or the error if its file descriptor cannot be sent.
fn send(socket: RawFd, payload: &[u8], fd: Option<RawFd>) {
    // SAFETY: the numbers are open until the child exits.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    // SAFETY: as above.
    let fd = fd.map(|number| unsafe { BorrowedFd::borrow_raw(number) });
    if let Err(errno) = scm::send_one(socket, payload, fd) {
        let [a, b, c, d] = (errno as i32).to_ne_bytes();
        // Nothing is left to be done if this fails too: the child exits.
        let _ = scm::send_one(socket, &[NOT_SENT, a, b, c, d], None);
    }
}

impl Child {
    /// The next event, if the child has reported one.
    pub fn event(&self) -> Option<Event> {
        let mut payload = [0; 1 + MAX_LINK];
        let mut received = scm::receive(self.socket.as_fd(), &mut payload).ok()?;
        let text = &payload[..received.length];
        Some(match (*text.first()?, received.fds.pop()) {
            (READY, _) => Event::Ready,
            (ONE_FD, Some(fd)) => Event::Received(Attached::Object(fd)),
            (ONE_FD, None) => match FdType::of_link(&text[1..]) {
                // This process has too many open files.
                FdType::Object(_) => Event::Received(Attached::NotSent(Errno::EMFILE)),
                other => Event::Received(Attached::Other(other)),
            },
            (SEVERAL_FDS, _) => Event::Received(Attached::Several),
            (NOT_SENT, _) => {
                let number = text.get(1..5).and_then(|bytes| bytes.try_into().ok());
                let errno =
                    number.map_or(Errno::UnknownErrno, |n| Errno::from_raw(i32::from_ne_bytes(n)));
                Event::Received(Attached::NotSent(errno))
            }
            _ => Event::Received(Attached::None),
        })
    }

    /// Reaps the child if it has ended; whether it has.
    pub fn has_ended(&self) -> bool {
        // SAFETY: no status is asked for. ECHILD if SIGCHLD is ignored and the child has ended.
        let ended = unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), libc::WNOHANG) };
        ended == self.pid || ended == -1 && Errno::last() == Errno::ECHILD
    }

    /// File descriptors that are readable when there is an event, and when the child has ended.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.socket.as_fd()).chain(self.pidfd.as_ref().map(AsFd::as_fd))
    }

    /// Lets a child of [`hold`] exit. The child must still be reaped.
    pub fn release(&self) {
        // SAFETY: no pointers. The socket stays open.
        unsafe { libc::shutdown(self.socket.as_raw_fd(), libc::SHUT_RDWR) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fd::FdType;
    use nix::poll::{PollFd, PollFlags, poll};

    fn pair() -> (OwnedFd, OwnedFd) {
        let mut pair = [0; 2];
        // SAFETY: room for two file descriptors.
        let made = unsafe { libc::socketpair(1, libc::SOCK_SEQPACKET, 0, pair.as_mut_ptr()) };
        assert_eq!(made, 0);
        // SAFETY: the kernel has just made them for us.
        pair.map(|number| unsafe { OwnedFd::from_raw_fd(number) }).into()
    }

    fn next(child: &Child) -> Event {
        loop {
            if let Some(event) = child.event() {
                return event;
            }
            let mut fds = [PollFd::new(child.socket.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut fds, 10_000u16), Ok(1));
        }
    }

    fn wait(child: &Child) {
        let pidfd = child.pidfd.as_ref().expect("a pidfd");
        let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, 10_000u16), Ok(1));
        assert!(child.has_ended());
    }

    #[test]
    fn attached_fds_are_counted_and_identified() {
        let (ours, theirs) = pair();
        for count in [0, 1, 2, 3, 253] {
            let fds = vec![ours.as_fd(); count];
            scm::send(ours.as_fd(), b"payload", &fds).unwrap();
            let child = receive(theirs.as_fd()).unwrap();
            assert!(matches!(next(&child), Event::Ready));
            let attached = next(&child);
            let Event::Received(attached) = attached else { panic!("{attached:?}") };
            match (count, attached) {
                (0, Attached::None) | (2.., Attached::Several) => {}
                (1, Attached::Other(FdType::Other("a socket"))) => {}
                (_, attached) => panic!("{count}: {attached:?}"),
            }
            wait(&child);
        }
    }

    #[test]
    fn held_fds_stay_open_until_they_are_released() {
        let (end, held) = pair();
        let child = hold(&[held.as_fd()]).unwrap();
        assert!(matches!(next(&child), Event::Ready));
        drop(held);
        let mut fds = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, 0u8), Ok(0));
        assert!(!child.has_ended());
        child.release();
        wait(&child);
        let mut fds = [PollFd::new(end.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, 0u8), Ok(1));
    }
}
