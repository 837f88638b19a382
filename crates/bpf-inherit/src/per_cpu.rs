//! The size of an entry of a per-CPU map. The number of possible CPUs is compared with the number
//! of bytes that the kernel writes.

use crate::attribute::{Command, call};
use crate::cpus::{CpusError, possible};
use crate::map::Map;
use crate::{Errno, Result};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

impl Map {
    /// The numbers of the CPUs that have values in an entry of this per-CPU map, in its order. If
    /// their number is not certain, it is compared with the size of an entry.
    pub fn cpus(&self) -> std::result::Result<&'static [u32], CpusError> {
        let possible = possible().ok_or(CpusError::Unknown)?;
        if !possible.confirmed.load(Ordering::Relaxed) {
            match self.has_values_for(possible.cpus.len()) {
                Ok(Some(true)) => possible.confirmed.store(true, Ordering::Relaxed),
                Ok(Some(false)) => return Err(CpusError::Contradicted),
                // The map has no entry, or none can be read.
                Ok(None) => {}
                Err(errno) => return Err(CpusError::Uncompared(errno)),
            }
        }
        Ok(&possible.cpus)
    }

    /// Whether an entry of this per-CPU map has values for exactly `cpus` CPUs; None if there is no
    /// entry, or none that may be read.
    ///
    /// A lookup into memory that ends before an inaccessible page fails with EFAULT if the entry is
    /// larger than the memory.
    pub fn has_values_for(&self, cpus: usize) -> Result<Option<bool>> {
        let mut key = vec![0; self.key_len()];
        let mut attributes = self.element(&[], key.as_mut_ptr() as u64, 0);
        // SAFETY: the value's pointer refers to as many bytes as the map's key size.
        match unsafe { call(Command::MapGetNextKey, &mut attributes) } {
            Ok(_) => {}
            Err(Errno::ENOENT | Errno::EPERM) => return Ok(None),
            Err(errno) => return Err(errno),
        }
        let size = self.stride().checked_mul(cpus).ok_or(Errno::EOVERFLOW)?;
        let guarded = Guarded::new(size)?;
        let lookup = |size: usize| {
            let mut attributes = self.element(&key, guarded.last(size) as u64, 0);
            // SAFETY: the key has the map's key size. What the kernel writes from the value's
            // pointer on is inside the mapping, which ends in a page that it cannot write to.
            match unsafe { call(Command::MapLookupElem, &mut attributes) } {
                Ok(_) => Ok(Some(true)),
                Err(Errno::EFAULT) => Ok(Some(false)),
                // Deleted since.
                Err(Errno::ENOENT) => Ok(None),
                Err(errno) => Err(errno),
            }
        };
        match lookup(size)? {
            Some(true) => {
                Ok(lookup(size.saturating_sub(self.stride()))?.map(|fits| !fits || cpus == 0))
            }
            other => Ok(other),
        }
    }
}

/// Memory that ends before an inaccessible page.
struct Guarded {
    pages: NonNull<u8>,
    /// Bytes before the inaccessible page.
    usable: usize,
    all: usize,
}

impl Guarded {
    fn new(size: usize) -> Result<Guarded> {
        // SAFETY: no pointers.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page = usize::try_from(page).map_err(|_| Errno::EINVAL)?;
        let usable = size.checked_next_multiple_of(page).ok_or(Errno::EOVERFLOW)?;
        let all = usable.checked_add(page).ok_or(Errno::EOVERFLOW)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let pages = unsafe { libc::mmap(std::ptr::null_mut(), all, libc::PROT_NONE, flags, -1, 0) };
        if pages == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let pages = NonNull::new(pages.cast()).ok_or(Errno::ENOMEM)?;
        let guarded = Guarded { pages, usable, all };
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: inside the mapping just made, which nothing else uses.
        match unsafe { libc::mprotect(pages.as_ptr().cast(), usable, access) } {
            0 => Ok(guarded),
            _ => Err(Errno::last()),
        }
    }

    /// The address `size` bytes before the inaccessible page.
    fn last(&self, size: usize) -> usize {
        self.pages.as_ptr() as usize + self.usable.saturating_sub(size)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the whole mapping that `new` made.
        unsafe { libc::munmap(self.pages.as_ptr().cast(), self.all) };
    }
}
