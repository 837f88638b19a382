//! bpf(2) on the elements of one map, with buffers checked against its sizes.

use super::bpf::{self, MapInfo};
use super::cpus::{CpusError, confirmed_cpus, possible_cpus};
use super::fd;
use super::{Errno, Result};
use aya_obj::generated::{bpf_attr, bpf_cmd};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

/// BPF_MAP_TYPE_ARENA, the last type whose elements are known to be as the sizes say.
const LAST_KIND: u32 = 33;

/// Whether a type of `enum bpf_map_type` has one value for each CPU in an element.
pub fn is_per_cpu(kind: u32) -> bool {
    matches!(kind, 5 | 6 | 10 | 21)
}

/// Bytes that one CPU's value takes, and in memory an element of an array: the kernel rounds
/// both up to 8, and value_size does not say so.
pub(super) fn round_up(value_size: u32) -> usize {
    (value_size as usize).next_multiple_of(8)
}

/// A descriptor that is known to be a map, with what the kernel tells of it.
#[derive(Debug)]
pub struct MapFd {
    fd: OwnedFd,
    info: MapInfo,
    /// See [`MapFd::lock_flag`].
    pub(super) lock: OnceLock<u64>,
}

impl AsFd for MapFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<MapFd> for OwnedFd {
    fn from(map: MapFd) -> OwnedFd {
        map.fd
    }
}

impl MapFd {
    /// Takes a descriptor that should be a map. EINVAL, and the descriptor closed,
    /// where it is something else: [`MapFd::identify`] says what.
    pub fn new(fd: OwnedFd) -> Result<MapFd> {
        MapFd::identify(fd)?.map_err(|_| Errno::EINVAL)
    }

    /// Takes a descriptor that may be a map, or says what else it is, and closes it.
    pub fn identify(fd: OwnedFd) -> Result<std::result::Result<MapFd, fd::Kind>> {
        let info = match describe(fd.as_fd())? {
            Ok(info) => info,
            Err(other) => return Ok(Err(other)),
        };
        Ok(Ok(MapFd { fd, info, lock: OnceLock::new() }))
    }

    pub fn info(&self) -> &MapInfo {
        &self.info
    }

    /// Bytes of a key; 0 for a map without keys.
    pub fn key_len(&self) -> usize {
        self.info.key_size as usize
    }

    /// Bytes that a lookup writes and an update reads: in a per-CPU map the values of all
    /// possible CPUs; 0 if their number cannot be determined.
    pub fn value_len(&self) -> usize {
        match is_per_cpu(self.info.kind) {
            true => self.stride() * possible_cpus().map_or(0, <[u32]>::len),
            false => self.stride(),
        }
    }

    /// Bytes from one CPU's value to the next in a per-CPU map; of other maps, bytes of a value.
    pub fn stride(&self) -> usize {
        match is_per_cpu(self.info.kind) {
            true => round_up(self.info.value_size),
            false => self.info.value_size as usize,
        }
    }

    /// The bytes of an element that are the value of the CPU at `place` among the possible ones.
    pub fn slot(&self, place: usize) -> Range<usize> {
        let start = place * self.stride();
        start..start + self.info.value_size as usize
    }

    /// Copies the value of `key` into `value`; false if there is none. Like every method that reads or
    /// writes values, it holds the value's spin lock meanwhile, if the value has one.
    pub fn lookup(&self, key: &[u8], value: &mut [u8]) -> Result<bool> {
        self.fits(key, value.len())?;
        let mut attr = self.attr(key, value.as_mut_ptr() as u64, self.lock_flag()?);
        // SAFETY: both pointers lead to at least as many bytes as the map's sizes.
        present(unsafe { bpf::call(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr) })
    }

    /// Writes `value` at `key`; `flags` are BPF_ANY (0), BPF_NOEXIST (1) or BPF_EXIST (2).
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<()> {
        self.fits(key, value.len())?;
        let mut attr = self.attr(key, value.as_ptr() as u64, flags | self.lock_flag()?);
        // SAFETY: both pointers lead to at least as many bytes as the map's sizes.
        unsafe { bpf::call(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr) }.map(drop)
    }

