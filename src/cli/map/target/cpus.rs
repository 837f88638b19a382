//! The CPUs of a per-CPU map that are read (`--cpu`, `--per-cpu`) or written (`--all-cpus`,
//! `--cpu`, `--sum`).

use super::Target;
use crate::map::percpu::Cpus;
use anyhow::{Context, bail};
use bpf_inherit::Map;
use clap::{Arg, ArgAction, ArgMatches, value_parser};
use std::convert::Infallible;

/// The CPUs whose values are read.
#[derive(Clone, Debug)]
pub enum Which {
    /// All, as one sum.
    Sum,
    /// All, each by itself.
    Each(Cpus),
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

/// `--all-cpus`, `--cpu` and `--sum`, which exclude each other.
pub fn written() -> [Arg; 3] {
    let cpu = one("Write it for this CPU only; the others keep their values");
    let flag = |name, help| Arg::new(name).long(name).help(help).action(ArgAction::SetTrue);
    [
        flag("all-cpus", "Write the value for every CPU").conflicts_with_all(["cpu", "sum"]),
        cpu.conflicts_with("sum"),
        flag("sum", "Write it for the first possible CPU, and zero for the others"),
    ]
}

/// `--cpu N`.
pub fn one(help: &'static str) -> Arg {
    Arg::new("cpu").long("cpu").value_name("N").help(help).value_parser(value_parser!(u32))
}

/// `--per-cpu`.
pub fn every(help: &'static str) -> Arg {
    Arg::new("per-cpu").long("per-cpu").help(help).action(ArgAction::SetTrue).conflicts_with("cpu")
}

impl Target {
    /// Whether an element has a value for each possible CPU.
    pub fn is_per_cpu(&self) -> bool {
        self.map.info().map_type.is_per_cpu()
    }

    /// The CPUs of a per-CPU map.
    pub fn cpus(&self) -> anyhow::Result<Cpus> {
        Cpus::of(&self.map).with_context(|| self.label.clone())
    }

    /// The CPUs that `--cpu` and `--per-cpu`, if the command has it, select; an error if the map has
    /// one value for all CPUs, or the CPU is not possible.
    pub fn which(&self, matches: &ArgMatches) -> anyhow::Result<Which> {
        if matches!(matches.try_get_one::<bool>("per-cpu"), Ok(Some(true))) {
            self.require_cpus("per-cpu")?;
            return Ok(Which::Each(self.cpus()?));
        }
        Ok(match self.one_cpu(matches)? {
            Some((number, place)) => Which::One { number, place },
            None => Which::Sum,
        })
    }

    /// The CPUs that `--all-cpus`, `--cpu` or `--sum` selects; the errors are those of
    /// [`Target::which`].
    pub fn placement(&self, matches: &ArgMatches) -> anyhow::Result<Placement> {
        for (option, placement) in [("all-cpus", Placement::All), ("sum", Placement::First)] {
            if matches.get_flag(option) {
                self.require_cpus(option)?;
                return Ok(placement);
            }
        }
        Ok(match self.one_cpu(matches)? {
            Some((_, place)) => Placement::One(place),
            None if self.is_per_cpu() => Placement::Unknown,
            None => Placement::All,
        })
    }

    fn require_cpus(&self, option: &str) -> anyhow::Result<()> {
        if !self.is_per_cpu() {
            let kind = self.map.info().map_type.with_article();
            bail!("{}: --{option}: {kind} has one value for all CPUs", self.label);
        }
        Ok(())
    }

    /// The number after `--cpu`, and its position among the possible CPUs.
    fn one_cpu(&self, matches: &ArgMatches) -> anyhow::Result<Option<(u32, usize)>> {
        let Some(number) = matches.get_one::<u32>("cpu").copied() else { return Ok(None) };
        self.require_cpus("cpu")?;
        let cpus = self.cpus()?;
        let Some(place) = cpus.place(number) else {
            let last = cpus.numbers().last().copied().unwrap_or_default();
            let holes = if last as usize >= cpus.numbers().len() { ", not all" } else { "" };
            bail!(
                "{}: --cpu {number}: not a possible CPU (they go from {} to {last}{holes})",
                self.label,
                cpus.numbers().first().copied().unwrap_or_default(),
            );
        };
        Ok(Some((number, place)))
    }
}
