//! The possible CPUs, and the index of each CPU's value in an entry of a per-CPU map.

use bpf_inherit::Map;
use bpf_inherit::cpus::CpusError;

/// The CPUs that the kernel may ever bring up, by ascending number.
///
/// The kernel copies one value for each of them, in this order and without gaps
/// (`bpf_percpu_array_copy` in `kernel/bpf/arraymap.c`). If the list has holes, as `0-3,8`, the
/// number of a CPU is not the index of its value: CPU 8 is the fifth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus(&'static [u32]);

impl Cpus {
    /// The CPUs of a per-CPU map.
    pub fn read(map: &Map) -> Result<Cpus, CpusError> {
        map.cpus().map(Cpus)
    }

    /// Their numbers, in ascending order.
    pub fn numbers(&self) -> &'static [u32] {
        self.0
    }

    /// The index of the value of CPU `number`; None if the CPU is not possible.
    pub fn index_of(&self, number: u32) -> Option<usize> {
        self.0.binary_search(&number).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_of_a_cpu_is_its_rank() {
        // 0-2,8: a list with a hole.
        let cpus = Cpus(&[0, 1, 2, 8]);
        for (number, place) in [(0, Some(0)), (2, Some(2)), (8, Some(3)), (3, None), (9, None)] {
            assert_eq!(cpus.index_of(number), place, "{number}");
        }
    }
}
