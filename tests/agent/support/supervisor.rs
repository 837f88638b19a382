//! A service manager: the part of systemd that passes sockets to a service (sd_listen_fds(3)) and
//! receives its notifications (sd_notify(3)).

use crate::common::agent::Agent;
use crate::common::child::Start;
use crate::common::{HANG, Lab, after};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

pub struct Supervisor {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Supervisor {
    pub fn new(lab: &Lab) -> Supervisor {
        let path = lab.path("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(HANG)).expect("a timeout");
        Supervisor { path, socket }
    }

    /// Receives notifications up to the one that is `wanted`, and returns them all.
    #[track_caller]
    pub fn receive_until(&self, wanted: &str) -> Vec<String> {
        let mut received = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let Ok(length) = self.socket.recv(&mut buffer) else {
                panic!("no {wanted:?} in {received:?}");
            };
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let is_over = message.starts_with(wanted);
            received.push(message);
            if is_over {
                return received;
            }
        }
    }

    /// Sends notifications of its own until the queue has no room for another one.
    pub fn fill(&self) {
        let socket = UnixDatagram::unbound().expect("a socket");
        socket.set_nonblocking(true).expect("set");
        while socket.send_to(b"FULL=1", &self.path).is_ok() {}
    }

    /// Starts an agent with these sockets, and waits until it has notified that it is ready.
    #[track_caller]
    pub fn start(&self, lab: &Lab, arguments: &[&str], sockets: &[(&str, &OwnedFd)]) -> Agent {
        let mut agent = self.spawn(lab, arguments, sockets);
        agent.line("serves on");
        self.receive_until("READY=1");
        agent
    }

    /// Likewise, without waiting.
    pub fn spawn(&self, lab: &Lab, arguments: &[&str], sockets: &[(&str, &OwnedFd)]) -> Agent {
        let sockets = sockets.iter().map(|(name, fd)| (*name, fd.as_raw_fd()));
        let (names, given): (Vec<&str>, Vec<RawFd>) = sockets.unzip();
        let mut command = after("export LISTEN_PID=$$", &lab.agent(arguments));
        if !given.is_empty() {
            command.env("LISTEN_FDS", given.len().to_string());
            command.env("LISTEN_FDNAMES", names.join(":"));
        }
        command.env("NOTIFY_SOCKET", &self.path);
        Agent::spawn_with(&Start { given, ..Start::default() }, &mut command)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).expect("removed");
    }
}
