//! A running `bpf-agent`, and a client of it that builds its packets byte by byte: it shares no
//! code with the agent.

use super::{
    HANG, Lab, Run, child::Start, eventually, fds::what_is, holds_within_a_minute,
    open_fds::OpenFds,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::Pid;
use sendfd::SendWithFd;
use std::io::{BufRead, BufReader};
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// The protocol's version.
pub const VERSION: u8 = 2;
/// Operations.
pub const LIST: u8 = 1;
pub const GET: u8 = 2;
pub const PUT: u8 = 3;
pub const REMOVE: u8 = 4;
pub const INFO: u8 = 5;
pub const WAIT: u8 = 6;
/// Flag of LIST.
pub const LAYOUTS: u16 = 1;
/// Flags of GET and PUT.
pub const READ: u16 = 1;
pub const WRITE: u16 = 2;
pub const REPLACE: u16 = 4;
/// Flag of WAIT.
pub const CHANGE: u16 = 8;

/// An agent that runs. Dropped, it is killed.
pub struct Agent {
    child: Child,
    lines: Receiver<String>,
    /// What it has logged and was looked at.
    pub log: Vec<String>,
}

impl Agent {
    /// Starts an agent, and waits until it serves.
    #[track_caller]
    pub fn start(command: &mut Command) -> Agent {
        let mut agent = Agent::spawn(command);
        agent.line("serves on");
        agent
    }

    /// Starts an agent, with no descriptor but the standard streams.
    pub fn spawn(command: &mut Command) -> Agent {
        Agent::spawn_with(&Start::default(), command)
    }

    pub fn spawn_with(start: &Start, command: &mut Command) -> Agent {
        start.apply(command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("started");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line); // the test may have ended
            }
        });
        Agent { child, lines, log: Vec::new() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of the log that holds `text`, and returns it.
    #[track_caller]
    pub fn line(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(HANG) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(_) => panic!("no line with {text:?} in {:#?}", self.log),
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("a process");
    }

    /// Waits for the end of the agent; `stderr` has the lines that were not read from the log yet.
    #[track_caller]
    pub fn wait(mut self) -> Run {
        use std::os::unix::process::ExitStatusExt;
        let status = self.child.wait().expect("an end");
        let status = status.code().or(status.signal().map(|signal| 128 + signal));
        // The thread ends with the pipe.
        let lines: Vec<String> = self.lines.iter().map(|line| line + "\n").collect();
        let (stdout, stderr) = (String::new(), lines.concat());
        Run { status: status.expect("an end"), stdout, stderr }
    }

    /// Ends it as an operator does.
    pub fn stop(self) -> Run {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(self) -> Run {
        self.signal(Signal::SIGKILL);
        self.wait()
    }

    pub fn fds(&self) -> OpenFds {
        OpenFds::of(self.pid())
    }

    /// Waits until `more` fds are open than in `before`.
    #[track_caller]
    pub fn await_fds(&self, more: isize, before: &OpenFds) {
        if !holds_within_a_minute(|| self.fds().difference(before) == more) {
            self.fds().assert_more(more, before);
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// A connection to an agent.
pub struct Client {
    socket: OwnedFd,
}

/// One packet that an agent sent.
#[derive(Debug)]
pub struct Packet {
    pub bytes: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

/// What a record says, in the order of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub class: u8,
    pub access: u8,
    pub bound: u8,
    pub state: u8,
    pub id: u32,
    pub pin_id: u32,
    pub kind: u32,
    pub details: [u32; 4],
    pub uid: u32,
    pub gid: u32,
    pub pid: u32,
    pub time: u64,
    pub name: String,
    pub layout: String,
}

/// A whole answer.
#[derive(Debug, Default)]
pub struct Answer {
    pub status: u8,
    /// The reason, if the status is not 0.
    pub reason: String,
    pub records: Vec<Record>,
    pub fds: Vec<OwnedFd>,
    pub packets: usize,
}

/// An agent without a state directory, and the path of its socket.
pub fn serve(lab: &Lab) -> (Agent, PathBuf) {
    (Agent::start(&mut lab.agent(["--socket", "agent"])), lab.path("agent"))
}

/// The records of an answer, which must be no refusal.
#[track_caller]
pub fn done(answer: Answer) -> Vec<Record> {
    assert_eq!((answer.status, answer.reason.as_str()), (0, ""));
    answer.records
}

/// The status and the reason of a refusal, which has no records.
#[track_caller]
pub fn refusal(answer: Answer) -> (u8, String) {
    assert_eq!(answer.records, [], "{answer:?}");
    (answer.status, answer.reason)
}

pub fn names(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.name.as_str()).collect()
}

/// A string as a packet contains it.
pub fn string(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [&(text.len() as u32).to_ne_bytes(), text].concat()
}

/// Several.
pub fn strings<S: AsRef<[u8]>>(texts: &[S]) -> Vec<u8> {
    texts.iter().flat_map(string).collect()
}

/// A request's packet.
pub fn packet(operation: u8, flags: u16, number: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![VERSION, operation];
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.extend(body);
    bytes
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<OwnedFd> for Client {
    fn from(socket: OwnedFd) -> Client {
        Client { socket }
    }
}

impl Client {
    #[track_caller]
    pub fn connect(path: &Path) -> Client {
        Client::try_connect(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    pub fn try_connect(path: &Path) -> nix::Result<Client> {
        let socket =
            socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        Ok(Client::of(socket))
    }

    /// A socket that is connected already. A test that waits for a packet in vain fails, and
    /// does not hang.
    pub fn of(socket: OwnedFd) -> Client {
        let timeout = TimeVal::seconds(HANG.as_secs() as i64);
        setsockopt(&socket, sockopt::ReceiveTimeout, &timeout).expect("a socket");
        Client { socket }
    }

    pub fn into_socket(self) -> OwnedFd {
        self.socket
    }

    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Whether there is something to be received at this moment, if only the end.
    pub fn is_answered(&self) -> bool {
        let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut ready, PollTimeout::ZERO).expect("polled") > 0
    }

    /// Waits until the agent has received everything that was sent.
    #[track_caller]
    pub fn await_received(&self) {
        eventually("the start of the request", || {
            let mut bytes = 0i32;
            // SAFETY: SIOCOUTQ writes an integer.
            let done = unsafe { libc::ioctl(self.fd(), libc::TIOCOUTQ, &raw mut bytes) };
            assert_eq!(done, 0);
            bytes == 0
        });
    }

    /// Sends any bytes with any descriptors.
    pub fn send(&self, bytes: &[u8], fds: &[BorrowedFd]) -> std::io::Result<usize> {
        let numbers: Vec<RawFd> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
        // The crate sends over datagram sockets, and packets are sent the same way.
        let socket = UnixDatagram::from(self.socket.try_clone()?);
        if numbers.is_empty() { socket.send(bytes) } else { socket.send_with_fd(bytes, &numbers) }
    }

    /// Receives one packet; an empty one at the end of the connection.
    pub fn receive(&self) -> std::io::Result<Packet> {
        let mut bytes = vec![0; 131072];
        let mut control = [0u64; 160];
        let mut iov = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        // SAFETY: integers and pointers, for which zeroes are valid.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = &raw mut iov;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        // A time limit on the socket makes a call that is interrupted fail (signal(7)).
        let length = loop {
            // SAFETY: message refers to live buffers.
            let length =
                unsafe { libc::recvmsg(self.fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
            if length >= 0 || Errno::last() != Errno::EINTR {
                break length;
            }
        };
        if length < 0 {
            return Err(std::io::Error::last_os_error());
        }
        assert_eq!(message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC), 0, "truncated");
        bytes.truncate(length as usize);
        let mut fds = Vec::new();
        // SAFETY: the control buffer is as the kernel left it.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&message);
            if let Some(cmsg) = header.as_ref() {
                assert_eq!((cmsg.cmsg_level, cmsg.cmsg_type), (libc::SOL_SOCKET, libc::SCM_RIGHTS));
                let count = (cmsg.cmsg_len - libc::CMSG_LEN(0) as usize) / size_of::<RawFd>();
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                fds.extend((0..count).map(|i| OwnedFd::from_raw_fd(data.add(i).read_unaligned())));
            }
        }
        Ok(Packet { bytes, fds })
    }

    /// A request and its whole answer. Every packet must repeat the number, and the descriptors
    /// of a GET must be as many as the records.
    #[track_caller]
    pub fn ask(&self, operation: u8, flags: u16, body: &[u8], fds: &[BorrowedFd]) -> Answer {
        let number = 0x0102_0304 + u32::from(operation);
        let request = packet(operation, flags, number, body);
        match self.send(&request, fds) {
            // The agent accepts fds once it has seen that the client may put.
            Err(e) if e.raw_os_error() == Some(libc::EPERM) && operation == PUT => {
                let (length, rest) = body.split_first_chunk().expect("a name");
                let name = &rest[..u32::from_ne_bytes(*length) as usize];
                self.ask(INFO, 0, &string(name), &[]);
                // A client that may not put gets the reason without an fd.
                let sent = self.send(&request, fds).or_else(|_| self.send(&request, &[]));
                sent.expect("sent");
            }
            sent => drop(sent.expect("sent")),
        }
        self.answer(number, operation == GET)
    }

    #[track_caller]
    pub fn answer(&self, number: u32, carries: bool) -> Answer {
        let mut answer = Answer::default();
        loop {
            let packet = self.receive().expect("an answer");
            assert!(!packet.bytes.is_empty(), "the agent ended the connection: {answer:?}");
            answer.packets += 1;
            let mut rest = Bytes(&packet.bytes);
            assert_eq!(rest.take::<1>(), [VERSION], "version");
            [answer.status] = rest.take();
            let flags = u16::from_ne_bytes(rest.take());
            assert_eq!(rest.u32(), number);
            let before = answer.records.len();
            if answer.status == 0 {
                let count = rest.u32();
                answer.records.extend((0..count).map(|_| rest.record()));
            } else {
                answer.reason = rest.string();
            }
            assert_eq!(rest.0, b"", "after the end");
            let named = answer.records.len() - before;
            assert_eq!(packet.fds.len(), if carries { named } else { 0 });
            answer.fds.extend(packet.fds);
            if flags & 1 == 0 {
                return answer;
            }
        }
    }

    #[track_caller]
    pub fn put(&self, name: &str, fd: BorrowedFd) -> Answer {
        self.ask(PUT, 0, &strings(&[name, ""]), &[fd])
    }

    #[track_caller]
    pub fn get(&self, names: &[&str], flags: u16) -> Answer {
        self.ask(GET, flags, &strings(names), &[])
    }

    /// A put with all that it can have, which must be done.
    #[track_caller]
    pub fn put_with(&self, flags: u16, name: &str, layout: &str, fd: impl AsFd) -> Vec<Record> {
        done(self.ask(PUT, flags, &strings(&[name, layout]), &[fd.as_fd()]))
    }

    /// Every stored object: its record, and the kind, id and access mode of the returned fd.
    #[track_caller]
    pub fn held(&self) -> Vec<(Record, (String, u32, i32))> {
        let fd = |r: &Record| what_is(&self.get(&[&r.name], 0).fds[0]);
        self.list().into_iter().map(|r| (r.clone(), fd(&r))).collect()
    }

    /// Whether a packet has come, or the end.
    pub fn has_something(&self) -> bool {
        let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut ready, PollTimeout::ZERO).expect("poll") == 1
    }

    /// Removes names, a request each; all of them are there.
    #[track_caller]
    pub fn remove(&self, names: &[impl AsRef<str>]) {
        for name in names {
            done(self.ask(REMOVE, 0, &string(name.as_ref()), &[]));
        }
    }

    #[track_caller]
    pub fn list(&self) -> Vec<Record> {
        let answer = self.ask(LIST, LAYOUTS, &string(""), &[]);
        assert_eq!((answer.status, answer.reason.as_str()), (0, ""));
        answer.records
    }
}

/// The rest of a packet.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (first, rest) = self.0.split_first_chunk().expect("more bytes");
        self.0 = rest;
        *first
    }

    fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }

    fn string(&mut self) -> String {
        let length = self.u32() as usize;
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }

    fn record(&mut self) -> Record {
        let [class, access, bound, state] = self.take();
        let mut word = || self.u32();
        let (id, pin_id, kind) = (word(), word(), word());
        let details = [word(), word(), word(), word()];
        let (uid, gid, pid) = (word(), word(), word());
        let time = u64::from_ne_bytes(self.take());
        let (name, layout) = (self.string(), self.string());
        Record {
            class,
            access,
            bound,
            state,
            id,
            pin_id,
            kind,
            details,
            uid,
            gid,
            pid,
            time,
            name,
            layout,
        }
    }
}
