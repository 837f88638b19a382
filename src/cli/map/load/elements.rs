//! Elements that were read and are yet to be written: their bytes, and where they stood.

use crate::sys::elem::MapFd;

/// The value of one line.
pub enum Given<'b> {
    /// One value; in a per-CPU map the first possible CPU's.
    One(&'b [u8]),
    /// Every possible CPU's, as the kernel wants them.
    Each(&'b [u8]),
}

/// Keys and values one after the other, as long as the map's.
pub struct Elements {
    keys: Vec<u8>,
    values: Vec<u8>,
    count: usize,
    key_len: usize,
    /// Bytes of a value in `values`: of one CPU's, until a line gives several. A map on a
    /// machine of many CPUs would else take a hundred times the memory for zeros.
    width: usize,
    /// Bytes of all CPUs' values.
    full: usize,
    /// Where the numbers of lines jump: the number of an element, and of its line.
    jumps: Vec<(usize, usize)>,
}

impl Elements {
    pub fn new(map: &MapFd) -> Elements {
        Elements {
            keys: Vec::new(),
            values: Vec::new(),
            count: 0,
            key_len: map.key_len(),
            width: map.info().value_size as usize,
            full: map.value_len(),
            jumps: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn push(&mut self, key: &[u8], value: Given, line: usize) {
        if self.jumps.is_empty() || self.line(self.count) != line {
            self.jumps.push((self.count, line));
        }
        self.keys.extend_from_slice(key);
        match value {
            Given::One(value) => self.values.extend_from_slice(value),
            Given::Each(values) => {
                self.widen();
                self.values.extend_from_slice(values);
            }
        }
        self.count += 1;
        self.values.resize(self.count * self.width, 0);
    }

    fn widen(&mut self) {
        if self.width < self.full {
            let mut wide = Vec::with_capacity(self.count * self.full);
            self.spread(0, self.count, &mut wide);
            (self.values, self.width) = (wide, self.full);
        }
    }

    fn spread(&self, first: usize, count: usize, into: &mut Vec<u8>) {
        for value in self.values[first * self.width..].chunks_exact(self.width).take(count) {
            into.extend_from_slice(value);
            into.resize(into.len() + self.full - self.width, 0);
        }
    }

    /// The keys of `count` elements from `first` on.
    pub fn keys(&self, first: usize, count: usize) -> &[u8] {
        &self.keys[first * self.key_len..][..count * self.key_len]
    }

    /// Their values, as the kernel wants them; `scratch` is used where they have to be made so.
    pub fn values<'s>(&'s self, first: usize, count: usize, scratch: &'s mut Vec<u8>) -> &'s [u8] {
        if self.width == self.full {
            return &self.values[first * self.full..][..count * self.full];
        }
        scratch.clear();
        self.spread(first, count, scratch);
        scratch
    }

    /// The line that an element stood in.
    pub fn line(&self, element: usize) -> usize {
        let after = self.jumps.partition_point(|(at, _)| *at <= element);
        self.jumps[..after].last().map_or(0, |(at, line)| line + element - at)
    }

    pub fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
        self.jumps.clear();
        self.count = 0;
    }
}
