//! Fds that other users chose, and connections to which such fds may be queued. The agent neither
//! receives nor drops them: children do (see [`bpf_inherit::untrusted`]).
//!
//! A child begins with copies of all fds of the agent. Until it has closed them, the agent starts no
//! further child and drops no connection, so that no child closes the last copy of one.

use super::quota::Charge;
use bpf_inherit::Errno;
use bpf_inherit::untrusted::{Attached, Child, Event, hold, receive};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// PUTs that are received at a time.
const MAX_PUTS: usize = 16;
/// Children that hold discarded connections and have not exited.
const MAX_HOLDING: usize = 16;
/// Discarded connections after which no more are accepted.
const MAX_DISCARDED: usize = 128;
/// The time between two batches of discarded connections.
const BATCH_INTERVAL: Duration = Duration::from_millis(10);

/// The work of a child.
#[derive(Debug)]
enum Work {
    /// To receive a PUT of the user for the connection with this key, which is reported once.
    Put { uid: u32, key: Option<usize> },
    /// To hold discarded connections while the agent closes its copies.
    Hold(Vec<Discarded>),
}

/// A connection that is to be dropped, and its charge.
type Discarded = (OwnedFd, Charge);

/// A child process.
struct Running {
    child: Child,
    work: Work,
    /// It has closed its copies of the agent's fds.
    is_ready: bool,
}

/// The children, and the connections that are to be dropped.
pub struct ForeignFds {
    epoll: Rc<Epoll>,
    /// The data of epoll events of children.
    token: u64,
    children: Vec<Running>,
    discarded: Vec<Discarded>,
    next_batch: Instant,
}

impl ForeignFds {
    pub fn new(epoll: Rc<Epoll>, token: u64) -> ForeignFds {
        let (children, discarded) = (Vec::new(), Vec::new());
        ForeignFds { epoll, token, children, discarded, next_batch: Instant::now() }
    }

    /// Drops a connection to which fds may be queued, later. The charge stays until then.
    pub fn discard(&mut self, connection: OwnedFd, charge: Charge) {
        self.discarded.push((connection, charge));
    }

    /// Whether too many connections are to be dropped to accept more.
    pub fn is_full(&self) -> bool {
        self.discarded.len() >= MAX_DISCARDED
    }

    fn is_starting(&self) -> bool {
        self.children.iter().any(|running| !running.is_ready)
    }

    /// Whether a PUT of a user can be received now: one at a time.
    pub fn can_receive(&self, uid: u32) -> bool {
        let user = |running: &Running| match running.work {
            Work::Put { uid, .. } => Some(uid),
            Work::Hold(_) => None,
        };
        let users: Vec<u32> = self.children.iter().filter_map(user).collect();
        !self.is_starting() && users.len() < MAX_PUTS && !users.contains(&uid)
    }

    /// Starts to receive the next message of a connection.
    pub fn receive(&mut self, socket: BorrowedFd, uid: u32, key: usize) -> Result<(), Errno> {
        let child = receive(socket)?;
        self.watch(child, Work::Put { uid, key: Some(key) });
        Ok(())
    }

    fn watch(&mut self, child: Child, work: Work) {
        for fd in child.fds() {
            // Without it, the child is examined when something else happens.
            let _ = self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, self.token));
        }
        self.children.push(Running { child, work, is_ready: false });
    }

    /// When [`ForeignFds::start_batch`] has something to do.
    pub fn next_batch(&self) -> Option<Instant> {
        (!self.discarded.is_empty() && !self.is_starting()).then_some(self.next_batch)
    }

    /// Starts a child for the discarded connections, if it is time.
    pub fn start_batch(&mut self, now: Instant) {
        if self.next_batch().is_none_or(|at| now < at) {
            return;
        }
        self.next_batch = now + BATCH_INTERVAL;
        let holding = self.children.iter().filter(|r| matches!(r.work, Work::Hold(_))).count();
        if holding >= MAX_HOLDING {
            return;
        }
        let fds: Vec<BorrowedFd> = self.discarded.iter().map(|(fd, _)| fd.as_fd()).collect();
        // If no process can be started, there is another attempt with the next batch.
        if let Ok(child) = hold(&fds) {
            let batch = std::mem::take(&mut self.discarded);
            self.watch(child, Work::Hold(batch));
        }
    }

    /// Acts on the reports of children, and returns what was received for each connection; and
    /// whether another PUT may be received now.
    pub fn examine(&mut self) -> (Vec<(usize, Attached)>, bool) {
        let (mut received, mut is_freed) = (Vec::new(), false);
        self.children.retain_mut(|running| {
            // Before the last reports are read.
            let has_ended = running.child.has_ended();
            while let Some(event) = running.child.event() {
                match (event, &mut running.work) {
                    (Event::Ready, work) => {
                        running.is_ready = true;
                        is_freed = true;
                        if let Work::Hold(batch) = work {
                            // None of these is the last copy.
                            batch.clear();
                            running.child.release();
                        }
                    }
                    (Event::Received(attached), Work::Put { key, .. }) => {
                        received.extend(key.take().map(|key| (key, attached)));
                    }
                    (Event::Received(_), _) => {}
                }
            }
            if !has_ended {
                return true;
            }
            for fd in running.child.fds() {
                let _ = self.epoll.delete(fd);
            }
            is_freed = true;
            match &mut running.work {
                Work::Put { key, .. } => {
                    let failed = |key| (key, Attached::NotSent(Errno::ETIMEDOUT));
                    received.extend(key.take().map(failed));
                }
                Work::Hold(batch) => self.discarded.append(batch),
            }
            false
        });
        (received, is_freed)
    }
}
