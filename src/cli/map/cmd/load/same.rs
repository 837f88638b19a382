//! Checks whether a map has the value of an element already, by the bytes that a write would change.

use super::elements::Elements;
use crate::cli::map::target::Target;
use crate::cli::map::target::cpus::Placement;
use bpf_inherit::Map;
use std::ops::Range;

/// Compares values with those in a map.
pub struct Same<'t> {
    map: &'t Map,
    placement: Placement,
    /// The bytes of a value that belong to the kernel, which a write does not change.
    kernel: Vec<Range<usize>>,
    scratch: Vec<u8>,
}

impl<'t> Same<'t> {
    pub fn new(target: &'t Target, placement: Placement) -> Same<'t> {
        let kernel = target.layout.value.kernel_bytes();
        Same { map: &target.map, placement, kernel, scratch: Vec::new() }
    }

    /// Whether writing an element would not change `old`, the whole value in the map.
    pub fn is_there(&mut self, all: &Elements, element: usize, old: &[u8]) -> bool {
        let mut new = std::mem::take(&mut self.scratch);
        new.clear();
        all.append(element, &mut new);
        let same = self
            .written()
            .all(|place| self.is_same(&new[self.map.slot(place)], &old[self.map.slot(place)]));
        self.scratch = new;
        same
    }

    /// Whether setting an element to zero would not change `value`, the whole value in the map.
    pub fn is_zero(&self, value: &[u8]) -> bool {
        let zero = |from: &[u8]| from.iter().all(|byte| *byte == 0);
        self.written().all(|place| {
            let value = &value[self.map.slot(place)];
            zero(value) || self.parts(value.len()).all(|part| zero(&value[part]))
        })
    }

    fn is_same(&self, a: &[u8], b: &[u8]) -> bool {
        a == b || self.parts(a.len()).all(|part| a[part.clone()] == b[part])
    }

    /// The positions of the CPUs' values that are written; the bytes between two values, up to the
    /// stride, have no meaning.
    fn written(&self) -> impl Iterator<Item = usize> {
        let all = 0..self.map.value_len() / self.map.stride().max(1);
        all.filter(|place| self.placement.writes(*place))
    }

    /// The parts of a value between the kernel's bytes.
    fn parts(&self, len: usize) -> impl Iterator<Item = Range<usize>> {
        let starts = [0].into_iter().chain(self.kernel.iter().map(|range| range.end));
        let ends = self.kernel.iter().map(|range| range.start).chain([len]);
        starts.zip(ends).map(|(start, end)| start..end.max(start))
    }
}
