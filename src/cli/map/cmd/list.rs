//! `bpf-map list`: what is inherited, or all maps that the caller may see.

use crate::bpffs::pins::{self, Pinned};
use crate::cli::map::arguments;
use crate::cli::map::output::{warn, warn_if_incomplete};
use crate::cli::map::session::Session;
use crate::map::flags;
use crate::map::typed::{LayoutSource, Layouts};
use crate::output::prometheus::entries;
use crate::output::{self, MapRow, Row, Whole};
use crate::program::count_all;
use crate::source::id;
use crate::source::inherited;
use crate::text::escape;
use anyhow::bail;
use bpf_inherit::AccessMode;
use bpf_inherit::bpf::MapInfo;
use bpf_inherit::describe;
use bpf_inherit::environ::Scope;
use bpf_inherit::inherited::Inherited;
use bpf_inherit::object::Info;
use bpf_inherit::{Errno, MapType};
use clap::{ArgMatches, Command};
use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub fn arguments(command: Command) -> Command {
    command.args([
        arguments::flag(
            "all",
            "List every map that may be seen, whatever the environment declares",
        ),
        arguments::flag("json", "Print JSON"),
        arguments::flag("prometheus", "Print the numbers of entries of maps as metrics")
            .conflicts_with("json"),
    ])
}

#[derive(Debug, Default, PartialEq)]
pub struct Args {
    all: bool,
    json: bool,
    prometheus: bool,
}

impl Args {
    pub fn new(matches: &ArgMatches) -> Args {
        let flag = |name| matches.get_flag(name);
        Args { all: flag("all"), json: flag("json"), prometheus: flag("prometheus") }
    }
}

pub fn run(Args { all, json, prometheus }: Args, session: &mut Session) -> anyhow::Result<u8> {
    let Session { startup, bpffs, out, .. } = session;
    let inherited = inherited::open(startup)?;
    for warning in &inherited.warnings {
        warn(warning);
    }
    let mut layouts = Layouts::default();
    let (mut rows, mut others) = (Vec::new(), Vec::new());
    for object in inherited.objects {
        match inherited_row(object, &mut layouts) {
            Row::Map(row) => rows.push(row),
            other => others.push(other),
        }
    }
    let nothing = rows.is_empty() && others.is_empty();
    let all = all || nothing && inherited.scope == Scope::Undeclared;
    if nothing && !all {
        let reason = inherited.scope.why_nothing();
        out.report(format_args!("list: nothing to list: {reason} (--all lists every map)"))?;
    }
    let mut status = 0;
    if all || json || prometheus {
        let (pinned, missing) = pins::by_id(bpffs)?;
        status = warn_if_incomplete(&missing);
        if all {
            add_others(bpffs, &mut rows, others.is_empty(), &pinned, &mut layouts)?;
        }
        for row in &mut rows {
            if let (Some(whole), Some((_, pins))) = (&mut row.whole, pinned.get(&row.id)) {
                whole.pins.clone_from(pins);
            }
        }
    } else {
        // The table of inherited maps does without what takes a walk.
        rows.iter_mut().for_each(|row| row.whole = None);
    }
    count(&mut rows);
    if prometheus {
        entries::metrics(&rows, &mut out.data);
        return Ok(status);
    }
    let rows: Vec<Row> = rows.into_iter().map(Row::Map).chain(others).collect();
    match json {
        true => out.data.extend(output::document::json(&rows)),
        false => out.data.extend(output::table::list(&rows).as_bytes()),
    }
    Ok(status)
}

/// Adds the numbers of entries that the kernel counts, if it may be asked.
fn count(rows: &mut [MapRow]) {
    let is_counted = |row: &MapRow| MapType::COUNTED.iter().any(|known| known.name() == row.kind);
    let counts = match rows.iter().any(is_counted) {
        true => count_all().unwrap_or_default(),
        false => HashMap::new(),
    };
    for row in rows {
        row.entries = Some(counts.get(&row.id).copied());
    }
}

/// Adds a row for every other map, by rising id. If the kernel refuses to list maps, that is an
/// error only if nothing else is listed: with `alone`, and without a row.
fn add_others(
    bpffs: &Path,
    rows: &mut Vec<MapRow>,
    alone: bool,
    pinned: &Pinned,
    layouts: &mut Layouts,
) -> anyhow::Result<()> {
    let mut infos = BTreeMap::new();
    let read = id::for_each(true, |map| drop(infos.insert(map.info().id, map.info().clone())));
    match read {
        Ok(()) => {}
        Err(Errno::EPERM) if alone && rows.is_empty() && pinned.is_empty() => bail!(
            "list: nothing is inherited, no pin below {} may be read, and other maps need CAP_SYS_ADMIN",
            escape(bpffs.as_os_str().as_bytes())
        ),
        // Only pinned maps are listed.
        Err(Errno::EPERM) => {
            infos.extend(pinned.iter().map(|(id, (info, _))| (*id, info.clone())));
        }
        Err(errno) => bail!("list: {}", describe(errno)),
    }
    // One map may be inherited by several descriptors.
    for row in rows.iter() {
        infos.remove(&row.id);
    }
    rows.extend(infos.values().map(|info| {
        let name = Some(info.name.clone()).filter(|name| !name.is_empty());
        let nowhere = MapRow::new(0, 0, name, layouts.read_text(info), info, AccessMode::ReadOnly);
        MapRow { index: None, fd: None, access: None, whole: whole(info), ..nowhere }
    }));
    Ok(())
}

fn inherited_row(Inherited { claim, info, .. }: Inherited, layouts: &mut Layouts) -> Row {
    let layout = match &info {
        Info::Map(map, _) => match claim.layout {
            Some(layout) => (Some(layout), LayoutSource::Environment),
            None => layouts.read_text(map),
        },
        _ => (None, LayoutSource::Size),
    };
    match (Row::new(claim.index, claim.fd, claim.name, layout, &info), info) {
        (Row::Map(row), Info::Map(map, _)) => Row::Map(MapRow { whole: whole(&map), ..row }),
        (row, _) => row,
    }
}

/// The additional members of a row; the pins are added later.
fn whole(info: &MapInfo) -> Option<Whole> {
    Some(Whole { flags: flags::list_names(info.flags), pins: Vec::new() })
}
