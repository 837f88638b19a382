//! Connections with the credentials of other users.

use crate::common::Lab;
use crate::common::agent::{Agent, Client};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Uid, fork, setgroups, setresgid, setresuid, write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The credentials of a client.
#[derive(Clone, Debug, Default)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    /// As root of a new user namespace, in which no other user is mapped.
    pub apart: bool,
}

impl User {
    /// A user whose group has the same number.
    pub fn new(uid: u32) -> User {
        User { uid, gid: uid, ..User::default() }
    }

    /// With system calls alone: other functions are not safe between fork and exit.
    pub fn become_it(&self, groups: &[Gid], maps: &[(&str, String)]) -> nix::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        setgroups(groups)?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
        if self.apart {
            // Otherwise the files in /proc stay root's.
            nix::sys::prctl::set_dumpable(true)?;
            unshare(CloneFlags::CLONE_NEWUSER)?;
            for (path, text) in maps {
                let file = open(*path, OFlag::O_WRONLY, nix::sys::stat::Mode::empty())?;
                write(file, text.as_bytes())?;
            }
        }
        Ok(())
    }
}

impl Client {
    /// A connection with the credentials of `user`: the kernel records those of the process that
    /// called connect(2), which has ended since.
    #[track_caller]
    pub fn connect_as(path: &Path, user: &User) -> Client {
        Client::try_connect_as(path, user).unwrap_or_else(|errno| panic!("as {user:?}: {errno}"))
    }

    /// Likewise; the error is that of the first system call that fails.
    #[track_caller]
    pub fn try_connect_as(path: &Path, user: &User) -> nix::Result<Client> {
        let kind = SockType::SeqPacket;
        let socket =
            socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        let address = UnixAddr::new(path).expect("an address");
        let groups: Vec<Gid> = user.groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
        let maps = [
            ("/proc/self/setgroups", "deny".to_owned()),
            ("/proc/self/uid_map", format!("0 {} 1", user.uid)),
            ("/proc/self/gid_map", format!("0 {} 1", user.gid)),
        ];
        // SAFETY: the child makes system calls only, with memory that was set aside before.
        match unsafe { fork() }.expect("a process") {
            ForkResult::Child => {
                let done = user.become_it(&groups, &maps);
                let done = done.and_then(|()| connect(socket.as_raw_fd(), &address));
                // SAFETY: ends the process, and runs nothing of the test.
                unsafe { libc::_exit(done.map_or_else(|errno| errno as i32, |()| 0)) }
            }
            ForkResult::Parent { child } => match waitpid(child, None).expect("a child") {
                WaitStatus::Exited(_, 0) => Ok(Client::of(socket)),
                WaitStatus::Exited(_, errno) => Err(Errno::from_raw(errno)),
                end => panic!("{end:?}"),
            },
        }
    }
}

/// Starts an agent with these rules and a socket that every user can connect to. Returns the path
/// of the socket too.
#[track_caller]
pub fn serve_all(lab: &Lab, options: &[&str], rules: &[&str]) -> (Agent, PathBuf) {
    let fixed = ["--socket", "agent", "--socket-mode", "0666"];
    let rules = rules.iter().flat_map(|rule| ["--allow", rule]);
    let words = fixed.into_iter().chain(options.iter().copied()).chain(rules);
    (Agent::start(&mut lab.agent(words)), lab.path("agent"))
}

/// Waits until the agent has accepted or refused all connections that were made before.
#[track_caller]
pub fn await_backlog(path: &Path) {
    Client::connect(path).list();
}
