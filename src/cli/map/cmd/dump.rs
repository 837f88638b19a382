//! `bpf-map dump`: all elements, in the map's order or sorted, in a format of choice.

mod format;
mod metrics;
mod order;

use crate::cli::exit::Output;
use crate::cli::map::session::Session;
use crate::cli::map::target::cpus::{self, Which};
use crate::cli::map::target::origin::Part;
use crate::cli::map::target::walk::{self, Walk};
use crate::cli::map::target::{Target, reference};
use crate::cli::replace::replace;
use crate::output::element::{Format, Shown};
use crate::output::prometheus::arrange;
use crate::text::escape;
use anyhow::bail;
use bpf_inherit::Map;
use bpf_inherit::Startup;
use bpf_layout::print::PerCpu;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use order::{Order, Sorted};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const OPERATION: &str = "dump";

pub fn arguments(command: Command) -> Command {
    let command = format::arguments(order::arguments(reference::arguments(command)));
    metrics::arguments(command)
        .mut_arg("MAP", |map| map.num_args(1..).action(ArgAction::Append))
        .args([
            Arg::new("reverse")
                .long("reverse")
                .help("Sort the other way round")
                .action(ArgAction::SetTrue)
                .requires("order"),
            cpus::every("Of a per-CPU map, show every CPU's value instead of the sum"),
            cpus::one("Of a per-CPU map, show this CPU's value"),
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("FILE")
                .help("Write to this file, replacing it only when everything has been read")
                .value_parser(value_parser!(OsString)),
        ])
}

pub fn run(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let (startup, out) = session.parts();
    let file = matches.get_one::<OsString>("output").filter(|file| *file != "-");
    let Some(file) = file else {
        dump(startup, matches, out)?;
        return Ok(0);
    };
    let mut held = Output::held();
    dump(startup, matches, &mut held)?;
    replace(Path::new(file), &held.data)?;
    Ok(0)
}

fn dump(startup: &Startup, matches: &ArgMatches, out: &mut Output) -> anyhow::Result<()> {
    let names: Vec<&OsStr> = matches
        .get_many::<OsString>("MAP")
        .into_iter()
        .flatten()
        .map(OsString::as_os_str)
        .collect();
    let is_prometheus = matches.get_flag("prometheus");
    if names.len() > 1 && !is_prometheus {
        bail!("dump: several maps: possible with --prometheus only");
    }
    if let Some(at) = (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
        bail!("{}: dump: named twice", escape(names[at].as_bytes()));
    }
    let maps = names.iter().map(|name| Opened::open(startup, matches, name));
    let maps = maps.collect::<anyhow::Result<Vec<_>>>()?;
    if is_prometheus {
        let mut formats = metrics::formats(matches, &maps)?;
        let passes = arrange(&mut formats);
        let mut formats: Vec<_> = formats.iter_mut().map(|format| format as _).collect();
        return print(matches, &maps, &mut formats, passes, out);
    }
    let Opened { target, view, .. } = &maps[0];
    let mut format = format::format(matches, target, target.walked_key(OPERATION)?, view);
    let passes = (0..format.passes()).map(|pass| (0, pass)).collect();
    print(matches, &maps, &mut [&mut *format], passes, out)
}

/// Prints maps, each in a format of its own. `passes` are places of a map, and passes of its format.
fn print(
    matches: &ArgMatches,
    maps: &[Opened],
    formats: &mut [&mut dyn Format],
    passes: Vec<(usize, usize)>,
    out: &mut Output,
) -> anyhow::Result<()> {
    let sorted = maps.iter().map(|map| map.sorted(matches)).collect::<anyhow::Result<Vec<_>>>()?;
    for (at, pass) in passes {
        maps[at].print(pass, formats[at], sorted[at].as_ref(), out)?;
    }
    for (map, format) in maps.iter().zip(formats) {
        format.end(&mut out.data);
        if let Some(cause) = format.failure() {
            bail!("{}: {OPERATION}: {cause}", map.target.label);
        }
    }
    Ok(())
}

/// A map that is to be printed.
struct Opened {
    target: Target,
    view: View,
    /// Another descriptor, by which the map can be read from memory.
    writable: Option<Map>,
}

impl Opened {
    fn open(startup: &Startup, matches: &ArgMatches, name: &OsStr) -> anyhow::Result<Opened> {
        let target = reference::open_each(startup, matches, name, false)?;
        target.walked_key(OPERATION)?;
        target.check_readable(OPERATION)?;
        target.warn_of_guess(&Part::BOTH);
        let view = View::new(&target, target.which(matches)?);
        let writable = walk::writable(startup, name, &target);
        Ok(Opened { target, view, writable })
    }

    fn walk(&self) -> anyhow::Result<Walk<'_>> {
        Walk::new(&self.target, OPERATION, self.writable.as_ref())
    }

    /// Its elements in the order that was asked for; None if the map's own order will do.
    fn sorted(&self, matches: &ArgMatches) -> anyhow::Result<Option<Sorted>> {
        let order = Order::new(matches, &self.target, self.target.walked_key(OPERATION)?)?;
        order.map(|order| order.sort(&self.view, self.walk()?)).transpose()
    }

    /// Goes through all elements once.
    fn print(
        &self,
        pass: usize,
        format: &mut dyn Format,
        sorted: Option<&Sorted>,
        out: &mut Output,
    ) -> anyhow::Result<()> {
        if let Some(sorted) = sorted {
            format.begin(pass, &mut out.data);
            return sorted.each(&mut |key, value| {
                format.element(key, self.view.shown(value), &mut out.data);
                out.spill()
            });
        }
        let mut walk = self.walk()?;
        // A map that cannot be read is reported before anything is printed.
        let mut chunk = walk.next()?;
        format.begin(pass, &mut out.data);
        while let Some(elements) = chunk {
            for (key, value) in elements.iter() {
                format.element(key, self.view.shown(value), &mut out.data);
                out.spill()?;
            }
            chunk = walk.next()?;
        }
        Ok(())
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
