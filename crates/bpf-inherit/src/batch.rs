//! bpf(2) on many entries at once (`BPF_MAP_LOOKUP_BATCH` and the other batch commands).
//!
//! Map types without batches are an error ([`MapError::Unsupported`]) and leave the count unchanged,
//! so the error is checked first.

use crate::attribute::{Command, MapBatch, call};
use crate::map::Map;
use crate::{Errno, MapError, MapResult, Result};
use std::os::fd::{AsFd, AsRawFd};

/// A position in a walk over a map.
#[derive(Debug)]
pub struct Cursor<'m> {
    map: &'m Map,
    /// The position that the kernel wrote, in a format of the map type.
    position: Vec<u8>,
    started: bool,
}

/// The result of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The number of entries in the buffers.
    pub count: usize,
    /// Whether there are no more entries after these.
    pub end: bool,
}

impl<'m> Cursor<'m> {
    /// A cursor at the start of `map`.
    pub fn new(map: &'m Map) -> Cursor<'m> {
        // A hash writes a u32, even if its keys are shorter.
        Cursor { map, position: vec![0; map.key_len().max(4)], started: false }
    }

    /// The map that is walked.
    pub fn map(&self) -> &'m Map {
        self.map
    }

    /// Copies the next entries, as many as fit, into `keys` and `values`, one after the other:
    /// [`Map::key_len`] and [`Map::value_len`] bytes for each. With `delete` they are removed from
    /// the map.
    ///
    /// # Errors
    /// [`MapError::NoRoom`] if the next bucket of a hash does not fit: call again with larger buffers.
    /// [`MapError::Invalid`] if the buffers do not have room for the same number of entries.
    pub fn lookup(&mut self, keys: &mut [u8], values: &mut [u8], delete: bool) -> MapResult<Batch> {
        let count = self.map.capacity(keys.len(), values.len())?;
        let mut next = vec![0u8; self.position.len()];
        let mut attributes = MapBatch {
            in_batch: if self.started { self.position.as_ptr() as u64 } else { 0 },
            out_batch: next.as_mut_ptr() as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count,
            map_fd: self.map.as_fd().as_raw_fd() as u32,
            elem_flags: self.map.lock_flag()?,
            flags: 0,
        };
        let command = match delete {
            false => Command::MapLookupBatch,
            true => Command::MapLookupAndDeleteBatch,
        };
        // SAFETY: the buffers have room for `count` keys and values, and a position each.
        let end = match unsafe { call(command, &mut attributes) } {
            Ok(_) => false,
            // The end, after valid entries.
            Err(Errno::ENOENT) => true,
            Err(errno) => return Err(errno.into()),
        };
        (self.position, self.started) = (next, true);
        Ok(Batch { count: attributes.count as usize, end })
    }
}

impl Map {
    /// The number of entries that the buffers have room for; an error if the numbers differ.
    fn capacity(&self, keys: usize, values: usize) -> MapResult<u32> {
        self.check_known()?;
        let (key, value) = (self.key_len(), self.value_len());
        if key == 0 || value == 0 || keys / key != values / value {
            return Err(MapError::Invalid);
        }
        u32::try_from(keys / key).map_err(|_| MapError::Invalid)
    }

    /// Writes all entries of `keys` and `values`; `flags` are those of [`Map::update`].
    ///
    /// # Errors
    /// The number of entries that were written before the error, and the error.
    pub fn update_batch(
        &self,
        keys: &[u8],
        values: &[u8],
        flags: u64,
    ) -> std::result::Result<(), (usize, MapError)> {
        let count = self.capacity(keys.len(), values.len()).map_err(|error| (0, error))?;
        let mut attributes = MapBatch {
            keys: keys.as_ptr() as u64,
            values: values.as_ptr() as u64,
            count,
            map_fd: self.as_fd().as_raw_fd() as u32,
            elem_flags: flags | self.lock_flag().map_err(|errno| (0, errno.into()))?,
            ..MapBatch::default()
        };
        // SAFETY: the kernel reads `count` keys and values, which the buffers have.
        let result = unsafe { call(Command::MapUpdateBatch, &mut attributes) };
        done(result, &attributes, count)
    }

    /// Deletes the entries of all `keys`.
    ///
    /// # Errors
    /// The number of entries that were deleted before the error, and the error:
    /// [`MapError::Missing`] at the first missing key.
    pub fn delete_batch(&self, keys: &[u8]) -> std::result::Result<(), (usize, MapError)> {
        self.check_known().map_err(|error| (0, error))?;
        let count = match self.key_len() {
            0 => return Err((0, MapError::Invalid)),
            key => u32::try_from(keys.len() / key).map_err(|_| (0, MapError::Invalid))?,
        };
        let mut attributes = MapBatch {
            keys: keys.as_ptr() as u64,
            count,
            map_fd: self.as_fd().as_raw_fd() as u32,
            ..MapBatch::default()
        };
        // SAFETY: the kernel reads `count` keys, which the buffer has.
        let result = unsafe { call(Command::MapDeleteBatch, &mut attributes) };
        done(result, &attributes, count)
    }
}

/// The number of entries that a command processed before its error, of `capacity`. If the kernel
/// refuses the whole call, it leaves the count unchanged, as if all entries had been processed.
fn done(
    result: Result<libc::c_long>,
    attributes: &MapBatch,
    capacity: u32,
) -> std::result::Result<(), (usize, MapError)> {
    match result {
        Ok(_) => Ok(()),
        Err(errno) if attributes.count < capacity => Err((attributes.count as usize, errno.into())),
        Err(errno) => Err((0, errno.into())),
    }
}
