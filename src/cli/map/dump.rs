//! `bpf-map dump`: all elements, in the map's order or sorted, in a format of choice.

mod format;
mod order;

use super::cpus::{self, Which};
use super::reference::{self, Target};
use super::walk::{self, Walk};
use crate::cli::exit::Output;
use crate::layout::print::PerCpu;
use crate::output::element::Shown;
use anyhow::bail;
use clap::{Arg, ArgAction, ArgMatches, Command};
use order::Order;

const OPERATION: &str = "dump";

pub fn arguments(command: Command) -> Command {
    let command = format::arguments(order::arguments(reference::arguments(command)));
    command.args([
        Arg::new("reverse")
            .long("reverse")
            .help("Sort the other way round")
            .action(ArgAction::SetTrue)
            .requires("order"),
        cpus::every("Of a per-CPU map, show every CPU's value instead of the sum"),
        cpus::one("Of a per-CPU map, show this CPU's value"),
    ])
}

pub fn run(matches: &ArgMatches, out: &mut Output) -> anyhow::Result<u8> {
    let target = reference::open(matches, false)?;
    let key = target.walked_key(OPERATION)?;
    target.check_readable(OPERATION)?;
    target.warn_of_guess();
    let view = View::new(&target, target.which(matches)?);
    let mut format = format::format(matches, &target, key, &view)?;
    let order = Order::new(matches, &target, key)?;
    let writable = walk::writable(matches, &target);
    let mut sorted = match order {
        Some(order) => Some(order.sort(&view, Walk::new(&target, OPERATION, writable.as_ref())?)?),
        None => None,
    };
    for pass in 0..format.passes() {
        match &mut sorted {
            Some(sorted) => {
                format.begin(pass, &mut out.data);
                sorted.each(&mut |key, value| {
                    format.element(key, view.shown(value), &mut out.data);
                    out.spill()
                })?;
            }
            None => {
                let mut walk = Walk::new(&target, OPERATION, writable.as_ref())?;
                // A map that cannot be read is reported before anything is printed.
                let mut chunk = walk.next()?;
                format.begin(pass, &mut out.data);
                while let Some(elements) = chunk {
                    for (key, value) in elements.iter() {
                        format.element(key, view.shown(value), &mut out.data);
                        out.spill()?;
                    }
                    chunk = walk.next()?;
                }
            }
        }
    }
    format.end(&mut out.data);
    match format.failure() {
        Some(cause) => bail!("{}: {OPERATION}: {cause}", target.label),
        None => Ok(0),
    }
}

/// What of an element's value is looked at.
struct View {
    which: Which,
    /// Bytes of one CPU's value; None where there is one for all.
    stride: Option<usize>,
}

impl View {
    fn new(target: &Target, which: Which) -> View {
        let stride = target.is_per_cpu().then(|| target.map.stride());
        View { which, stride }
    }

    /// `value` is all that the kernel gives of an element.
    fn shown<'b>(&self, value: &'b [u8]) -> Shown<'b> {
        let Some(stride) = self.stride else { return Shown::One(value) };
        match self.which {
            Which::Sum => Shown::Sum(PerCpu::new(value, stride)),
            Which::Each(_) => Shown::Each(PerCpu::new(value, stride)),
            Which::One { place, .. } => Shown::One(&value[place * stride..][..stride]),
        }
    }

    /// The numbers of the possible CPUs, where every one's value is shown.
    fn cpus(&self) -> Option<Vec<u32>> {
        match &self.which {
            Which::Each(cpus) => Some(cpus.numbers().to_vec()),
            _ => None,
        }
    }
}
