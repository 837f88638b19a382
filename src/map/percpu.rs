//! The possible CPUs, and where each one's value stands in an element of a per-CPU map.

use crate::sys::Result;
use crate::sys::elem::possible_cpus;
use std::ops::Range;

/// The CPUs that the kernel may ever bring up, by rising number.
///
/// The kernel copies one value for each of them, in this order and without gaps
/// (`bpf_percpu_array_copy` in `kernel/bpf/arraymap.c`). So where the list has holes, as
/// `0-3,8`, a CPU's number is not its place: CPU 8 is the fifth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus(Vec<u32>);

impl Cpus {
    /// Asks the kernel, see [`possible_cpus`].
    pub fn possible() -> Result<Cpus> {
        possible_cpus().map(|cpus| Cpus(cpus.to_vec()))
    }

    /// Their numbers, rising.
    pub fn numbers(&self) -> &[u32] {
        &self.0
    }

    /// The place of CPU `number` among the values; None where it is not possible.
    pub fn place(&self, number: u32) -> Option<usize> {
        self.0.binary_search(&number).ok()
    }
}

/// Bytes from one CPU's value to the next.
pub fn stride(value_size: u32) -> usize {
    // The kernel rounds each CPU's slot up to 8 bytes; value_size does not say so.
    (value_size as usize).next_multiple_of(8)
}

/// Where the value at `place` stands in an element's bytes, without what it is rounded up by.
pub fn slot(place: usize, value_size: u32) -> Range<usize> {
    let start = place * stride(value_size);
    start..start + value_size as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpus_place_is_its_rank_and_its_value_stands_on_a_multiple_of_8() {
        // As of 0-2,8: a list with a hole.
        let cpus = Cpus(vec![0, 1, 2, 8]);
        for (number, place) in [(0, Some(0)), (2, Some(2)), (8, Some(3)), (3, None), (9, None)] {
            assert_eq!(cpus.place(number), place, "{number}");
        }
        assert_eq!((stride(1), stride(8), stride(12)), (8, 8, 16));
        assert_eq!((slot(0, 12), slot(3, 12)), (0..12, 48..60));
    }
}
