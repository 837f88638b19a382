//! Elements into the map: in batches where the type has them, one by one where it does not.

use super::elements::Elements;
use super::progress::Progress;
use crate::cli::map::change::Condition;
use crate::cli::map::cpus::Placement;
use crate::cli::map::reference::Target;
use crate::error::Error;
use crate::map::kind::Kind;
use crate::map::scan::Scan;
use crate::sys::Errno;
use crate::sys::elem::MapFd;
use anyhow::bail;
use std::collections::HashSet;

/// Elements, and bytes of values, that go into one call.
const BATCH: usize = 4096;
const BATCH_BYTES: usize = 1 << 20;
/// BPF_ANY, BPF_NOEXIST.
const ANY: u64 = 0;
const NOEXIST: u64 = 1;

/// Writes to one map, and counts.
pub struct Writer<'t> {
    target: &'t Target,
    placement: Placement,
    /// False once the kernel has refused, and where a batch would not do what is asked.
    batches: bool,
    flags: u64,
    pub written: usize,
    /// Elements that were there already and were kept, with `--if-absent`.
    pub kept: usize,
    scratch: Vec<u8>,
}

/// The element that the kernel did not take, and why.
pub struct Refused {
    pub element: usize,
    pub error: anyhow::Error,
}

impl<'t> Writer<'t> {
    pub fn new(target: &'t Target, placement: Placement, if_absent: bool) -> Writer<'t> {
        let map = &target.map;
        // In a batch BPF_NOEXIST is EINVAL; a map without keys has no batches.
        let batches = !if_absent && map.key_len() > 0;
        let flags = if if_absent { NOEXIST } else { ANY };
        Writer { target, placement, batches, flags, written: 0, kept: 0, scratch: Vec::new() }
    }

    /// Writes all elements, in their order; tells `progress`, if they are all there are.
    pub fn write(
        &mut self,
        all: &Elements,
        mut progress: Option<&mut Progress>,
    ) -> Result<(), Refused> {
        let batch = (BATCH_BYTES / self.target.map.value_len().max(1)).clamp(1, BATCH);
        let mut at = 0;
        while at < all.len() {
            let count = batch.min(all.len() - at);
            match self.placement.keeps_others() {
                true => self.change(all, at, count)?,
                false => self.some(all, at, count)?,
            }
            at += count;
            if let Some(progress) = &mut progress {
                progress.step("writing", at as u64, Some(all.len() as u64));
            }
        }
        Ok(())
    }

    /// Writes `count` elements from the one at `first` on, and counts what was done.
    fn some(&mut self, all: &Elements, first: usize, count: usize) -> Result<(), Refused> {
        let map = &self.target.map;
        let refused = |element, errno| {
            Err(Refused { element, error: self.target.cannot_write("load", errno).into() })
        };
        let values = all.values(first, count, &mut self.scratch);
        if self.batches {
            match map.update_batch(all.keys(first, count), values, ANY) {
                Ok(()) => {
                    self.written += count;
                    return Ok(());
                }
                Err((0, Errno::UnknownErrno | Errno::EOPNOTSUPP)) => self.batches = false,
                Err((done, errno)) => {
                    self.written += done;
                    return refused(first + done, errno);
                }
            }
        }
        for (i, value) in values.chunks_exact(map.value_len()).enumerate() {
            match map.update(all.keys(first + i, 1), value, self.flags) {
                Ok(()) => self.written += 1,
                Err(Errno::EEXIST) if self.flags == NOEXIST => self.kept += 1,
                Err(errno) => return refused(first + i, errno),
            }
        }
        Ok(())
    }

    /// Reads each element, changes one CPU's value, and writes it back.
    fn change(&mut self, all: &Elements, first: usize, count: usize) -> Result<(), Refused> {
        let condition = if self.flags == NOEXIST { Condition::Absent } else { Condition::Any };
        for element in first..first + count {
            let changed = self.target.change("load", all.keys(element, 1), condition, |value| {
                all.put(element, value);
                Ok(())
            });
            match changed.map_err(|error| Refused { element, error })? {
                true => self.written += 1,
                false => self.kept += 1,
            }
        }
        Ok(())
    }
}

/// Removes every element whose key is not in `all`; those that cannot be removed become zero.
pub fn remove_others(target: &Target, all: &Elements) -> anyhow::Result<()> {
    let map = &target.map;
    let (kind, key_len) = (Kind(map.info().kind), map.key_len());
    let trie = kind == Kind::LPM_TRIE;
    let canonical = |key: &[u8]| -> Box<[u8]> {
        let mut key: Box<[u8]> = key.into();
        if trie {
            mask(&mut key);
        }
        key
    };
    let kept: HashSet<Box<[u8]>> =
        all.keys(0, all.len()).chunks_exact(key_len).map(canonical).collect();
    let room = map.info().max_entries;
    // Storage has no such number: it is 0.
    if room > 0 && kept.len() > room as usize && !kind.evicts() {
        bail!("{}: {} keys, where the map has room for {room}", target.label, kept.len());
    }
    let failed = |errno| anyhow::Error::from(target.cannot_write("remove", errno));
    let mut others = Vec::new();
    let unread = |errno| Error::new(&target.label, "read", errno);
    let mut scan = Scan::new(map).map_err(unread)?;
    while let Some(chunk) = scan.next().map_err(unread)? {
        let keys = chunk.keys().chunks_exact(key_len);
        others.extend(keys.filter(|key| !kept.contains(&canonical(key))).flatten());
    }
    drop(scan);
    if kind.keeps_elements() {
        let zeros = vec![0; map.value_len()];
        let zero = |key: &[u8]| map.update(key, &zeros, ANY);
        return others.chunks_exact(key_len).try_for_each(zero).map_err(failed);
    }
    delete(map, &others).map_err(failed)
}

/// Deletes the elements of all `keys`; that somebody else was faster is no error.
fn delete(map: &MapFd, mut keys: &[u8]) -> Result<(), Errno> {
    let key_len = map.key_len();
    while !keys.is_empty() {
        let some = &keys[..keys.len().min(BATCH * key_len)];
        let done = match map.delete_batch(some) {
            Ok(()) => some.len(),
            Err((done, Errno::ENOENT)) => (done + 1) * key_len,
            Err((0, Errno::UnknownErrno | Errno::EOPNOTSUPP)) => {
                return keys.chunks_exact(key_len).try_for_each(|key| map.delete(key).map(drop));
            }
            Err((_, errno)) => return Err(errno),
        };
        keys = &keys[done..];
    }
    Ok(())
}

/// Clears the bits of a trie's key that are beyond its prefix: the kernel keeps them, and
/// does not tell keys apart by them.
fn mask(key: &mut [u8]) {
    let Some((length, data)) = key.split_first_chunk_mut::<4>() else { return };
    let bits = u32::from_ne_bytes(*length) as usize;
    for (i, byte) in data.iter_mut().enumerate() {
        let kept = bits.saturating_sub(i * 8).min(8) as u32;
        *byte &= !(0xffu8.checked_shr(kept).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn keys_of_one_prefix_are_one_key() {
        for (bits, want) in [
            (0u32, [0, 0, 0, 0]),
            (1, [0x80, 0, 0, 0]),
            (8, [0xff, 0, 0, 0]),
            (12, [0xff, 0xf0, 0, 0]),
            (32, [0xff; 4]),
            (u32::MAX, [0xff; 4]),
        ] {
            let mut key = [&bits.to_ne_bytes()[..], &[0xff; 4]].concat();
            mask(&mut key);
            assert_eq!(key[4..], want, "{bits}");
        }
    }
}
