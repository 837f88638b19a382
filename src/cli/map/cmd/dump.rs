//! `bpf-map dump`: all elements, in the map's order or sorted, in one of several formats.

pub mod dumped;
pub mod format;
mod metrics;
pub mod order;
pub mod shown;

use crate::cli::map::arguments::{self, GivenTypes, MapArguments, ReadCpus};
use crate::cli::map::fields::{self, Fields};
use crate::cli::map::output::Output;
use crate::cli::map::session::Session;
use crate::cli::replace::replace;
use crate::text::escape_argument;
use anyhow::bail;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use dumped::{Dumped, OPERATION};
use format::OutputFormat;
use order::OrderArguments;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub fn arguments(command: Command) -> Command {
    let command = format::arguments(order::arguments(arguments::map(command)));
    metrics::arguments(command)
        .mut_arg("MAP", |map| map.num_args(1..).action(ArgAction::Append))
        .args([
            fields::argument(
                "Print these fields of the value only; with --prometheus, FIELD[=NAME]",
            ),
            arguments::per_cpu("Of a per-CPU map, show every CPU's value instead of the sum"),
            arguments::cpu("Of a per-CPU map, show this CPU's value"),
            output_file(),
        ])
}

/// `--output FILE`.
pub fn output_file() -> Arg {
    Arg::new("output")
        .short('o')
        .long("output")
        .value_name("FILE")
        .help("Write to this file, and replace it only after all entries have been read")
        .value_parser(value_parser!(OsString))
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
            // For metrics, --fields also contains names, and is parsed elsewhere.
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
        bail!("{}: dump: named twice", escape_argument(names[at].as_bytes()));
    }
    let open = |map| Dumped::open(map, &args.fields, args.cpus, session);
    args.maps.iter().map(open).collect()
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
