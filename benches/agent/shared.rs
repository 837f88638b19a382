//! Numbers that processes share with the children that they fork.

use std::ops::Deref;
use std::ptr::null_mut;
use std::sync::atomic::AtomicU64;

/// Counters in shared memory, which is never unmapped.
#[derive(Clone, Copy)]
pub struct Shared(&'static [AtomicU64]);

impl Shared {
    pub fn new(count: usize) -> Shared {
        let size = count * size_of::<AtomicU64>();
        let (access, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping.
        let memory = unsafe { libc::mmap(null_mut(), size, access, flags, -1, 0) };
        assert_ne!(memory, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        // SAFETY: zeroes of this size, aligned to a page, for the rest of the process.
        Shared(unsafe { std::slice::from_raw_parts(memory.cast(), count) })
    }
}

impl Deref for Shared {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        self.0
    }
}
