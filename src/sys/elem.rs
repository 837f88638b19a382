//! bpf(2) on the elements of one map, with buffers checked against its sizes.

use super::bpf::{self, MapInfo};
use super::fd;
use super::{Errno, Result, errno};
use aya_obj::generated::{bpf_attr, bpf_cmd};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use nix::sys::statfs::{FsType, fstatfs};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

const SYSFS_MAGIC: FsType = FsType(libc::SYSFS_MAGIC);
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
        Ok(Ok(MapFd { fd, info }))
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
        let mut attr = self.attr(key, value.as_mut_ptr() as u64, 0);
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
            possible_cpus()?;
        }
        Ok(())
    }

    /// An error unless a key and a value of these lengths are what the kernel reads and writes.
    fn fits(&self, key: &[u8], value_len: usize) -> Result<()> {
        self.known()?;
        let right = key.len() == self.key_len() && value_len == self.value_len();
        if right { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn attr(&self, key: &[u8], value: u64, flags: u64) -> bpf_attr {
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

/// The numbers of the CPUs that the kernel may ever bring up, rising, from
/// `/sys/devices/system/cpu/possible`, which holds ranges such as `0-3,8`.
///
/// The kernel writes a value for each of them into a buffer of ours, so the list is believed
/// only where it comes from sysfs itself: EIO, or EXDEV, where something else is mounted there.
pub fn possible_cpus() -> Result<&'static [u32]> {
    static CPUS: OnceLock<Vec<u32>> = OnceLock::new();
    if let Some(cpus) = CPUS.get() {
        return Ok(cpus);
    }
    let sysfs = open("/sys", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    if fstatfs(&sysfs)?.filesystem_type() != SYSFS_MAGIC {
        return Err(Errno::EIO);
    }
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_XDEV);
    let mut file = File::from(openat2(&sysfs, "devices/system/cpu/possible", how)?);
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(errno)?;
    let cpus = parse_ranges(text.trim()).ok_or(Errno::EIO)?;
    Ok(CPUS.get_or_init(|| cpus))
}

fn parse_ranges(text: &str) -> Option<Vec<u32>> {
    let mut cpus = Vec::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        // No kernel has more (NR_CPUS); a wrong list must not cost all memory.
        if last < first || last - first > 1 << 16 {
            return None;
        }
        cpus.extend(first..=last);
    }
    cpus.is_sorted_by(|a, b| a < b).then_some(cpus)
}

#[cfg(test)]
mod tests {
    use super::parse_ranges;

    #[test]
    fn cpu_ranges_become_numbers_and_nonsense_is_refused() {
        for (text, want) in [
            ("0", Some(vec![0])),
            ("0-3", Some(vec![0, 1, 2, 3])),
            ("0-1,8", Some(vec![0, 1, 8])),
            ("", None),
            ("3-0", None),
            ("0,0", None),
            ("x", None),
            ("0-4294967295", None),
        ] {
            assert_eq!(parse_ranges(text), want, "{text:?}");
        }
    }
}
