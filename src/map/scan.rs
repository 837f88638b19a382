//! A walk over all entries of a map, which returns each entry once even if other processes add and
//! delete entries.
//!
//! A mappable array is read from memory. Types with batches are read in batches, whose buffers grow
//! if a bucket does not fit; other types are read key by key. The kernel may start over if the
//! current key was deleted; for types of which it does, the keys are recorded and the number of
//! steps is limited. A trie is walked until a walk returns no new key.

mod passes;
mod seen;
mod steps;

use bpf_inherit::batch::Cursor;
use bpf_inherit::mmap::Mapped;
use bpf_inherit::{Map, MapError, MapResult};
use passes::TrieWalks;
use seen::SeenKeys;
use steps::{StepBudget, Steps};

/// Entries that are read at a time, if they are small.
const CHUNK: usize = 4096;
/// Bytes of keys and values that are read at a time, if they are large.
const MAX_BYTES: usize = 1 << 20;

/// A walk over a map.
#[derive(Debug)]
pub struct Scan<'m> {
    map: &'m Map,
    method: ScanMethod<'m>,
    keys: Vec<u8>,
    values: Vec<u8>,
    seen: SeenKeys,
    passes: TrieWalks,
    budget: StepBudget,
    keys_only: bool,
    done: bool,
}

#[derive(Debug)]
enum ScanMethod<'m> {
    /// From memory, through the file descriptor of `map`; the next entry has index `next`.
    Memory {
        map: &'m Map,
        next: usize,
    },
    Batch(Cursor<'m>),
    Keys(Steps),
}

/// Several entries: their keys one after the other, and their values in the same order.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    keys: &'a [u8],
    values: &'a [u8],
    key_len: usize,
    value_len: usize,
}

impl<'a> Chunk<'a> {
    /// The number of entries.
    pub fn len(&self) -> usize {
        self.keys.len() / self.key_len
    }

    /// Each key with its value, of `key_len` and `value_len` bytes of the map ([`Map::value_len`]:
    /// in a per-CPU map, the values of all possible CPUs).
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.keys.chunks_exact(self.key_len).zip(self.values.chunks_exact(self.value_len))
    }

    /// All keys, one after the other, of [`Map::key_len`] bytes each.
    pub fn keys(self) -> &'a [u8] {
        self.keys
    }
}

impl<'m> Scan<'m> {
    /// Starts a walk.
    ///
    /// # Errors
    /// [`MapError::Invalid`] for a map without keys.
    pub fn new(map: &'m Map) -> MapResult<Scan<'m>> {
        Scan::with_writable(map, None)
    }

    /// Starts a walk as [`Scan::new`] does. `writable` is a read-write file descriptor of the same
    /// map, which the kernel requires for mapping an array into memory, even for reading.
    pub fn with_writable(map: &'m Map, writable: Option<&'m Map>) -> MapResult<Scan<'m>> {
        if map.key_len() == 0 || map.value_len() == 0 {
            return Err(MapError::Invalid);
        }
        let chunk = (MAX_BYTES / (map.key_len() + map.value_len())).clamp(1, CHUNK);
        let method =
            match [Some(map), writable].into_iter().flatten().find(|map| Scan::can_map(map)) {
                Some(map) => ScanMethod::Memory { map, next: 0 },
                None => ScanMethod::Batch(Cursor::new(map)),
            };
        let info = map.info();
        Ok(Scan {
            map,
            method,
            keys: vec![0; chunk * map.key_len()],
            values: vec![0; chunk * map.value_len()],
            seen: SeenKeys::new_for_batches(info.map_type),
            passes: TrieWalks::default(),
            budget: StepBudget::new(info.max_entries),
            keys_only: false,
            done: false,
        })
    }

    /// Whether the values of `map` can be mapped into memory through its file descriptor.
    pub fn can_map(map: &Map) -> bool {
        Mapped::part(map, 0, 1, false).is_ok()
    }

