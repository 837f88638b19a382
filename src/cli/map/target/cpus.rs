//! The selection of the CPUs whose values are read, printed or written in a per-CPU map.

use super::opened::Target;
use crate::cli::map::arguments::{ReadCpus, WrittenCpus};
use crate::map::percpu::PossibleCpus;
use crate::output::element::Integers;
use crate::output::json::push_sum;
use anyhow::{Context, bail};
use bpf_inherit::Map;
use bpf_layout::{Slot, print};
use std::convert::Infallible;

/// The CPUs whose values are read.
#[derive(Clone, Debug)]
pub enum CpuSelection {
    /// All CPUs, as one sum.
    Sum,
    /// All CPUs, each value separately.
    Each(PossibleCpus),
    /// The CPU with this number, at this position among the values.
    One { number: u32, place: usize },
}

/// The CPUs to which a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// All; also for a map with one value for all CPUs.
    All,
    /// The first possible CPU; the others get zero.
    First,
    /// The CPU at this position among the values; the others keep their values.
    One(usize),
    /// Not given: only zero can be written, for all CPUs.
    Unknown,
}

impl Placement {
    /// An error if the value is not zero and no option selects the CPUs that get it.
    pub fn check(self, is_zero: bool) -> anyhow::Result<()> {
        match self {
            Placement::Unknown if !is_zero => bail!(
                "a per-CPU map needs --all-cpus (every CPU gets the value), --cpu N (only CPU N) \
                 or --sum (the first CPU, and zero on the others)"
            ),
            _ => Ok(()),
        }
    }

    /// An error if an option selects CPUs: for an element with the values of all CPUs.
    pub fn check_each(self) -> anyhow::Result<()> {
        match self {
            Placement::Unknown => Ok(()),
            _ => bail!("values for every CPU cannot be combined with --all-cpus, --cpu or --sum"),
        }
    }

    /// Whether an element must be read before it is written.
    pub fn keeps_others(self) -> bool {
        matches!(self, Placement::One(_))
    }

    /// Whether the value at this position is written.
    pub fn writes(self, place: usize) -> bool {
        !matches!(self, Placement::One(only) if only != place)
    }

    /// Calls `write` for each CPU that is written: with its value in `element`, and true, or false if
    /// the CPU gets zero.
    pub fn each<E>(
        self,
        map: &Map,
        element: &mut [u8],
        mut write: impl FnMut(&mut [u8], bool) -> Result<(), E>,
    ) -> Result<(), E> {
        for place in 0..element.len() / map.stride().max(1) {
            let value = &mut element[map.slot(place)];
            match self {
                _ if !self.writes(place) => {}
                Placement::First => write(value, place == 0)?,
                _ => write(value, true)?,
            }
        }
        Ok(())
    }

    /// Sets the value of each CPU that is written to zero.
    pub fn clear(self, map: &Map, element: &mut [u8]) {
        let Ok(()) = self.each(map, element, |value, _| {
            value.fill(0);
            Ok::<(), Infallible>(())
        });
    }
}

impl Target {
    /// Whether an element has a value for each possible CPU.
    pub fn is_per_cpu(&self) -> bool {
        self.map.info().map_type.is_per_cpu()
    }

    /// The CPUs of a per-CPU map.
    pub fn cpus(&self) -> anyhow::Result<PossibleCpus> {
        PossibleCpus::read(&self.map).with_context(|| self.label.clone())
    }

    /// The CPUs whose values are read; an error if CPUs are selected and the map has one value for
    /// all of them, or the CPU is not possible.
    pub fn select_cpus(&self, cpus: ReadCpus) -> anyhow::Result<CpuSelection> {
        Ok(match cpus {
            ReadCpus::Sum => CpuSelection::Sum,
            ReadCpus::Each => {
                self.require_cpus("per-cpu")?;
                CpuSelection::Each(self.cpus()?)
            }
            ReadCpus::One(number) => CpuSelection::One { number, place: self.find_cpu(number)? },
        })
    }

    /// The CPUs whose values are written; the errors are those of [`Target::select_cpus`].
    pub fn place_value(&self, cpus: WrittenCpus) -> anyhow::Result<Placement> {
        Ok(match cpus {
            WrittenCpus::All => {
                self.require_cpus("all-cpus")?;
                Placement::All
            }
            WrittenCpus::Sum => {
                self.require_cpus("sum")?;
                Placement::First
            }
            WrittenCpus::One(number) => Placement::One(self.find_cpu(number)?),
            WrittenCpus::Unspecified if self.is_per_cpu() => Placement::Unknown,
            WrittenCpus::Unspecified => Placement::All,
        })
    }

    /// An error if the map has one value for all CPUs.
    pub fn require_cpus(&self, option: &str) -> anyhow::Result<()> {
        if !self.is_per_cpu() {
            let kind = self.map.info().map_type.with_article();
            bail!("{}: --{option}: {kind} has one value for all CPUs", self.label);
        }
        Ok(())
    }

    /// The position of the CPU after `--cpu` among the possible CPUs.
    fn find_cpu(&self, number: u32) -> anyhow::Result<usize> {
        self.require_cpus("cpu")?;
        let cpus = self.cpus()?;
        let Some(place) = cpus.index_of(number) else {
            let last = cpus.numbers().last().copied().unwrap_or_default();
            let holes = if last as usize >= cpus.numbers().len() { ", not all" } else { "" };
            bail!(
                "{}: --cpu {number}: not a possible CPU (they go from {} to {last}{holes})",
                self.label,
                cpus.numbers().first().copied().unwrap_or_default(),
            );
        };
        Ok(place)
    }

    /// Appends a line with a value, of which `found` has the bytes of all CPUs; if each CPU's is
    /// selected, a line for each CPU, or one JSON object.
    pub fn print_value(
        &self,
        cpus: &CpuSelection,
        json: Option<Integers>,
        slot: Slot,
        found: &[u8],
        out: &mut Vec<u8>,
    ) {
        match cpus {
            CpuSelection::Sum if !self.is_per_cpu() => print_one(json, slot, found, out),
            CpuSelection::Sum => {
                let values = print::PerCpu::new(found, self.map.stride());
                if json.is_none() {
                    print_one(json, slot, &values, out);
                } else {
                    out.extend(b"{\"value\":");
                    print_one(json, slot, &values, out);
                    push_sum(slot, out);
                    out.push(b'}');
                }
            }
            CpuSelection::One { place, .. } => {
                print_one(json, slot, &found[self.map.slot(*place)], out);
            }
            CpuSelection::Each(cpus) if json.is_some() => {
                out.extend(b"{\"values\":");
                for place in 0..cpus.numbers().len() {
                    out.push(if place == 0 { b'[' } else { b',' });
                    print_one(json, slot, &found[self.map.slot(place)], out);
                }
                out.extend(b"]}");
            }
            CpuSelection::Each(cpus) => {
                for (place, number) in cpus.numbers().iter().enumerate() {
                    if place > 0 {
                        out.push(b'\n');
                    }
                    out.extend(format!("{number}\t").bytes());
                    print_one(json, slot, &found[self.map.slot(place)], out);
                }
            }
        }
        out.push(b'\n');
    }
}

fn print_one<V: print::Values + ?Sized>(
    json: Option<Integers>,
    slot: Slot,
    values: &V,
    out: &mut Vec<u8>,
) {
    match json {
        Some(integers) => integers.json(slot, values, out),
        None => print::plain(slot, values, out),
    }
}
