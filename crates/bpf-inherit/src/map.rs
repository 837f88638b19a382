//! The entries of one map, by bpf(2), with buffers checked against the map's sizes.

use crate::attribute::{Command, MapElem, call, present};
use crate::bpf::{MapInfo, MapSpec, map_create, map_info};
use crate::cpus::possible_cpus;
use crate::fd::{self, FdType};
use crate::{AccessMode, Errno, MapError, MapResult, ObjectKind, Result};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

/// Bytes of one CPU's value in memory, and of an entry of an array: the kernel rounds both up to
/// 8, and value_size does not include that.
pub(crate) fn round_up(value_size: u32) -> usize {
    (value_size as usize).next_multiple_of(8)
}

/// A file descriptor of a map, with what the kernel reports about the map.
///
/// Every method that reads or writes values holds the spin lock of the value, if the value has one
/// (`BPF_F_LOCK`).
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    info: MapInfo,
    /// See [`Map::lock_flag`].
    pub(crate) lock: OnceLock<u64>,
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Map> for OwnedFd {
    fn from(map: Map) -> OwnedFd {
        map.fd
    }
}

impl Map {
    /// Takes ownership of a map's file descriptor.
    ///
    /// # Errors
    /// EINVAL if the file descriptor is not a map ([`Map::identify`] returns its type); it is
    /// closed.
    pub fn new(fd: OwnedFd) -> Result<Map> {
        Map::identify(fd)?.map_err(|_| Errno::EINVAL)
    }

    /// Creates a map. It exists as long as it is open or pinned.
    pub fn create(spec: &MapSpec) -> Result<Map> {
        let fd = map_create(spec)?;
        let info = map_info(fd.as_fd())?;
        Ok(Map { fd, info, lock: OnceLock::new() })
    }

    /// Takes ownership of a file descriptor; if it is not a map, closes it and returns its type.
    pub fn identify(fd: OwnedFd) -> Result<std::result::Result<Map, FdType>> {
        match fd::fd_type(fd.as_fd())? {
            FdType::Object(ObjectKind::Map) => {
                let info = map_info(fd.as_fd())?;
                Ok(Ok(Map::with_info(fd, info)))
            }
            other => Ok(Err(other)),
        }
    }

    /// A map that the kernel has just described: the sizes of its entries depend on that.
    pub(crate) fn with_info(fd: OwnedFd, info: MapInfo) -> Map {
        Map { fd, info, lock: OnceLock::new() }
    }

    /// The same map, through another file descriptor.
    pub fn duplicate(&self) -> Result<Map> {
        let fd = self.fd.try_clone().map_err(crate::errno)?;
        Ok(Map::with_info(fd, self.info.clone()))
    }

    /// What the kernel reported when the map was opened.
    pub fn info(&self) -> &MapInfo {
        &self.info
    }

    /// The access mode of the file descriptor.
    pub fn access_mode(&self) -> Result<AccessMode> {
        fd::access_mode(self.as_fd())
    }

    /// Bytes of a key; 0 for a map without keys.
    pub fn key_len(&self) -> usize {
        self.info.key_size as usize
    }

    /// Bytes that a lookup writes and an update reads: in a per-CPU map the values of all possible
    /// CPUs; 0 if the number of CPUs cannot be determined.
    pub fn value_len(&self) -> usize {
        match self.info.map_type.is_per_cpu() {
            true => self.stride() * possible_cpus().map_or(0, <[u32]>::len),
            false => self.stride(),
        }
    }

    /// Bytes from one CPU's value to the next in a per-CPU map; of other maps, bytes of a value.
    pub fn stride(&self) -> usize {
        match self.info.map_type.is_per_cpu() {
            true => round_up(self.info.value_size),
            false => self.info.value_size as usize,
        }
    }

    /// The range of bytes, in an entry of a per-CPU map, that the value of the CPU at `index` of
    /// [`Map::cpus`] has.
    pub fn slot(&self, index: usize) -> Range<usize> {
        let start = index * self.stride();
        start..start + self.info.value_size as usize
    }

    /// Copies the value of `key` into `value`; false if the key is missing.
    ///
    /// # Errors
    /// [`MapError::Invalid`] unless the buffers have [`Map::key_len`] and [`Map::value_len`] bytes;
    /// [`MapError::Denied`] if the file descriptor is write-only.
    pub fn lookup(&self, key: &[u8], value: &mut [u8]) -> MapResult<bool> {
        self.check_sizes(key, value.len())?;
        let mut attributes = self.element(key, value.as_mut_ptr() as u64, self.lock_flag()?);
        // SAFETY: both pointers refer to at least as many bytes as the map's sizes.
        present(unsafe { call(Command::MapLookupElem, &mut attributes) }).map_err(MapError::from)
    }

