//! `bpf-map take`: prints values and resets their numbers to zero, without losing a concurrent change.

mod taker;

use super::dump::dumped::Dumped;
use super::dump::format::{self, OutputFormat};
use super::dump::order::{self, Order, OrderArguments, Sorted};
use super::dump::output_file;
use super::dump::shown::ShownValues;
use crate::cli::exit;
use crate::cli::map::arguments::{self, MapArguments, ReadCpus};
use crate::cli::map::fields::{self, Fields};
use crate::cli::map::output::Output;
use crate::cli::map::session::Session;
use crate::cli::map::target::Target;
use crate::cli::map::target::origin::LayoutPart;
use crate::cli::map::target::walk::Walk;
use crate::cli::replace::NewFile;
use crate::text::escape;
use anyhow::bail;
use bpf_inherit::AccessMode;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use taker::Taker;

const OPERATION: &str = "take";

pub fn arguments(command: Command) -> Command {
    format::arguments(order::arguments(arguments::map(command)))
        // They are refused with a reason.
        .mut_args(|arg| match arg.get_id().as_str() {
            "top" | "prometheus" => arg.hide(true),
            _ => arg,
        })
        .args([
            Arg::new("KEY")
                .help("The keys [default: all]")
                .action(ArgAction::Append)
                .num_args(0..)
                .value_parser(value_parser!(OsString)),
            fields::argument("Print and reset these fields of the value only"),
            arguments::per_cpu("Of a per-CPU map, print every CPU's value instead of the sum"),
            arguments::cpu("Of a per-CPU map, print and reset this CPU's value"),
            output_file(),
        ])
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: MapArguments<'a>,
    /// All if there are none.
    keys: Vec<&'a OsStr>,
    format: OutputFormat,
    order: Option<OrderArguments<'a>>,
    fields: Fields<'a>,
    cpus: ReadCpus,
    /// Standard output if there is none.
    file: Option<&'a OsStr>,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        if matches.get_flag("prometheus") {
            bail!("take: --prometheus: its counters must not be reset: use dump");
        }
        let order = OrderArguments::new(matches)?;
        if order.as_ref().is_some_and(|order| order.limit.is_some()) {
            bail!("take: --top: the numbers of other entries would be lost: use --sort");
        }
        Ok(Args {
            map: MapArguments::new(matches)?,
            keys: arguments::all(matches, "KEY"),
            format: OutputFormat::new(matches)?,
            order,
            fields: Fields::new(matches)?,
            cpus: ReadCpus::new(matches),
            file: arguments::optional(matches, "output").filter(|file| *file != "-"),
        })
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let target = session.open(&args.map, AccessMode::ReadWrite)?;
    target.walked_key(OPERATION)?;
    target.check_readable(OPERATION)?;
    target.check_changeable(OPERATION)?;
    if let Some(why) = target.origin.explain_guess(LayoutPart::Value) {
        bail!("{}: take: {why}", target.label);
    }
    let cpus = target.select_cpus(args.cpus)?;
    let printed = args.fields.select(&target)?;
    let keys = args.keys.iter().map(|text| target.key(text));
    let keys = keys.collect::<anyhow::Result<Vec<Vec<u8>>>>()?;
    let taker = Taker::new(&target, &printed, &cpus, keys.len())?;
    let values = ShownValues::new(&target, cpus);
    let map = Dumped::of_entries(target.clone(), printed, values);
    // Whatever can be refused is refused before anything is taken.
    let maps = [map];
    let (mut formats, passes) = args.format.start(&maps)?;
    let [map] = &maps;
    let order = args.order.as_ref();
    let order = order.map(|order| Order::new(order, &target, target.walked_key(OPERATION)?));
    let order = order.transpose()?;

    let file = args.file.map(|file| NewFile::create(Path::new(file))).transpose()?;

    let mut taken = Sorted::default();
    let result = take(&taker, &target, &args.keys, &keys, &mut taken, &mut session.out);
    if result.is_err() && taken.is_empty() {
        return result;
    }
    match &order {
        Some(order) => order.arrange(&map.values, &mut taken),
        None => taken.keep_order(),
    }
    let mut held = Output::held();
    let out = if file.is_some() { &mut held } else { &mut session.out };
    for (at, pass) in passes {
        map.print(pass, &mut *formats[at], Some(&taken), out)?;
    }
    formats.iter_mut().for_each(|format| format.end(&mut out.data));
    if let Some(file) = file {
        file.finish(&held.data)?;
    }
    // The values were reset before the error, so they have been printed.
    result
}

/// Takes the values of `keys`, or of all; returns the exit status.
fn take(
    taker: &Taker,
    target: &Target,
    texts: &[&OsStr],
    keys: &[Vec<u8>],
    taken: &mut Sorted,
    out: &mut Output,
) -> anyhow::Result<u8> {
    if keys.is_empty() {
        let mut walk = Walk::new(target, OPERATION, None)?;
        while let Some(chunk) = walk.next()? {
            taker.take(chunk.keys(), taken)?;
        }
        return Ok(0);
    }
    let mut status = 0;
    for (text, found) in texts.iter().zip(taker.take(&keys.concat(), taken)?) {
        if !found {
            out.report(format_args!("{}: no key {}", target.label, escape(text.as_bytes())))?;
            status = exit::ABSENT;
        }
    }
    Ok(status)
}
