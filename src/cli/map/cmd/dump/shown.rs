//! The part of each value that is shown: the sum over all CPUs, the value of one, or each.

use crate::cli::map::target::Target;
use crate::cli::map::target::cpus::CpuSelection;
use crate::output::element::Shown;
use bpf_layout::print::PerCpu;

/// The part of each value that is shown.
pub struct ShownValues {
    cpus: CpuSelection,
    /// Bytes of one CPU's value; None if there is one value for all CPUs.
    stride: Option<usize>,
}

impl ShownValues {
    pub fn new(target: &Target, cpus: CpuSelection) -> ShownValues {
        let stride = target.is_per_cpu().then(|| target.map.stride());
        ShownValues { cpus, stride }
    }

    /// `value` is all that the kernel gives of an element.
    pub fn shown<'b>(&self, value: &'b [u8]) -> Shown<'b> {
        let Some(stride) = self.stride else { return Shown::One(value) };
        match self.cpus {
            CpuSelection::Sum => Shown::Sum(PerCpu::new(value, stride)),
            CpuSelection::Each(_) => Shown::Each(PerCpu::new(value, stride)),
            CpuSelection::One { place, .. } => Shown::One(&value[place * stride..][..stride]),
        }
    }

    /// The numbers of the possible CPUs, if the value of each is shown.
    pub fn cpu_numbers(&self) -> Option<Vec<u32>> {
        match &self.cpus {
            CpuSelection::Each(cpus) => Some(cpus.numbers().to_vec()),
            CpuSelection::Sum | CpuSelection::One { .. } => None,
        }
    }
}
