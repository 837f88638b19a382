//! The possible CPUs, and where each one's value stands in an element of a per-CPU map.

use crate::sys::{Errno, Result};
use std::ops::Range;

/// The CPUs that the kernel may ever bring up, by rising number.
///
/// The kernel copies one value for each of them, in this order and without gaps
/// (`bpf_percpu_array_copy` in `kernel/bpf/arraymap.c`). So where the list has holes, as
/// `0-3,8`, a CPU's number is not its place: CPU 8 is the fifth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus(Vec<u32>);

impl Cpus {
    /// Asks `/sys/devices/system/cpu/possible`.
    pub fn possible() -> Result<Cpus> {
        let text = std::fs::read_to_string("/sys/devices/system/cpu/possible")
            .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
        Cpus::parse(text.trim()).ok_or(Errno::EIO)
    }

    fn parse(text: &str) -> Option<Cpus> {
        let mut cpus = Vec::new();
        for range in text.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            // No kernel has more (NR_CPUS); a wrong file must not cost all memory.
            if last < first || last - first > 1 << 16 {
                return None;
            }
            cpus.extend(first..=last);
        }
        cpus.is_sorted_by(|a, b| a < b).then_some(Cpus(cpus))
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
    fn a_cpus_place_is_its_rank_among_the_possible_ones() {
        for (text, number, place) in [
            ("0", 0, Some(0)),
            ("0", 1, None),
            ("0-3", 3, Some(3)),
            ("0-3,8", 8, Some(4)),
            ("0-3,8", 4, None),
            ("2,4-5", 2, Some(0)),
            ("2,4-5", 5, Some(2)),
            ("2,4-5", 0, None),
        ] {
            let cpus = Cpus::parse(text).unwrap();
            assert_eq!(cpus.place(number), place, "{text} {number}");
        }
        assert_eq!(Cpus::parse("0-2,8").unwrap().numbers(), [0, 1, 2, 8]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "3-0", "x", "0-", "0,0", "4,2", "0-4294967295", "0-18446744073709551615"] {
            assert_eq!(Cpus::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn slots_are_rounded_up_to_8_bytes_and_show_their_value_alone() {
        assert_eq!((stride(4), stride(8), stride(12)), (8, 8, 16));
        assert_eq!(slot(1, 12), 16..28);
    }
}
