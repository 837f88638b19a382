//! `bpf-map dump`: all elements, in the map's order or sorted, in one of several formats.

pub mod fields;
mod format;
mod metrics;
mod order;

use crate::cli::map::arguments::MapArguments;
use crate::cli::map::arguments::{self, GivenTypes, ReadCpus};
use crate::cli::map::output::Output;
use crate::cli::map::session::Session;
use crate::cli::map::target::Target;
use crate::cli::map::target::cpus::CpuSelection;
use crate::cli::map::target::origin::LayoutPart;
use crate::cli::map::target::walk::{self, Walk};
use crate::cli::replace::replace;
use crate::output::element::{ElementFormat, Shown};
use crate::text::escape;
use anyhow::bail;
use bpf_inherit::{AccessMode, Map};
use bpf_layout::Type;
use bpf_layout::print::PerCpu;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use fields::Fields;
use format::OutputFormat;
use order::{Order, OrderArguments, Sorted};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

const OPERATION: &str = "dump";

pub fn arguments(command: Command) -> Command {
    let command = format::arguments(order::arguments(arguments::map(command)));
    metrics::arguments(command)
        .mut_arg("MAP", |map| map.num_args(1..).action(ArgAction::Append))
        .args([
            arguments::flag("reverse", "Sort the other way round").requires("order"),
            fields::argument(
                "Print these fields of the value only; with --prometheus, FIELD[=NAME]",
            ),
            arguments::per_cpu("Of a per-CPU map, show every CPU's value instead of the sum"),
            arguments::cpu("Of a per-CPU map, show this CPU's value"),
            Arg::new("output")
                .short('o')
                .long("output")
                .value_name("FILE")
                .help("Write to this file, replacing it only when everything has been read")
                .value_parser(value_parser!(OsString)),
        ])
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    maps: Vec<MapArguments<'a>>,
    format: OutputFormat,
    order: Option<OrderArguments<'a>>,
    fields: Fields<'a>,
    cpus: ReadCpus,
    /// Standard output if there is none.
    file: Option<&'a OsStr>,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        let types = GivenTypes::new(matches)?;
        let maps = arguments::all(matches, "MAP").into_iter();
        Ok(Args {
            maps: maps.map(|reference| MapArguments { reference, types: types.clone() }).collect(),
            format: OutputFormat::new(matches)?,
            order: OrderArguments::new(matches)?,
            // Those of metrics may have names.
            fields: match matches.get_flag("prometheus") {
                true => Fields::default(),
                false => Fields::new(matches)?,
            },
            cpus: ReadCpus::new(matches),
            file: arguments::optional(matches, "output").filter(|file| *file != "-"),
        })
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let maps = open_all(&args, session)?;
    let Some(file) = args.file else {
        dump(&args, &maps, &mut session.out)?;
        return Ok(0);
    };
    let mut held = Output::held();
    dump(&args, &maps, &mut held)?;
    replace(Path::new(file), &held.data)?;
    Ok(0)
}

fn open_all(args: &Args, session: &mut Session) -> anyhow::Result<Vec<Dumped>> {
    let names: Vec<&OsStr> = args.maps.iter().map(|map| map.reference).collect();
    if names.len() > 1 && !matches!(args.format, OutputFormat::Prometheus(_)) {
        bail!("dump: several maps: possible with --prometheus only");
    }
    if let Some(at) = (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
        bail!("{}: dump: named twice", escape(names[at].as_bytes()));
    }
    args.maps.iter().map(|map| Dumped::open(map, args, session)).collect()
}

fn dump(args: &Args, maps: &[Dumped], out: &mut Output) -> anyhow::Result<()> {
    let (mut formats, passes) = args.format.start(maps)?;
    let order = args.order.as_ref();
    let sorted = maps.iter().map(|map| map.sort(order)).collect::<anyhow::Result<Vec<_>>>()?;
    for (at, pass) in passes {
        maps[at].print(pass, &mut *formats[at], sorted[at].as_ref(), out)?;
    }
    for (map, format) in maps.iter().zip(&mut formats) {
        format.end(&mut out.data);
        if let Some(cause) = format.failure() {
            bail!("{}: {OPERATION}: {cause}", map.target.label);
        }
    }
    Ok(())
}

