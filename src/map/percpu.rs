//! The possible CPUs, and the index of each CPU's value in an entry of a per-CPU map.

use bpf_inherit::Map;
use bpf_inherit::cpus::CpusError;

/// The CPUs that the kernel may ever bring up, by ascending number.
///
/// The kernel copies one value for each of them, in this order and without gaps
/// (`bpf_percpu_array_copy` in `kernel/bpf/arraymap.c`). If the list has holes, as `0-3,8`, the
/// number of a CPU is not the index of its value: the value of CPU 8 has index 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PossibleCpus(&'static [u32]);

impl PossibleCpus {
    /// Determines the CPUs that have values in an entry of `map`, a per-CPU map.
    ///
    /// # Errors
    /// If the kernel's lists of possible CPUs are hidden, or if an entry of the map has another
    /// number of values, or cannot be compared.
    pub fn read(map: &Map) -> Result<PossibleCpus, CpusError> {
        map.cpus().map(PossibleCpus)
    }

    /// The numbers of the CPUs, in ascending order.
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
        let cpus = PossibleCpus(&[0, 1, 2, 8]);
        for (number, index) in [(0, Some(0)), (2, Some(2)), (8, Some(3)), (3, None), (9, None)] {
            assert_eq!(cpus.index_of(number), index, "{number}");
        }
    }
}
