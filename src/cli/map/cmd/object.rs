//! `bpf-map object`: what an object file declares, and what `bpf-exec --object` would make of it.

use crate::cli::exit::{ABSENT, FAILED};
use crate::cli::map::arguments;
use crate::cli::map::output::warn;
use crate::cli::map::session::Session;
use crate::map::flags;
use crate::object::{Declaration, Object};
use crate::output::object::{self as output, MapReport, ObjectReport, Outcome, ProgramReport};
use crate::source::object::entries::max_entries;
use crate::source::object::file::read;
use crate::source::object::pins::{AtPin, PinPlaces};
use crate::text::{escape, escape_argument};
use anyhow::Context;
use bpf_inherit::AccessMode;
use bpf_layout::{Btf, Layout};
use clap::{ArgMatches, Command};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub fn arguments(command: Command) -> Command {
    command.args([
        arguments::positional("FILE", "An object file of BPF programs")
            .value_hint(clap::ValueHint::FilePath),
        arguments::flag(
            "diff",
            "Compare with the pins: print whether each map is created, reused or refused",
        ),
        arguments::flag("json", "Print JSON"),
    ])
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    file: &'a OsStr,
    diff: bool,
    json: bool,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> Args<'a> {
        Args {
            file: arguments::required(matches, "FILE"),
            diff: matches.get_flag("diff"),
            json: matches.get_flag("json"),
        }
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let (bytes, object) = read(Path::new(args.file))?;
    let label = escape_argument(args.file.as_bytes());
    for what in &object.omitted {
        warn(format_args!("{label}: not listed: {what}"));
    }
    let places = PinPlaces::new(&session.bpffs, &bytes);
    let btf = object.btf.as_deref().map(Btf::parse).and_then(Result::ok);
    let mut maps = Vec::new();
    for map in &object.maps {
        let layout = btf.as_ref().and_then(|btf| map.layout(btf));
        let report = describe(map, layout, &object, &places, args.diff);
        maps.push(report.with_context(|| format!("{label}: {}", escape(map.name.as_bytes())))?);
    }
    let programs = object.programs.into_iter().map(|program| ProgramReport {
        name: program.name,
        section: program.section,
        r#type: program.program_type,
        size: program.size,
    });
    let report = ObjectReport { maps, programs: programs.collect() };
    match (args.json, args.diff) {
        (true, _) => session.out.data.extend(output::json(&report)),
        (false, true) => session.out.data.extend(output::outcomes(&report).as_bytes()),
        (false, false) => session.out.data.extend(output::text(&report).as_bytes()),
    }
    let statuses = report.maps.iter().map(|map| match map.outcome {
        Some(Outcome::Unknown { .. }) => FAILED,
        Some(Outcome::Refused { .. }) => ABSENT,
        Some(Outcome::Created | Outcome::Reused { .. }) | None => 0,
    });
    Ok(statuses.max().unwrap_or(0))
}

fn describe(
    map: &Declaration,
    layout: Option<Layout>,
    object: &Object,
    places: &PinPlaces,
    diff: bool,
) -> anyhow::Result<MapReport> {
    let pin = places.path(map).map_err(|cause| anyhow::anyhow!("find pin: {cause}"))?;
    let outcome = diff.then(|| match &pin {
        None => Outcome::Created,
        Some(path) => match places.inspect(path, map, object, AccessMode::ReadOnly) {
            Ok(AtPin::Nothing) => Outcome::Created,
            Ok(AtPin::Same(pinned)) => Outcome::Reused { pinned_id: pinned.info().id },
            Ok(AtPin::Other(differences)) => Outcome::Refused { cause: differences.join("; ") },
            Err(error) => Outcome::Unknown { cause: error.without_object() },
        },
    });
    Ok(MapReport {
        name: map.name.clone(),
        section: map.section.clone(),
        r#type: map.map_type.name(),
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries: max_entries(map).map_err(|cause| anyhow::anyhow!("{cause}"))?,
        flags: flags::list_names(map.flags),
        map_extra: map.extra,
        id: map.id,
        pin: pin.map(|path| path.to_string_lossy().into_owned()),
        layout: layout.map(|layout| layout.to_string()),
        outcome,
    })
}
