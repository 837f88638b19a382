//! A sender of tc's wire format, byte by byte, which shares no code with the receiver.

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::unistd::{
    ForkResult, Gid, Pid, Uid, fork, pipe, read, setgroups, setresgid, setresuid, write,
};
use sendfd::SendWithFd;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// The declaration of one map: type, key size, value size, max entries, flags,
/// id, pinning, inner id, inner index.
pub type Entry = [u32; 9];

/// A datagram under construction, which is sent unchecked.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub version: u16,
    pub total: u16,
    pub object: String,
    pub st_dev: u64,
    pub st_ino: u64,
    pub entries: Vec<Entry>,
}

impl Datagram {
    /// As tc would make it: everything in one datagram.
    pub fn of(entries: Vec<Entry>) -> Datagram {
        let total = entries.len() as u16;
        Datagram { version: 1, total, object: "test.o".into(), st_dev: 7, st_ino: 8, entries }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.version.to_ne_bytes());
        bytes.extend(self.total.to_ne_bytes());
        let mut name = [0u8; 64];
        name[..self.object.len()].copy_from_slice(self.object.as_bytes());
        bytes.extend(name);
        bytes.extend([0; 4]);
        bytes.extend(self.st_dev.to_ne_bytes());
        bytes.extend(self.st_ino.to_ne_bytes());
        for entry in &self.entries {
            bytes.extend(entry.iter().flat_map(|word| word.to_ne_bytes()));
        }
        bytes
    }

    /// Sends it with `fds` to the socket at `path`.
    pub fn send(&self, path: &Path, fds: &[BorrowedFd]) {
        send(path, &self.bytes(), fds);
    }
}

/// Sends any bytes with any descriptors to the socket at `path`.
pub fn send(path: &Path, bytes: &[u8], fds: &[BorrowedFd]) {
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.connect(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let numbers: Vec<RawFd> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
    let sent = match numbers.is_empty() {
        true => socket.send(bytes),
        false => socket.send_with_fd(bytes, &numbers),
    };
    assert_eq!(sent.expect("sent"), bytes.len());
}

/// A separate process that sends its messages, one for each call of [`Sender::send`].
pub struct Sender {
    pub pid: Pid,
    requests: OwnedFd,
    results: OwnedFd,
}

/// A message as sendmsg(2) takes it, with descriptors.
struct Message {
    bytes: Vec<u8>,
    control: Vec<u64>,
    length: usize,
}

impl Message {
    fn new(bytes: Vec<u8>, fds: &[BorrowedFd]) -> Message {
        let size = size_of_val(fds) as u32;
        // SAFETY: these only compute.
        let (space, length) = unsafe { (libc::CMSG_SPACE(size), libc::CMSG_LEN(size)) };
        let mut control = vec![0u64; (space as usize).div_ceil(8)];
        // SAFETY: the buffer has room for a header and the descriptors.
        unsafe {
            let header = control.as_mut_ptr().cast::<libc::cmsghdr>();
            (*header).cmsg_len = length as _;
            ((*header).cmsg_level, (*header).cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
            let data = libc::CMSG_DATA(header).cast::<RawFd>();
            for (at, fd) in fds.iter().enumerate() {
                data.add(at).write_unaligned(fd.as_raw_fd());
            }
        }
        Message { bytes, control, length: length as usize }
    }

    /// Makes the system call only: it runs after fork(2).
    fn send(&mut self, socket: RawFd) -> nix::Result<()> {
        let (base, length) = (self.bytes.as_mut_ptr().cast(), self.bytes.len());
        let mut part = libc::iovec { iov_base: base, iov_len: length };
        // SAFETY: integers and pointers, for which zeroes are valid.
        let mut header: libc::msghdr = unsafe { zeroed() };
        (header.msg_iov, header.msg_iovlen) = (&raw mut part, 1);
        (header.msg_control, header.msg_controllen) =
            (self.control.as_mut_ptr().cast(), self.length as _);
        // SAFETY: header refers to live buffers.
        Errno::result(unsafe { libc::sendmsg(socket, &raw const header, 0) }).map(drop)
    }
}

impl Sender {
    /// Starts a process of this user, and of the group of the same number, that sends `messages`.
    pub fn new(uid: u32, path: &Path, messages: &[(Vec<u8>, &[BorrowedFd])]) -> Sender {
        let address = UnixAddr::new(path).expect("an address");
        let message = |(bytes, fds): &(Vec<u8>, &[BorrowedFd])| Message::new(bytes.clone(), fds);
        let mut messages: Vec<Message> = messages.iter().map(message).collect();
        let (kind, flags) = (SockType::Datagram, SockFlag::SOCK_CLOEXEC);
        let socket = socket(AddressFamily::Unix, kind, flags, None).expect("a socket");
        let (request_reader, requests) = pipe().expect("a pipe");
        let (results, result_writer) = pipe().expect("a pipe");
        // SAFETY: the child makes system calls only, with memory that was set aside before.
        match unsafe { fork() }.expect("a process") {
            ForkResult::Parent { child } => Sender { pid: child, requests, results },
            ForkResult::Child => {
                // SAFETY: no pointers. The child must not hold the test's ends of the pipes, so that
                // reads fail when the test ends.
                unsafe { (libc::close(requests.as_raw_fd()), libc::close(results.as_raw_fd())) };
                let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
                let mut send = || {
                    setgroups(&[])?;
                    setresgid(group, group, group)?;
                    setresuid(user, user, user)?;
                    connect(socket.as_raw_fd(), &address)?;
                    for message in &mut messages {
                        if read(&request_reader, &mut [0])? == 0 {
                            break;
                        }
                        let sent = message.send(socket.as_raw_fd());
                        write(&result_writer, &[sent.map_or_else(|errno| errno as u8, |()| 0)])?;
                    }
                    read(&request_reader, &mut [0])
                };
                let end = send();
                // SAFETY: ends the process, and runs nothing of the test.
                unsafe { libc::_exit(end.map_or_else(|errno| errno as i32, |_| 0)) }
            }
        }
    }

    /// Lets the process send the next message, and returns the result of sendmsg(2).
    pub fn send(&self) -> nix::Result<()> {
        write(&self.requests, &[1]).expect("a request");
        let mut errno = [0];
        assert_eq!(read(&self.results, &mut errno), Ok(1), "it has ended");
        if errno[0] == 0 { Ok(()) } else { Err(Errno::from_raw(errno[0].into())) }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(self.pid, nix::sys::signal::Signal::SIGKILL);
        let _ = nix::sys::wait::waitpid(self.pid, None);
    }
}
