//! Which CPUs of a per-CPU map are meant: `--cpu`, `--per-cpu`, `--all-cpus`.

use super::reference::Target;
use crate::map::kind::Kind;
use crate::map::percpu::Cpus;
use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, value_parser};

/// The CPUs that a subcommand is about.
#[derive(Clone, Debug)]
pub enum Which {
    /// None was named: one reads the sum, and writes so that the sum is what was asked.
    Sum,
    /// Every one by itself.
    Each(Cpus),
    /// The one with this number, at this place among the values.
    One { number: u32, place: usize },
}

/// `--cpu N`.
pub fn one(help: &'static str) -> Arg {
    Arg::new("cpu").long("cpu").value_name("N").help(help).value_parser(value_parser!(u32))
}

/// `--per-cpu` or `--all-cpus`.
pub fn every(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue).conflicts_with("cpu")
}

impl Target {
    /// Whether an element has a value for each possible CPU.
    pub fn is_per_cpu(&self) -> bool {
        Kind(self.map.info().kind).is_per_cpu()
    }

    /// The CPUs of a per-CPU map.
    pub fn cpus(&self) -> anyhow::Result<Cpus> {
        Cpus::of(&self.map).with_context(|| self.label.clone())
    }

    /// Reads `--cpu` and the option called `every`; an error where the map has no CPUs, or
    /// has not this one.
    pub fn which(&self, matches: &ArgMatches, every: Option<&str>) -> anyhow::Result<Which> {
        let number = matches.get_one::<u32>("cpu").copied();
        let every = every.filter(|every| matches.get_flag(every));
        let Some(option) = number.map(|_| "cpu").or(every) else { return Ok(Which::Sum) };
        if !self.is_per_cpu() {
            let kind = Kind(self.map.info().kind).with_article();
            bail!("{}: --{option}: {kind} has one value for all CPUs", self.label);
        }
        let cpus = self.cpus()?;
        let Some(number) = number else { return Ok(Which::Each(cpus)) };
        let Some(place) = cpus.place(number) else {
            let last = cpus.numbers().last().copied().unwrap_or_default();
            let holes = if last as usize >= cpus.numbers().len() { ", not all" } else { "" };
            bail!(
                "{}: --cpu {number}: not a possible CPU (they go from {} to {last}{holes})",
                self.label,
                cpus.numbers().first().copied().unwrap_or_default(),
            );
        };
        Ok(Which::One { number, place })
    }
}
