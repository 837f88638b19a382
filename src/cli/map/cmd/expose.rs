//! `bpf-map expose`: a pin through which users read the entries of a map as text.

use crate::bpffs::pinning::{self, Permissions};
use crate::cli::map::arguments::{self, MapArguments};
use crate::cli::map::fields::{self, Fields};
use crate::cli::map::output::warn;
use crate::cli::map::permissions;
use crate::cli::map::session::Session;
use crate::cli::map::target::Target;
use crate::cli::map::target::origin::LayoutPart;
use crate::error::{Cause, Error};
use crate::program::entries::{Cpus, Entries, Format};
use crate::program::iterate_entries;
use crate::text::escape;
use anyhow::Context;
use bpf_inherit::AccessMode;
use bpf_layout::print::{all_columns, columns};
use bpf_layout::{AtomClass, Slot, Type};
use clap::{ArgGroup, ArgMatches, Command, ValueHint};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const OPERATION: &str = "expose";
const FORMATS: [(&str, Format, &str); 3] = [
    ("csv", Format::Table(b','), "Print comma-separated values, with a header"),
    ("tsv", Format::Table(b'\t'), "Print tab-separated values, with a header"),
    ("jsonl", Format::JsonLines, "Print a JSON object a line"),
];

pub fn arguments(command: Command) -> Command {
    let path = arguments::positional("PATH", "The path of the new pin, which must not exist")
        .value_hint(ValueHint::AnyPath);
    arguments::map(command)
        .arg(path)
        .args(permissions::arguments())
        .args(FORMATS.map(|(name, _, help)| arguments::flag(name, help)))
        .group(ArgGroup::new("format").args(FORMATS.map(|(name, ..)| name)))
        .args([
            fields::argument("Print these fields of the value only"),
            arguments::flag(
                "per-cpu",
                "Of a per-CPU map, print every CPU's value instead of the sum",
            ),
        ])
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: MapArguments<'a>,
    path: &'a Path,
    permissions: Permissions,
    format: Format,
    fields: Fields<'a>,
    /// Whether each CPU's value is printed.
    each_cpu: bool,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        let format = FORMATS.iter().find(|(name, ..)| matches.get_flag(name));
        Ok(Args {
            map: MapArguments::new(matches)?,
            path: Path::new(arguments::required(matches, "PATH")),
            permissions: permissions::parse(matches)?,
            format: format.map_or(Format::Plain, |(_, format, _)| *format),
            fields: Fields::new(matches)?,
            each_cpu: matches.get_flag("per-cpu"),
        })
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let target = session.open(&args.map, AccessMode::ReadOnly)?;
    check_type(&target)?;
    target.check_readable(OPERATION)?;
    let key = target.walked_key(OPERATION)?;
    let value = args.fields.select(&target)?;
    check_lock(&target, &value)?;
    target.warn_of_guess(&LayoutPart::BOTH);
    if args.each_cpu {
        target.require_cpus("per-cpu")?;
    }
    let stride = u32::try_from(target.map.stride()).context("the map's values are too large")?;
    let cpus = match (target.is_per_cpu(), args.each_cpu) {
        (false, _) => Cpus::One,
        (true, true) => Cpus::Each { stride, numbers: target.cpus()?.numbers() },
        (true, false) => Cpus::Sum { stride, count: target.cpus()?.numbers().len() as u32 },
    };
    let entries = Entries { key, value: &value, format: args.format, cpus };
    let link = iterate_entries(&target.map, &entries)
        .map_err(|error| Error::new(&target.label, OPERATION, error.to_string()))?;
    pinning::publish(link, args.path, args.permissions)?;
    if all_columns(key).iter().any(|column| column.is_padding()) {
        let text = "keys have padding, which is not printed: two entries may look alike";
        warn(format_args!("{}: {text}", target.label));
    }
    if let Some(warning) = permissions::warn_of_directories(args.path) {
        warn(format_args!("{}: {warning}", escape(args.path.as_os_str().as_bytes())));
    }
    Ok(0)
}

/// An error if the kernel does not iterate over maps of this type.
fn check_type(target: &Target) -> anyhow::Result<()> {
    let map_type = target.map.info().map_type;
    if map_type.is_iterable() {
        return Ok(());
    }
    let instead = match map_type.is_queue() {
        true => "peek prints its next value",
        false => "dump prints them",
    };
    anyhow::bail!(
        "{}: {OPERATION}: {}: the kernel does not iterate over its entries ({instead})",
        target.label,
        map_type.with_article()
    )
}

/// An error if the program could print parts of two values as one: it cannot take a spin lock.
fn check_lock(target: &Target, shown: &Type) -> anyhow::Result<()> {
    let locked = target.map.has_spin_lock();
    let fail = |cause: Cause| Error::new(&target.label, OPERATION, cause);
    if !locked.map_err(|errno| fail(errno.into()))? {
        return Ok(());
    }
    let columns = columns(shown);
    if matches!(&columns[..], [column] if is_loaded_at_once(column.slot)) {
        return Ok(());
    }
    let cause = "values have a spin lock, which a program that prints them cannot take (--fields with \
                 one aligned number is possible)";
    Err(fail(cause.into()).into())
}

/// Whether one instruction loads the whole field.
fn is_loaded_at_once(slot: Slot) -> bool {
    let is_number = match slot.ty() {
        Type::Atom(atom) => !matches!(atom.class(), AtomClass::Address | AtomClass::Float),
        Type::Enum(_) => true,
        _ => false,
    };
    let size = slot.ty().size();
    let aligned = matches!(size, 1 | 2 | 4 | 8) && slot.offset().is_multiple_of(size);
    is_number && aligned && slot.width().is_none()
}
