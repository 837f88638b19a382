//! bpf(2) on the elements of one map, with buffers checked against its sizes.

use super::bpf::{self, MapInfo};
use super::fd;
use super::{Errno, Result};
use aya_obj::generated::{bpf_attr, bpf_cmd};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

// `enum bpf_map_type`, those whose elements have one value for each CPU.
const PER_CPU_KINDS: [u32; 4] = [5, 6, 10, 21];

/// A descriptor that is known to be a map, with what the kernel tells of it.
#[derive(Debug)]
pub struct MapFd {
    fd: OwnedFd,
    info: MapInfo,
    value_len: usize,
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
        let value_len = if PER_CPU_KINDS.contains(&info.kind) {
            // The kernel rounds each CPU's slot up to 8 bytes; value_size does not say so.
            (info.value_size as usize).next_multiple_of(8) * possible_cpus()?
        } else {
            // Maps of descriptors exchange a u32, whatever the value's size.
            info.value_size.max(4) as usize
        };
        Ok(Ok(MapFd { fd, info, value_len }))
    }

    pub fn info(&self) -> &MapInfo {
        &self.info
    }

    /// Bytes that a lookup writes and an update reads: at least 4, and in a
    /// per-CPU map all possible CPUs' values, each rounded up to 8.
    pub fn value_len(&self) -> usize {
        self.value_len
    }

    /// Copies the value of `key` into `value`; false where there is none.
    pub fn lookup(&self, key: &[u8], value: &mut [u8]) -> Result<bool> {
        self.fits(key, value.len())?;
        let mut attr = self.attr(key, value.as_mut_ptr() as u64, 0);
        // SAFETY: both pointers lead to at least as many bytes as the map's sizes.
        present(unsafe { bpf::call(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr) })
    }

    /// Writes `value` at `key`; `flags` are BPF_ANY (0), BPF_NOEXIST (1) or BPF_EXIST (2).
    pub fn update(&self, key: &[u8], value: &[u8], flags: u64) -> Result<()> {
        self.fits(key, value.len())?;
        let mut attr = self.attr(key, value.as_ptr() as u64, flags);
        // SAFETY: both pointers lead to at least as many bytes as the map's sizes.
        unsafe { bpf::call(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr) }.map(drop)
    }

    fn fits(&self, key: &[u8], value_len: usize) -> Result<()> {
        let right = key.len() == self.info.key_size as usize && value_len == self.value_len;
        if right { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn attr(&self, key: &[u8], value: u64, flags: u64) -> bpf_attr {
        // SAFETY: bpf_attr is a union of integers, for which all zeroes is valid.
        let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
        attr.__bindgen_anon_2.map_fd = self.fd.as_raw_fd() as u32;
        attr.__bindgen_anon_2.key = key.as_ptr() as u64;
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

/// How many CPUs the kernel may ever bring up, from
/// `/sys/devices/system/cpu/possible`, which holds ranges such as `0-3,8`.
pub fn possible_cpus() -> Result<usize> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible")
        .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    count_ranges(text.trim()).ok_or(Errno::EIO)
}

fn count_ranges(text: &str) -> Option<usize> {
    text.split(',').try_fold(0usize, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

#[cfg(test)]
mod tests {
    use super::count_ranges;

    #[test]
    fn cpu_ranges_are_counted_and_nonsense_is_refused() {
        for (text, want) in [
            ("0", Some(1)),
            ("0-3", Some(4)),
            ("0-3,8", Some(5)),
            ("0,2-3,5-5", Some(4)),
            ("", None),
            ("3-0", None),
            ("x", None),
            ("0-18446744073709551615", None),
        ] {
            assert_eq!(count_ranges(text), want, "{text:?}");
        }
    }
}