/// A map that is printed.
struct Dumped {
    target: Rc<Target>,
    /// The type of the value with the fields that are printed.
    printed: Type,
    values: ShownValues,
    /// Another file descriptor, through which the map can be read from memory.
    writable: Option<Map>,
}

impl Dumped {
    fn open(map: &MapArguments, args: &Args, session: &mut Session) -> anyhow::Result<Dumped> {
        let target = session.open(map, AccessMode::ReadOnly)?;
        target.walked_key(OPERATION)?;
        target.check_readable(OPERATION)?;
        target.warn_of_guess(&LayoutPart::BOTH);
        let values = ShownValues::new(&target, target.select_cpus(args.cpus)?);
        let printed = args.fields.select(&target)?;
        let writable = walk::writable(&session.startup, &session.bpffs, map.reference, &target);
        Ok(Dumped { target, printed, values, writable })
    }

    fn walk(&self) -> anyhow::Result<Walk<'_>> {
        Walk::new(&self.target, OPERATION, self.writable.as_ref())
    }

    /// Its elements in the order that was asked for; None if that is the map's own order.
    fn sort(&self, order: Option<&OrderArguments>) -> anyhow::Result<Option<Sorted>> {
        let Some(order) = order else { return Ok(None) };
        let order = Order::new(order, &self.target, self.target.walked_key(OPERATION)?)?;
        order.sort(&self.values, self.walk()?).map(Some)
    }

    /// Goes through all elements once.
    fn print(
        &self,
        pass: usize,
        format: &mut dyn ElementFormat,
        sorted: Option<&Sorted>,
        out: &mut Output,
    ) -> anyhow::Result<()> {
        if let Some(sorted) = sorted {
            format.begin(pass, &mut out.data);
            return sorted.each(&mut |key, value| {
                format.element(key, self.values.shown(value), &mut out.data);
                out.spill()
            });
        }
        let mut walk = self.walk()?;
        // A map that cannot be read is reported before anything is printed.
        let mut chunk = walk.next()?;
        format.begin(pass, &mut out.data);
        while let Some(elements) = chunk {
            for (key, value) in elements.iter() {
                format.element(key, self.values.shown(value), &mut out.data);
                out.spill()?;
            }
            chunk = walk.next()?;
        }
        Ok(())
    }
}

/// The part of each value that is shown.
struct ShownValues {
    cpus: CpuSelection,
    /// Bytes of one CPU's value; None if there is one value for all CPUs.
    stride: Option<usize>,
}

impl ShownValues {
    fn new(target: &Target, cpus: CpuSelection) -> ShownValues {
        let stride = target.is_per_cpu().then(|| target.map.stride());
        ShownValues { cpus, stride }
    }

    /// `value` is all that the kernel gives of an element.
    fn shown<'b>(&self, value: &'b [u8]) -> Shown<'b> {
        let Some(stride) = self.stride else { return Shown::One(value) };
        match self.cpus {
            CpuSelection::Sum => Shown::Sum(PerCpu::new(value, stride)),
            CpuSelection::Each(_) => Shown::Each(PerCpu::new(value, stride)),
            CpuSelection::One { place, .. } => Shown::One(&value[place * stride..][..stride]),
        }
    }

    /// The numbers of the possible CPUs, if the value of each is shown.
    fn cpu_numbers(&self) -> Option<Vec<u32>> {
        match &self.cpus {
            CpuSelection::Each(cpus) => Some(cpus.numbers().to_vec()),
            CpuSelection::Sum | CpuSelection::One { .. } => None,
        }
    }
}
