//! Processes of other users that attack an agent, and the resources of the agent that they aim at.

use super::peers::User;
use crate::common::agent::Agent;
use crate::common::{Run, eventually};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, fork};
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A process of another user that attacks until it is dropped.
pub struct Attacker(Pid);

impl Attacker {
    /// Forks, and repeats `attack` as `user`. The C library keeps its allocator usable in a child of
    /// a process with threads.
    #[track_caller]
    pub fn start(user: &User, mut attack: impl FnMut()) -> Attacker {
        let groups: Vec<Gid> = user.groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
        // SAFETY: the child ends with _exit, and runs nothing of the test but `attack`.
        match unsafe { fork() }.expect("a process") {
            ForkResult::Child => {
                let run = AssertUnwindSafe(|| {
                    user.become_it(&groups, &[]).expect("another user");
                    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("set");
                    loop {
                        attack();
                    }
                });
                let _: Result<(), _> = catch_unwind(run);
                // SAFETY: ends the process.
                unsafe { libc::_exit(1) }
            }
            ForkResult::Parent { child } => Attacker(child),
        }
    }

    /// Whether the process has not ended.
    pub fn is_running(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(self.0), flags) == Ok(WaitStatus::StillAlive)
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        kill(self.0, Signal::SIGKILL).expect("not reaped yet");
        let _ = waitpid(self.0, None);
    }
}

/// The children of an agent.
pub fn children(agent: u32) -> usize {
    let path = format!("/proc/{agent}/task/{agent}/children");
    std::fs::read_to_string(path).expect("a process").split_whitespace().count()
}

/// The threads of an agent.
pub fn threads(agent: u32) -> usize {
    std::fs::read_dir(format!("/proc/{agent}/task")).expect("a process").count()
}

/// Ends an agent as an operator does; fails if it does not end.
#[track_caller]
pub fn stop(agent: Agent) -> Run {
    agent.signal(Signal::SIGTERM);
    await_exit(agent)
}

/// Waits for the end of an agent that was signalled; fails if it does not end.
#[track_caller]
pub fn await_exit(agent: Agent) -> Run {
    let path = format!("/proc/{}/stat", agent.pid());
    eventually("the end of the agent", || {
        // The state follows the name of the program.
        std::fs::read_to_string(&path).expect("a process").contains(") Z ")
    });
    agent.wait()
}

/// A TCP connection that lingers for a time when it is closed, since its peer, which is returned too,
/// does not read. The loopback interface must be up.
pub fn lingering_socket(seconds: i32) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut ours = TcpStream::connect(listener.local_addr().expect("a port")).expect("connected");
    let (theirs, _) = listener.accept().expect("accepted");
    ours.set_nonblocking(true).expect("set");
    loop {
        match ours.write(&[0; 65536]) {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) => panic!("{e}"),
        }
    }
    ours.set_nonblocking(false).expect("set");
    let linger = libc::linger { l_onoff: 1, l_linger: seconds };
    nix::sys::socket::setsockopt(&ours, nix::sys::socket::sockopt::Linger, &linger).expect("set");
    (ours, theirs)
}

/// Lets peers that connect to this listener attach fds, as all peers may before Linux 6.16.
pub fn pass_rights(listener: impl AsFd) {
    const SO_PASSRIGHTS: libc::c_int = 83;
    let (number, on) = (listener.as_fd().as_raw_fd(), 1i32);
    // SAFETY: an integer of the given length. Fails if the kernel does not have the option.
    unsafe {
        libc::setsockopt(number, libc::SOL_SOCKET, SO_PASSRIGHTS, (&raw const on).cast(), 4);
    }
}