    /// Deletes the element of `key`; false where there is none.
    pub fn delete(&self, key: &[u8]) -> Result<bool> {
        self.fits(key, self.value_len())?;
        let mut attr = self.attr(key, 0, 0);
        // SAFETY: key leads to as many bytes as the map's key size.
        present(unsafe { bpf::call(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attr) })
    }

    /// Puts the key after `key`, or the first one, into `next`; false at the end. After
    /// a key that is gone the kernel starts at the first one again.
    pub fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<bool> {
        self.fits(key.unwrap_or(next), self.value_len())?;
        self.fits(next, self.value_len())?;
        let mut attr = self.attr(key.unwrap_or_default(), next.as_mut_ptr() as u64, 0);
        // SAFETY: both pointers lead to as many bytes as the map's key size, or are null.
        present(unsafe { bpf::call(bpf_cmd::BPF_MAP_GET_NEXT_KEY, &mut attr) })
    }

    /// Takes the next value out of a queue or a stack, or, with its key, out of a hash;
    /// false where there is none.
    pub fn take(&self, key: &[u8], value: &mut [u8]) -> Result<bool> {
        self.fits(key, value.len())?;
        let mut attr = self.attr(key, value.as_mut_ptr() as u64, self.lock_flag()?);
        // SAFETY: both pointers lead to as many bytes as the map's sizes, or are null.
        present(unsafe { bpf::call(bpf_cmd::BPF_MAP_LOOKUP_AND_DELETE_ELEM, &mut attr) })
    }

    /// Makes the map read-only for bpf(2), for ever; EBUSY while it is mapped for writing.
    pub fn freeze(&self) -> Result<()> {
        let mut attr = self.attr(&[], 0, 0);
        // SAFETY: no pointers.
        unsafe { bpf::call(bpf_cmd::BPF_MAP_FREEZE, &mut attr) }.map(drop)
    }

    /// An error unless the sizes of this map's elements are known for certain: the kernel
    /// reads and writes as many bytes as it sees fit.
    pub(super) fn known(&self) -> Result<()> {
        if self.info.kind > LAST_KIND {
            // Its elements may be larger than value_size says, as those of per-CPU maps are.
            return Err(Errno::EOPNOTSUPP);
        }
        if is_per_cpu(self.info.kind) {
            self.cpus().map_err(|_| Errno::EIO)?;
        }
        Ok(())
    }

    /// The numbers of the CPUs that have values in an element of this per-CPU map, in its order.
    pub fn cpus(&self) -> std::result::Result<&'static [u32], CpusError> {
        confirmed_cpus(self)
    }

    /// An error unless a key and a value of these lengths are what the kernel reads and writes.
    fn fits(&self, key: &[u8], value_len: usize) -> Result<()> {
        self.known()?;
        let right = key.len() == self.key_len() && value_len == self.value_len();
        if right { Ok(()) } else { Err(Errno::EINVAL) }
    }

    pub(super) fn attr(&self, key: &[u8], value: u64, flags: u64) -> bpf_attr {
        // SAFETY: bpf_attr is a union of integers, for which all zeroes is valid.
        let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
        attr.__bindgen_anon_2.map_fd = self.fd.as_raw_fd() as u32;
        // A map without keys wants a null pointer.
        attr.__bindgen_anon_2.key = if key.is_empty() { 0 } else { key.as_ptr() as u64 };
        attr.__bindgen_anon_2.__bindgen_anon_1.value = value;
        attr.__bindgen_anon_2.flags = flags;
        attr
    }
}

/// What the kernel tells of the map behind `fd`, or what that is instead.
pub fn describe(fd: BorrowedFd) -> Result<std::result::Result<MapInfo, fd::Kind>> {
    match fd::kind(fd)? {
        fd::Kind::Map => bpf::map_info(fd).map(Ok),
        other => Ok(Err(other)),
    }
}

fn present(result: Result<libc::c_long>) -> Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}
