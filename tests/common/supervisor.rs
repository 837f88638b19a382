//! What systemd is to a service that it starts: it hears what the service says (sd_notify(3)), stores
//! descriptors for it, and hands them back with its sockets when it starts it again
//! (sd_listen_fds(3), sd_pid_notify_with_fds(3)).

use super::agent::{Agent, Client, Record};
use super::child::Start;
use super::{Lab, after};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Descriptors by name.
type Stored = Vec<(String, OwnedFd)>;

pub struct Supervisor {
    path: PathBuf,
    shared: Arc<Shared>,
    messages: Receiver<String>,
    listener: Option<std::thread::JoinHandle<()>>,
    /// FileDescriptorStoreMax.
    pub room: Option<usize>,
}

#[derive(Default)]
struct Shared {
    stored: Mutex<Stored>,
    /// Barriers are heard, and not answered.
    is_silent: AtomicBool,
    /// Those that were not answered.
    barriers: Mutex<Vec<OwnedFd>>,
}

/// Ends the listener, and has it say that it has come so far; no service says so.
const END: &str = "END";
const SO_FAR: &str = "SO FAR";

impl Supervisor {
    pub fn new(lab: &Lab) -> Supervisor {
        let path = lab.path("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let shared = Arc::new(Shared::default());
        let (sender, messages) = channel();
        let theirs = shared.clone();
        let listener = std::thread::spawn(move || theirs.listen(socket.into(), &sender));
        Supervisor { path, shared, messages, listener: Some(listener), room: None }
    }

    /// Stores what nobody has sent.
    pub fn plant(&self, name: &str, fd: OwnedFd) {
        self.shared.stored.lock().expect("a store").push((name.into(), fd));
    }

    /// The names of what is stored, sorted.
    pub fn names(&self) -> Vec<String> {
        let stored = self.shared.stored.lock().expect("a store");
        let mut names: Vec<String> = stored.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    /// From now on barriers are answered or not.
    pub fn be_silent(&self, is_silent: bool) {
        self.shared.is_silent.store(is_silent, Ordering::SeqCst);
        if !is_silent {
            self.shared.barriers.lock().expect("barriers").clear();
        }
    }

    /// Waits until the service has said this, and returns all that it has said up to then, but
    /// for what is about stored descriptors.
    #[track_caller]
    pub fn hear(&self, wanted: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            match self.messages.recv_timeout(Duration::from_secs(20)) {
                Ok(message) => {
                    let is_over = message.starts_with(wanted);
                    heard.push(message);
                    if is_over {
                        return heard;
                    }
                }
                Err(_) => panic!("no {wanted:?} in {heard:?}"),
            }
        }
    }

    /// Starts an agent with these sockets and all that is stored, and waits until it is ready.
    #[track_caller]
    pub fn start(&self, lab: &Lab, arguments: &[&str], sockets: &[(&str, &OwnedFd)]) -> Agent {
        let mut agent = self.spawn(lab, arguments, sockets);
        agent.line("serves on");
        self.hear("READY=1");
        agent
    }

    /// Likewise, without waiting. Like systemd's, its sockets come first.
    pub fn spawn(&self, lab: &Lab, arguments: &[&str], sockets: &[(&str, &OwnedFd)]) -> Agent {
        // What the one before has said is heard before the next is started.
        self.say(SO_FAR);
        self.hear(SO_FAR);
        let stored = self.shared.stored.lock().expect("a store");
        let sockets = sockets.iter().map(|(name, fd)| (*name, fd.as_raw_fd()));
        let stored = stored.iter().map(|(name, fd)| (name.as_str(), fd.as_raw_fd()));
        let (names, given): (Vec<&str>, Vec<RawFd>) = sockets.chain(stored).unzip();
        let mut command = after("export LISTEN_PID=$$", &lab.agent(arguments));
        if !given.is_empty() {
            command.env("LISTEN_FDS", given.len().to_string());
            command.env("LISTEN_FDNAMES", names.join(":"));
        }
        command.env("NOTIFY_SOCKET", &self.path);
        if let Some(room) = self.room {
            command.env("FDSTORE", room.to_string());
        }
        Agent::spawn_with(&Start { given, ..Start::default() }, &mut command)
    }

    fn say(&self, text: &str) {
        let socket = UnixDatagram::unbound().expect("a socket");
        socket.send_to(text.as_bytes(), &self.path).expect("heard");
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.say(END);
        let _ = self.listener.take().map(std::thread::JoinHandle::join);
        std::fs::remove_file(&self.path).expect("removed");
    }
}

impl Shared {
    fn listen(&self, socket: OwnedFd, sender: &Sender<String>) {
        let socket = Client::of(socket);
        loop {
            let packet = socket.receive().expect("a message");
            let text = String::from_utf8(packet.bytes).expect("UTF-8");
            if text == END {
                return;
            }
            let value = |name: &str| {
                text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            };
            if value("FDSTORE") == Some("1") {
                let name = value("FDNAME").unwrap_or("stored");
                let polled = value("FDPOLL") != Some("0");
                packet.fds.into_iter().for_each(|fd| self.store(name, fd, polled));
            } else if value("FDSTOREREMOVE") == Some("1") {
                let name = value("FDNAME").expect("a name");
                self.stored.lock().expect("a store").retain(|(stored, _)| stored != name);
            } else if value("BARRIER") == Some("1") {
                assert_eq!((text.as_str(), packet.fds.len()), ("BARRIER=1\n", 1));
                if self.is_silent.load(Ordering::SeqCst) {
                    self.barriers.lock().expect("barriers").extend(packet.fds);
                }
            } else {
                let _ = sender.send(text); // the test may have ended
            }
        }
    }

    /// As systemd does it: a name that cannot be one is another, what polls as an error is
    /// dropped unless that is not asked, and what is stored already is not stored again.
    fn store(&self, name: &str, fd: OwnedFd, polled: bool) {
        let is_fine = |b: u8| (b' '..127).contains(&b) && b != b':';
        let name = if name.len() <= 255 && name.bytes().all(is_fine) { name } else { "stored" };
        let errors = PollFlags::POLLERR | PollFlags::POLLHUP;
        let mut polls = [PollFd::new(fd.as_fd(), PollFlags::empty())];
        poll(&mut polls, PollTimeout::ZERO).expect("poll");
        if polled && polls[0].revents().expect("flags").intersects(errors) {
            return;
        }
        let mut stored = self.stored.lock().expect("a store");
        if !stored.iter().any(|(_, other)| is_same_file(other, &fd)) {
            stored.push((name.into(), fd));
        }
    }
}

/// Whether two descriptors lead to one open file (kcmp(2), KCMP_FILE is 0).
pub fn is_same_file(a: &OwnedFd, b: &OwnedFd) -> bool {
    let (pid, a, b) = (std::process::id(), a.as_raw_fd(), b.as_raw_fd());
    // SAFETY: no pointers.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, pid, pid, 0, a, b) };
    assert!(order >= 0, "kcmp: {}", std::io::Error::last_os_error());
    order == 0
}

/// The name under which an agent has this stored, where `name` is as a file would have it.
pub fn stored_as(record: &Record, name: &str) -> String {
    let Record { id, uid, gid, pid, time, .. } = record;
    let class = ["map", "prog", "link"][usize::from(record.class) - 1];
    let access = ["-", "r", "w", "rw"][usize::from(record.bound)];
    format!(
        "bpf-agent v1 {class} id={id} access={access} uid={uid} gid={gid} pid={pid} time={time} {name}"
    )
}
