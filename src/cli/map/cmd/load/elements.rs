//! Elements that were read and are not yet written: their bytes and their lines.

use crate::cli::map::target::cpus::Placement;
use bpf_inherit::Map;
use std::convert::Infallible;

/// The value of one line.
pub enum Given<'b> {
    /// One value; in a per-CPU map, for the CPUs that get it.
    One(&'b [u8]),
    /// The values of all possible CPUs, in the kernel's format.
    Each(&'b [u8]),
}

/// Keys and values, each in one buffer, without gaps.
pub struct Elements<'t> {
    map: &'t Map,
    placement: Placement,
    keys: Vec<u8>,
    values: Vec<u8>,
    count: usize,
    /// The size of one value in `values`: of one CPU's value until a line has the values of all
    /// CPUs. Otherwise copies would take a hundred times the memory on a machine of a hundred CPUs.
    width: usize,
    /// Index and line of each element whose line does not follow the line of the element before it.
    jumps: Vec<(usize, usize)>,
}

impl<'t> Elements<'t> {
    pub fn new(map: &'t Map, placement: Placement) -> Elements<'t> {
        Elements {
            map,
            placement,
            keys: Vec::new(),
            values: Vec::new(),
            count: 0,
            width: map.info().value_size as usize,
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
            Given::One(value) if self.width == value.len() => self.values.extend_from_slice(value),
            Given::One(value) => spread(self.map, self.placement, value, &mut self.values),
            Given::Each(values) => {
                self.widen();
                self.values.extend_from_slice(values);
            }
        }
        self.count += 1;
    }

    fn widen(&mut self) {
        if self.width < self.map.value_len() {
            let mut wide = Vec::with_capacity(self.count * self.map.value_len());
            for one in self.values.chunks_exact(self.width) {
                spread(self.map, self.placement, one, &mut wide);
            }
            (self.values, self.width) = (wide, self.map.value_len());
        }
    }

    /// The keys of `count` elements from `first` on.
    pub fn keys(&self, first: usize, count: usize) -> &[u8] {
        &self.keys[first * self.map.key_len()..][..count * self.map.key_len()]
    }

    /// Appends the whole value of an element: in a per-CPU map, the values of all CPUs.
    pub fn append(&self, element: usize, into: &mut Vec<u8>) {
        let value = &self.values[element * self.width..][..self.width];
        match self.width == self.map.value_len() {
            true => into.extend_from_slice(value),
            false => spread(self.map, self.placement, value, into),
        }
    }

    /// Copies the value of an element into `into`, which has the values of all CPUs, for the CPUs
    /// that the options select.
    pub fn put(&self, element: usize, into: &mut [u8]) {
        let one = &self.values[element * self.width..][..self.map.info().value_size as usize];
        copy(self.map, self.placement, one, into);
    }

    /// The line of an element.
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

/// Appends a whole value: `one` for the CPUs that get it, zeros for the others.
fn spread(map: &Map, placement: Placement, one: &[u8], into: &mut Vec<u8>) {
    let start = into.len();
    into.resize(start + map.value_len(), 0);
    copy(map, placement, one, &mut into[start..]);
}

fn copy(map: &Map, placement: Placement, one: &[u8], element: &mut [u8]) {
    let Ok(()) = placement.each(map, element, |value, given| {
        match given {
            true => value.copy_from_slice(one),
            false => value.fill(0),
        }
        Ok::<(), Infallible>(())
    });
}
