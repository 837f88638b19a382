//! Closes what strangers sent. That can take as long as they like (a socket that lingers, a
//! file of a file system in user space), so it is not done where everybody is served.

use bpf_inherit::fd::{FdType, fd_type};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Descriptors of one user that wait to be closed, after which no more are taken of that user.
const MOST: usize = 512;
/// Users whose descriptors are closed at a time.
const THREADS: usize = 64;
/// Bytes: what runs there is one system call.
const STACK: usize = 64 << 10;

/// What waits to be closed, by the user who sent it. A user who is in it has a thread.
type Waiting = BTreeMap<u32, VecDeque<OwnedFd>>;

/// The threads that close, each for one user: nobody waits for what another sent.
#[derive(Clone, Debug, Default)]
pub struct Closer {
    waiting: Arc<Mutex<Waiting>>,
}

impl Closer {
    /// Closes what came from user `uid`: BPF objects at once, all else in its time.
    pub fn close(&self, uid: u32, fds: impl IntoIterator<Item = OwnedFd>) {
        let is_quick = |fd: &OwnedFd| matches!(fd_type(fd.as_fd()), Ok(FdType::Object(_)));
        let slow: VecDeque<OwnedFd> = fds.into_iter().filter(|fd| !is_quick(fd)).collect();
        if slow.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = waiting.get_mut(&uid) {
            queue.extend(slow);
            return;
        }
        waiting.insert(uid, slow);
        drop(waiting);
        let closer = self.clone();
        let thread = thread::Builder::new().stack_size(STACK).spawn(move || closer.work(uid));
        if thread.is_err() {
            // There is no other place left for it.
            self.work(uid);
        }
    }

    /// Whether so much of a user waits to be closed that no more is to be taken.
    pub fn is_behind(&self, uid: u32) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.get(&uid) {
            Some(queue) => queue.len() >= MOST,
            None => waiting.len() >= THREADS,
        }
    }

    fn work(&self, uid: u32) {
        loop {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let next = waiting.get_mut(&uid).and_then(VecDeque::pop_front);
            if next.is_none() {
                waiting.remove(&uid);
                return;
            }
            drop(waiting);
            drop(next);
        }
    }
}