    /// Includes entries whose values cannot be read: the bytes of these values have no meaning.
    pub fn keys_only(self) -> Scan<'m> {
        Scan { keys_only: true, ..self }
    }

    /// The next entries; None at the end.
    ///
    /// # Errors
    /// EAGAIN if the map changes so fast that the kernel started over repeatedly: entries may be
    /// missing. [`MapError::Denied`] if the file descriptor is write-only; other errors of bpf(2) unchanged.
    pub fn next(&mut self) -> MapResult<Option<Chunk<'_>>> {
        while !self.done {
            let count = match self.read() {
                // No batches for this type.
                Err(MapError::Unsupported(_)) if matches!(self.method, ScanMethod::Batch(_)) => {
                    self.switch_to_keys();
                    continue;
                }
                // A bucket that does not fit.
                Err(MapError::NoRoom) if matches!(self.method, ScanMethod::Batch(_)) => {
                    self.keys.resize(self.keys.len() * 2, 0);
                    self.values.resize(self.values.len() * 2, 0);
                    continue;
                }
                count => count?,
            };
            if count > 0 {
                let (key_len, value_len) = (self.map.key_len(), self.map.value_len());
                let (keys, values) =
                    (&self.keys[..count * key_len], &self.values[..count * value_len]);
                return Ok(Some(Chunk { keys, values, key_len, value_len }));
            }
        }
        Ok(None)
    }

    /// Continues key by key.
    fn switch_to_keys(&mut self) {
        self.method = ScanMethod::Keys(Steps::default());
        let info = self.map.info();
        self.seen.track_steps(info.map_type);
        self.budget = StepBudget::new(info.max_entries);
    }

    /// Fills the buffers; returns the number of entries in them.
    fn read(&mut self) -> MapResult<usize> {
        let (key_len, value_len) = (self.map.key_len(), self.map.value_len());
        match &mut self.method {
            ScanMethod::Memory { map, next } => {
                let left = map.info().max_entries as usize - *next;
                let (first, count) = (*next, left.min(self.keys.len() / key_len));
                let mapped = Mapped::part(map, first, count, false)?;
                (*next, self.done) = (first + count, count == left);
                let stride = mapped.stride();
                self.values.resize(count * stride, 0);
                mapped.read(0, &mut self.values)?;
                for (at, key) in self.keys.chunks_exact_mut(key_len).take(count).enumerate() {
                    key.copy_from_slice(&((first + at) as u32).to_ne_bytes());
                }
                if stride != value_len {
                    pack(&mut self.values, stride, value_len, 0..count);
                }
                Ok(count)
            }
            ScanMethod::Batch(cursor) => {
                let batch = cursor.lookup(&mut self.keys, &mut self.values, false)?;
                if !self.seen.can_repeat() {
                    self.done = batch.end;
                    return Ok(batch.count);
                }
                // Only if the kernel can start over: a walk over buckets needs no limit.
                if !self.budget.take(batch.count.max(1)) && !batch.end {
                    self.switch_to_keys();
                }
                let fresh = self.remove_repeated(batch.count);
                self.passes.add(batch.count, fresh);
                if batch.end {
                    self.done = self.passes.finish(self.seen.len());
                    self.method = ScanMethod::Batch(Cursor::new(self.map));
                }
                Ok(fresh)
            }
            ScanMethod::Keys(steps) => {
                let (key, value) = (&mut self.keys[..key_len], &mut self.values[..value_len]);
                let next_key = |from: Option<&[u8]>, next: &mut [u8]| self.map.next_key(from, next);
                if !steps.next(next_key, &mut self.seen, &mut self.budget, key)? {
                    self.done = true;
                    return Ok(0);
                }
                // A key that was deleted since, and an empty slot, are skipped.
                match self.map.lookup(key, value) {
                    Ok(found) => Ok(usize::from(found)),
                    // A sockhash has keys, and socket cookies only if a value has 8 bytes.
                    Err(MapError::NoRoom | MapError::Unsupported(_))
                        if self.keys_only && self.seen.can_repeat() =>
                    {
                        Ok(1)
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// Removes those of the first `count` entries that were returned before.
    fn remove_repeated(&mut self, count: usize) -> usize {
        let (key_len, value_len) = (self.map.key_len(), self.map.value_len());
        let mut kept = 0;
        for at in 0..count {
            if self.seen.add(&self.keys[at * key_len..][..key_len]) {
                self.keys.copy_within(at * key_len..(at + 1) * key_len, kept * key_len);
                self.values.copy_within(at * value_len..(at + 1) * value_len, kept * value_len);
                kept += 1;
            }
        }
        kept
    }
}

/// Removes the padding between pieces of `len` bytes, one every `stride` bytes.
fn pack(bytes: &mut [u8], stride: usize, len: usize, pieces: std::ops::Range<usize>) {
    for at in pieces {
        bytes.copy_within(at * stride..at * stride + len, at * len);
    }
}
