//! The CPU that the calling thread runs on (sched_setaffinity(2)).
//!
//! A program that a thread runs on a CPU interrupts no other program there, unlike a program that
//! another CPU asks this CPU to run.

use crate::{Errno, Result, check};
use std::marker::PhantomData;

/// Words of the first mask; the kernel needs a bit for each CPU that it supports (`nr_cpu_ids`).
const WORDS: usize = 16;
/// No kernel supports more CPUs than 64 times this (NR_CPUS).
const MAX_WORDS: usize = 1 << 10;

/// The calling thread runs on one CPU only, until this is dropped. Then it may run on the CPUs that
/// it could run on before.
#[derive(Debug)]
pub struct PinnedThread {
    before: Vec<u64>,
    /// Not [`Send`]: another thread that drops it would get these CPUs.
    _thread: PhantomData<*const ()>,
}

impl PinnedThread {
    /// Moves the calling thread to CPU `number`.
    ///
    /// # Errors
    /// EINVAL if the CPU is offline, or not in the cpuset of the process.
    pub fn new(number: u32) -> Result<PinnedThread> {
        let before = allowed_cpus()?;
        let (word, bit) = (number as usize / 64, number % 64);
        let mut only = vec![0; before.len().max(word + 1)];
        only[word] = 1 << bit;
        set(&only)?;
        Ok(PinnedThread { before, _thread: PhantomData })
    }
}

impl Drop for PinnedThread {
    fn drop(&mut self) {
        // If the cpuset has changed since, the thread stays where it is.
        let _ = set(&self.before);
    }
}

/// The CPUs that the calling thread may run on, a bit for each.
fn allowed_cpus() -> Result<Vec<u64>> {
    let mut mask = vec![0u64; WORDS];
    loop {
        let (size, at) = (size_of_val(&mask[..]), mask.as_mut_ptr());
        // SAFETY: at has size writable bytes.
        match check(unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size, at) }) {
            // The mask is shorter than the kernel's.
            Err(Errno::EINVAL) if mask.len() < MAX_WORDS => mask.resize(mask.len() * 2, 0),
            result => return result.map(|_| mask),
        }
    }
}

fn set(mask: &[u64]) -> Result<()> {
    // SAFETY: mask has as many readable bytes as the call is given.
    let done =
        unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr()) };
    check(done).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_runs_on_the_cpu_and_then_where_it_did() {
        let before = allowed_cpus().expect("a mask");
        let allowed = |number: &u32| before[*number as usize / 64] >> (number % 64) & 1 == 1;
        for number in (0..64).filter(allowed) {
            let pinned = PinnedThread::new(number).expect("allowed");
            let mut only = vec![0; before.len()];
            only[0] = 1 << number;
            assert_eq!(allowed_cpus(), Ok(only));
            drop(pinned);
            assert_eq!(allowed_cpus().as_ref(), Ok(&before));
        }
        // No kernel of the tests has that many CPUs.
        assert_eq!(PinnedThread::new(8191).err(), Some(Errno::EINVAL));
        assert_eq!(allowed_cpus(), Ok(before));
    }
}
