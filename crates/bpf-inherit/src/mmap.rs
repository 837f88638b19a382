//! The values of an array in memory (mmap(2) on a map with BPF_F_MMAPABLE).

use crate::bpf::MapInfo;
use crate::map::{Map, round_up};
use crate::map_type::MMAPABLE;
use crate::{Errno, MapType, Result};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// Values of an array, shared with the kernel and with every other user of the map.
#[derive(Debug)]
pub struct Mapped {
    /// The start of the mapping, page-aligned.
    pages: NonNull<u8>,
    /// The number of bytes before the first value in the first page.
    skip: usize,
    /// The number of bytes of all values.
    length: usize,
    stride: usize,
    writable: bool,
}

impl Mapped {
    /// Whether a map is an array that can be mapped. That requires a read-write file descriptor.
    pub fn is_made_for(info: &MapInfo) -> bool {
        info.map_type == MapType::ARRAY && info.flags & MMAPABLE != 0
    }

    /// Maps only the pages of `count` values, starting with the value at index `first`, because the
    /// kernel populates a mapping at once, and the pages count as memory in use. Requires a
    /// read-write file descriptor, even for reading.
    ///
    /// # Errors
    /// EINVAL if the map cannot be mapped or does not have these values; EPERM if the file
    /// descriptor is read-only or write-only, or the map is frozen and `writable` is set.
    pub fn part(map: &Map, first: usize, count: usize, writable: bool) -> Result<Mapped> {
        let info = map.info();
        let inside = first.checked_add(count).is_some_and(|end| end <= info.max_entries as usize);
        if !Mapped::is_made_for(info) || count == 0 || !inside {
            return Err(Errno::EINVAL);
        }
        let stride = round_up(info.value_size);
        let length = stride.checked_mul(count).ok_or(Errno::EOVERFLOW)?;
        let start = stride.checked_mul(first).ok_or(Errno::EOVERFLOW)?;
        let skip = start % page_size();
        let offset = libc::off_t::try_from(start - skip).map_err(|_| Errno::EOVERFLOW)?;
        let protection =
            if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        let (fd, shared) = (map.as_fd().as_raw_fd(), libc::MAP_SHARED);
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let pages = unsafe {
            libc::mmap(std::ptr::null_mut(), skip + length, protection, shared, fd, offset)
        };
        if pages == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let pages = NonNull::new(pages.cast()).ok_or(Errno::ENOMEM)?;
        Ok(Mapped { pages, skip, length, stride, writable })
    }

    /// Bytes from one value to the next: the value's size rounded up to 8.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Copies the bytes from byte `offset` on, in words of 8 bytes, each of which is read
    /// atomically.
    ///
    /// # Errors
    /// EINVAL unless offset and length are multiples of 8 inside the array.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(into.len()).ok_or(Errno::EINVAL)?;
        if !offset.is_multiple_of(8) || !into.len().is_multiple_of(8) || end > self.length {
            return Err(Errno::EINVAL);
        }
        for (word, at) in into.chunks_exact_mut(8).zip((offset..end).step_by(8)) {
            // SAFETY: inside the mapping, and aligned: it begins on a page, and all that is
            // added is a multiple of 8. Other users access it atomically.
            let value = unsafe {
                AtomicU64::from_ptr(self.pages.add(self.skip + at).cast().as_ptr())
                    .load(Ordering::Relaxed)
            };
            word.copy_from_slice(&value.to_ne_bytes());
        }
        Ok(())
    }

    /// Replaces the `size` bytes at byte `offset` atomically: `change` receives the current bytes,
    /// and is called again if a concurrent writer has changed them. If `change` fails, nothing is
    /// written.
    ///
    /// # Errors
    /// EINVAL if `size` is not 1, 2, 4 or 8, if `offset` is not a multiple of it or is outside of
    /// the array, or if the mapping is not writable.
    pub fn change<E>(
        &self,
        offset: usize,
        size: usize,
        mut change: impl FnMut(&mut [u8]) -> std::result::Result<(), E>,
    ) -> Result<std::result::Result<(), E>> {
        let inside = offset.checked_add(size).is_some_and(|end| end <= self.length);
        let known = matches!(size, 1 | 2 | 4 | 8);
        if !self.writable || !inside || !known || !offset.is_multiple_of(size) {
            return Err(Errno::EINVAL);
        }
        // SAFETY: inside the mapping.
        let place = unsafe { self.pages.add(self.skip + offset) };
        macro_rules! exchange {
            ($integer:ty, $atomic:ty) => {{
                // SAFETY: aligned, inside the mapping, and shared with atomic users only.
                let cell = unsafe { <$atomic>::from_ptr(place.cast().as_ptr()) };
                let mut old = cell.load(Ordering::Relaxed);
                loop {
                    let mut bytes = old.to_ne_bytes();
                    if let Err(error) = change(&mut bytes) {
                        return Ok(Err(error));
                    }
                    let new = <$integer>::from_ne_bytes(bytes);
                    let (done, failed) = (Ordering::Relaxed, Ordering::Relaxed);
                    match cell.compare_exchange_weak(old, new, done, failed) {
                        Ok(_) => return Ok(Ok(())),
                        Err(now) => old = now,
                    }
                }
            }};
        }
        match size {
            1 => exchange!(u8, AtomicU8),
            2 => exchange!(u16, AtomicU16),
            4 => exchange!(u32, AtomicU32),
            _ => exchange!(u64, AtomicU64),
        }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the whole mapping that `part` made.
        unsafe { libc::munmap(self.pages.as_ptr().cast(), self.skip + self.length) };
    }
}

fn page_size() -> usize {
    // SAFETY: no pointers.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}
