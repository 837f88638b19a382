//! Map references: how a map is named, the same in every subcommand.

use crate::error::describe;
use crate::handoff::environ::{Claim, Class};
use crate::layout::{Layout, Type, lpm_key};
use crate::map::kind::Kind;
use crate::map::typed::Layouts;
use crate::source::{id, inherited, pin};
use crate::sys::bpf::{Access, MapInfo};
use crate::sys::elem::{MapFd, possible_cpus};
use crate::sys::process;
use crate::text::escape;
use anyhow::{Context, anyhow, bail};
use clap::{Arg, ArgMatches, Command, value_parser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A map, and how its user called it.
#[derive(Debug)]
pub struct Target {
    pub map: MapFd,
    /// The reference, escaped.
    pub label: String,
    pub layout: Layout,
}

/// A reference, told apart by its syntax alone.
enum Reference<'a> {
    Pin(&'a Path),
    Id(&'a str),
    KernelName(&'a str),
    Descriptor(&'a str),
    Inherited(&'a [u8]),
}

fn parse(text: &OsStr) -> Reference<'_> {
    let bytes = text.as_bytes();
    if bytes.contains(&b'/') {
        return Reference::Pin(Path::new(text));
    }
    let prefixed = text.to_str().and_then(|text| text.split_once(':'));
    match prefixed {
        Some(("id", id)) => Reference::Id(id),
        Some(("name", name)) => Reference::KernelName(name),
        Some(("fd", number)) => Reference::Descriptor(number),
        Some(("env", name)) => Reference::Inherited(name.as_bytes()),
        _ => match text.to_str() {
            Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                Reference::Descriptor(text)
            }
            _ => Reference::Inherited(bytes),
        },
    }
}

/// The arguments that every subcommand with a map has.
pub fn arguments(command: Command) -> Command {
    let layout = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("LAYOUT")
            .help(help)
            .value_parser(value_parser!(OsString))
    };
    command.args([
        super::positional("MAP", "The map: a name, a descriptor, a pin, id:N or name:NAME"),
        layout("key", "The type of its keys [default: as the environment or BTF says]"),
        layout("value", "The type of its values"),
    ])
}

/// Opens the map that the arguments name; with read-only access unless it is to be written.
pub fn open(matches: &ArgMatches, write: bool) -> anyhow::Result<Target> {
    let given = |name: &str| {
        let text = matches.get_one::<OsString>(name);
        text.map(|text| parse_type(text).with_context(|| format!("--{name}"))).transpose()
    };
    open_named(super::value(matches, "MAP"), write, given("key")?, given("value")?)
}

fn parse_type(text: &OsStr) -> anyhow::Result<Type> {
    Ok(text.to_str().ok_or_else(|| anyhow!("not UTF-8"))?.parse()?)
}

/// The map that `text` names, with its layout where the environment tells one.
fn find(text: &OsStr, write: bool) -> anyhow::Result<(MapFd, Option<Vec<u8>>)> {
    let access = if write { Access::ReadWrite } else { Access::ReadOnly };
    let label = escape(text.as_bytes());
    let (map, told) = match parse(text) {
        Reference::Pin(path) => (pin::open_map(path, access, Path::new(pin::ROOT))?, None),
        Reference::Id(id) => {
            let id = id.parse().map_err(|_| anyhow!("not a map id")).context(label.clone())?;
            (id::open_map(id, !write)?, None)
        }
        Reference::KernelName(name) => (id::open_named(name.as_bytes(), !write)?, None),
        Reference::Descriptor(number) => descriptor(number).context(label.clone())?,
        Reference::Inherited(name) => by_name(name).context(label.clone())?,
    };
    Ok((map, told))
}

/// Opens the map that `text` names, without a look at its layout.
pub fn open_bare(text: &OsStr, write: bool) -> anyhow::Result<MapFd> {
    find(text, write).map(|(map, _)| map)
}

/// Opens the map that `text` names. `key` and `value` are types that come before all others.
pub fn open_named(
    text: &OsStr,
    write: bool,
    key: Option<Type>,
    value: Option<Type>,
) -> anyhow::Result<Target> {
    let (map, told) = find(text, write)?;
    let label = escape(text.as_bytes());
    let mut layout = layout(&map, told.as_deref()).context(label.clone())?;
    if let Some(value) = value {
        layout.value = value;
    }
    if key.is_some() {
        layout.key = key;
    }
    check(&layout, map.info()).context(label.clone())?;
    Ok(Target { map, label, layout })
}

/// A map that was opened by other means, with the layout that was told, else its own.
pub fn with_layout(map: MapFd, label: String, told: Option<&Layout>) -> anyhow::Result<Target> {
    let layout = match told {
        Some(told) => told.clone(),
        None => layout(&map, None).context(label.clone())?,
    };
    check(&layout, map.info()).context(label.clone())?;
    Ok(Target { map, label, layout })
}

/// The map behind a descriptor's number, with its layout where the environment tells one.
fn descriptor(number: &str) -> anyhow::Result<(MapFd, Option<Vec<u8>>)> {
    let number = number.parse().map_err(|_| anyhow!("not a descriptor number"))?;
    let map = duplicate(number)?;
    let claim = claims().into_iter().find(|claim| claim.fd == number);
    Ok((map, claim.and_then(|claim| claim.layout)))
}

/// A descriptor of our own for the map that was inherited as `number`.
fn duplicate(number: i32) -> anyhow::Result<MapFd> {
    let (fd, ..) = inherited::check(number, Class::Map)
        .map_err(|what| anyhow!("descriptor {number} is {what}"))?;
    let map = fd.duplicate().and_then(MapFd::new);
    map.map_err(|errno| anyhow!("duplicate descriptor {number}: {}", describe(errno)))
}

/// The inherited map of this name.
fn by_name(name: &[u8]) -> anyhow::Result<(MapFd, Option<Vec<u8>>)> {
    let mut found: Vec<Claim> = claims();
    found.retain(|claim| claim.name.as_deref() == Some(name));
    match &found[..] {
        [] => bail!("no inherited map has this name"),
        [claim] => {
            let (index, fd) = (claim.index, claim.fd);
            let map = duplicate(fd).with_context(|| format!("BPF_MAP{index}"))?;
            Ok((map, claim.layout.clone()))
        }
        several => {
            let fds: Vec<String> = several.iter().map(|claim| claim.fd.to_string()).collect();
            bail!("{} inherited maps have this name: descriptors {}", fds.len(), fds.join(", "))
        }
    }
}

fn claims() -> Vec<Claim> {
    let environment = process::environment();
    crate::handoff::environ::claims(environment.iter().map(|e| e.as_bytes())).maps().collect()
}

/// The layout that was told, else the one that BTF tells, else one by the sizes alone.
fn layout(map: &MapFd, told: Option<&[u8]>) -> anyhow::Result<Layout> {
    let info = map.info();
    let key = (info.key_size > 0).then(|| Type::of_size(info.key_size));
    let sizes = || Layout {
        key: if Kind(info.kind) == Kind::LPM_TRIE { key.map(lpm_key) } else { key },
        value: Type::of_size(info.value_size),
    };
    let Some(told) = told else {
        return Ok(Layouts::default().layout(info).unwrap_or_else(sizes));
    };
    let text = std::str::from_utf8(told).map_err(|_| anyhow!("its layout is not UTF-8"))?;
    text.parse().context("layout")
}

/// An error that names both sizes, unless the layout has those of the map; and one where
/// the sizes of a per-CPU map cannot be known.
fn check(layout: &Layout, info: &MapInfo) -> anyhow::Result<()> {
    let key = layout.key.as_ref().map_or(0, Type::size);
    let value = layout.value.size();
    for (what, told, real) in [("key", key, info.key_size), ("value", value, info.value_size)] {
        if told != real as usize {
            bail!("layout: a {what} of {told} bytes, where the map's is {real}");
        }
    }
    if Kind(info.kind).is_per_cpu() {
        // Without their number nobody knows how long an element is.
        possible_cpus().map_err(|errno| anyhow!("possible CPUs: read: {}", describe(errno)))?;
    }
    Ok(())
}