    /// Writes `value` at `key`; `flags` are BPF_ANY (0), BPF_NOEXIST (1) or BPF_EXIST (2).
    ///
    /// # Errors
    /// As for [`Map::lookup`]; [`MapError::Denied`] if the file descriptor is read-only or the map is
    /// frozen; [`MapError::PastEnd`] if the map is full or the index is too large;
    /// [`MapError::Exists`] and [`MapError::Missing`] by `flags`.
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> MapResult<()> {
        self.check_sizes(key, value.len())?;
        let mut attributes = self.element(key, value.as_ptr() as u64, flags | self.lock_flag()?);
        // SAFETY: both pointers refer to at least as many bytes as the map's sizes.
        unsafe { call(Command::MapUpdateElem, &mut attributes) }?;
        Ok(())
    }

    /// Deletes the entry of `key`; false if the key is missing.
    pub fn delete(&self, key: &[u8]) -> MapResult<bool> {
        self.check_sizes(key, self.value_len())?;
        let mut attributes = self.element(key, 0, 0);
        // SAFETY: key has as many bytes as the map's key size.
        present(unsafe { call(Command::MapDeleteElem, &mut attributes) }).map_err(MapError::from)
    }

    /// Writes the key after `key`, or the first key, to `next`; false at the end. If `key` is
    /// missing, the kernel returns the first key.
    pub fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> MapResult<bool> {
        self.check_sizes(key.unwrap_or(next), self.value_len())?;
        self.check_sizes(next, self.value_len())?;
        let mut attributes = self.element(key.unwrap_or_default(), next.as_mut_ptr() as u64, 0);
        // SAFETY: both pointers refer to as many bytes as the map's key size, or are null.
        present(unsafe { call(Command::MapGetNextKey, &mut attributes) }).map_err(MapError::from)
    }

    /// Removes the next value from a queue or a stack, or the entry of `key` from a hash, and
    /// writes the value to `value`; false if the queue is empty or the key is missing.
    pub fn take(&self, key: &[u8], value: &mut [u8]) -> MapResult<bool> {
        self.check_sizes(key, value.len())?;
        let mut attributes = self.element(key, value.as_mut_ptr() as u64, self.lock_flag()?);
        // SAFETY: both pointers refer to as many bytes as the map's sizes, or are null.
        present(unsafe { call(Command::MapLookupAndDeleteElem, &mut attributes) })
            .map_err(MapError::from)
    }

    /// Makes the map read-only for bpf(2), permanently.
    ///
    /// # Errors
    /// EBUSY while the map is mapped for writing, or if it is already frozen.
    pub fn freeze(&self) -> MapResult<()> {
        // SAFETY: no pointers.
        unsafe { call(Command::MapFreeze, &mut self.element(&[], 0, 0)) }?;
        Ok(())
    }

    /// The keys and values of the map, one after the other, in the map's order.
    ///
    /// Other processes and programs may change the map at the same time: an entry that is deleted
    /// before it is read is skipped, and if it was the current one, the kernel continues at the
    /// start of a hash, so that entries are returned again. The iterator ends after `max_entries`
    /// entries in any case.
    pub fn entries(&self) -> Entries<'_> {
        // For cgroup storage, max_entries is 0. The kernel does not restart a walk over it.
        let left = if self.info.max_entries == 0 { u32::MAX } else { self.info.max_entries };
        Entries { map: self, key: None, left }
    }

    /// An error if the sizes of the map's entries are uncertain: the kernel reads and writes as
    /// many bytes as the map type requires, whatever the size of the buffer.
    pub(crate) fn check_known(&self) -> MapResult<()> {
        if !self.info.map_type.is_known() {
            // Entries of an unknown type may be larger than value_size, as entries of per-CPU maps
            // are.
            return Err(MapError::Unsupported(Errno::EOPNOTSUPP));
        }
        if self.info.map_type.is_per_cpu() {
            self.cpus().map_err(|_| Errno::EIO)?;
        }
        Ok(())
    }

    /// An error unless the kernel reads and writes keys and values of exactly these lengths.
    fn check_sizes(&self, key: &[u8], value_len: usize) -> MapResult<()> {
        self.check_known()?;
        let right = key.len() == self.key_len() && value_len == self.value_len();
        if right { Ok(()) } else { Err(MapError::Invalid) }
    }

    pub(crate) fn element(&self, key: &[u8], value: u64, flags: u64) -> MapElem {
        // A map without keys requires a null pointer.
        let key = if key.is_empty() { 0 } else { key.as_ptr() as u64 };
        MapElem { map_fd: self.fd.as_raw_fd() as u32, padding: 0, key, value, flags }
    }
}

/// See [`Map::entries`].
#[derive(Debug)]
pub struct Entries<'m> {
    map: &'m Map,
    key: Option<Vec<u8>>,
    left: u32,
}

impl Iterator for Entries<'_> {
    type Item = MapResult<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut value = vec![0; self.map.value_len()];
        while self.left > 0 {
            self.left -= 1;
            let mut next = vec![0; self.map.key_len()];
            let found = match self.map.next_key(self.key.as_deref(), &mut next) {
                Ok(true) => self.map.lookup(&next, &mut value),
                Ok(false) => break,
                Err(error) => Err(error),
            };
            match found {
                Ok(found) => {
                    self.key = Some(next.clone());
                    if found {
                        return Some(Ok((next, value)));
                    }
                }
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            }
        }
        self.left = 0;
        None
    }
}
