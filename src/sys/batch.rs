//! bpf(2) on many elements at once (BPF_MAP_LOOKUP_BATCH and its kin).
//!
//! Types without batches answer 524 ([`Errno::UnknownErrno`]), and leave the count as
//! it was: the error is looked at first.

use super::bpf;
use super::elem::MapFd;
use super::{Errno, Result};
use aya_obj::generated::{bpf_attr, bpf_cmd};
use std::os::fd::{AsFd, AsRawFd};

/// Where a walk over a map stands. Its bytes are the kernel's affair.
#[derive(Debug)]
pub struct Cursor {
    at: Vec<u8>,
    started: bool,
}

/// What one call gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Elements in the buffers.
    pub count: usize,
    /// There are no more after these.
    pub end: bool,
}

impl Cursor {
    /// At the start of `map`.
    pub fn new(map: &MapFd) -> Cursor {
        // A hash writes a u32, also where its keys are shorter.
        Cursor { at: vec![0; map.key_len().max(4)], started: false }
    }
}

impl MapFd {
    /// How many elements the buffers hold; EINVAL if they do not agree.
    fn capacity(&self, keys: usize, values: usize) -> Result<u32> {
        self.known()?;
        let (key, value) = (self.key_len(), self.value_len());
        if key == 0 || value == 0 || keys / key != values / value {
            return Err(Errno::EINVAL);
        }
        u32::try_from(keys / key).map_err(|_| Errno::EINVAL)
    }

    /// Copies the next elements, as many as fit, into `keys` and `values`, one after the
    /// other; with `delete` they are taken out of the map.
    ///
    /// ENOSPC where the next bucket of a hash does not fit: come again with more room.
    pub fn lookup_batch(
        &self,
        cursor: &mut Cursor,
        keys: &mut [u8],
        values: &mut [u8],
        delete: bool,
    ) -> Result<Batch> {
        let capacity = self.capacity(keys.len(), values.len())?;
        let mut next = vec![0u8; cursor.at.len()];
        let mut attr = self.batch_attr(keys.as_ptr(), values.as_ptr(), capacity, self.lock_flag()?);
        attr.batch.in_batch = if cursor.started { cursor.at.as_ptr() as u64 } else { 0 };
        attr.batch.out_batch = next.as_mut_ptr() as u64;
        let command = match delete {
            false => bpf_cmd::BPF_MAP_LOOKUP_BATCH,
            true => bpf_cmd::BPF_MAP_LOOKUP_AND_DELETE_BATCH,
        };
        // SAFETY: the buffers hold `capacity` keys and values, and a cursor each.
        let result = unsafe { bpf::call(command, &mut attr) };
        // SAFETY: the kernel wrote count, a plain integer, or left it as it was.
        let count = unsafe { attr.batch.count } as usize;
        let end = match result {
            Ok(_) => false,
            // The end, with valid elements in front of it.
            Err(Errno::ENOENT) => true,
            Err(errno) => return Err(errno),
        };
        (cursor.at, cursor.started) = (next, true);
        Ok(Batch { count, end })
    }

    /// Writes all elements of `keys` and `values`; `flags` as for an update. On an error,
    /// how many were written before it.
    pub fn update_batch(
        &self,
        keys: &[u8],
        values: &[u8],
        flags: u64,
    ) -> std::result::Result<(), (usize, Errno)> {
        let capacity = self.capacity(keys.len(), values.len()).map_err(|errno| (0, errno))?;
        let flags = flags | self.lock_flag().map_err(|errno| (0, errno))?;
        let mut attr = self.batch_attr(keys.as_ptr(), values.as_ptr(), capacity, flags);
        // SAFETY: the buffers hold `capacity` keys and values.
        let result = unsafe { bpf::call(bpf_cmd::BPF_MAP_UPDATE_BATCH, &mut attr) };
        self.done(result, &attr, capacity)
    }

    /// Deletes the elements of all `keys`. On an error, how many were deleted before it;
    /// ENOENT is that of the first key that is absent.
    pub fn delete_batch(&self, keys: &[u8]) -> std::result::Result<(), (usize, Errno)> {
        self.known().map_err(|errno| (0, errno))?;
        let capacity = match self.key_len() {
            0 => return Err((0, Errno::EINVAL)),
            key => u32::try_from(keys.len() / key).map_err(|_| (0, Errno::EINVAL))?,
        };
        let mut attr = self.batch_attr(keys.as_ptr(), std::ptr::null(), capacity, 0);
        // SAFETY: the buffer holds `capacity` keys.
        let result = unsafe { bpf::call(bpf_cmd::BPF_MAP_DELETE_BATCH, &mut attr) };
        self.done(result, &attr, capacity)
    }

    fn batch_attr(&self, keys: *const u8, values: *const u8, count: u32, flags: u64) -> bpf_attr {
        // SAFETY: bpf_attr is a union of integers, for which all zeroes is valid.
        let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
        attr.batch.keys = keys as u64;
        attr.batch.values = values as u64;
        attr.batch.count = count;
        attr.batch.map_fd = self.as_fd().as_raw_fd() as u32;
        attr.batch.elem_flags = flags;
        attr
    }

    /// What of `capacity` elements was done. A refusal of the whole call leaves the count
    /// as it was, which would read as all of them.
    fn done(
        &self,
        result: Result<libc::c_long>,
        attr: &bpf_attr,
        capacity: u32,
    ) -> std::result::Result<(), (usize, Errno)> {
        // SAFETY: a plain integer, whoever wrote it.
        let count = unsafe { attr.batch.count };
        let errno = match result {
            Ok(_) => return Ok(()),
            Err(errno) => errno,
        };
        Err((if count < capacity { count as usize } else { 0 }, errno))
    }
}
