//! Map references: how a map is named, the same in every subcommand.

use super::inherited;
use crate::bpffs::{self, pin};
use crate::cli::exit::warn;
use crate::error::Error;
use crate::foreign::{ForeignLayout, ForeignName};
use crate::readonly;
use crate::source::id;
use crate::text::escape;
use anyhow::{Context, anyhow, bail};
use bpf_inherit::AccessMode;
use bpf_inherit::Map;
use bpf_inherit::ObjectKind;
use bpf_inherit::Startup;
use bpf_inherit::environ::Claim;
use bpf_inherit::fd;
use bpf_inherit::object::Object;
use bpf_layout::Layout;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A reference, told apart by its syntax alone.
pub enum Reference<'a> {
    Pin(&'a Path),
    Id(&'a str),
    KernelName(&'a str),
    Descriptor(&'a str),
    Inherited(&'a [u8]),
}

pub fn parse(text: &OsStr) -> Reference<'_> {
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

/// Whether a reference names an inherited descriptor, whose open file is also its parent's.
pub fn is_inherited(text: &OsStr) -> bool {
    matches!(parse(text), Reference::Descriptor(_) | Reference::Inherited(_))
}

/// Whether a reference is `name:` and the kernel's name of a map.
pub fn is_kernel_name(text: &OsStr) -> bool {
    matches!(parse(text), Reference::KernelName(_))
}

/// The identity of the pin that a reference names now; None for any other reference.
pub fn pin_identity(text: &OsStr) -> Option<pin::Identity> {
    match parse(text) {
        Reference::Pin(path) => pin::identity(path),
        _ => None,
    }
}

/// A map with the name that goes with its reference, and the layout that the environment has.
pub struct Found {
    pub map: Map,
    /// The inherited name, the pin's file name, else the kernel's name.
    pub name: Option<ForeignName>,
    pub told: Option<ForeignLayout>,
}

impl Found {
    /// The layout in the environment. One that does not fit is dropped, with a warning.
    pub fn take_layout(&mut self) -> Option<Layout> {
        match self.told.take()?.fit(self.map.info()) {
            Ok(layout) => Some(layout),
            Err(warning) => {
                warn(crate::cli::map::PROGRAM, warning);
                None
            }
        }
    }
}

/// Finds the map that `text` names.
pub fn find(startup: &Startup, text: &OsStr, access: AccessMode) -> anyhow::Result<Found> {
    let label = escape(text.as_bytes());
    let (map, claim) = match parse(text) {
        Reference::Pin(path) => {
            let name = path.file_name().map(|name| ForeignName::new(name.as_bytes()));
            let map = pin::open_map(path, access, Path::new(bpffs::ROOT))?;
            return Ok(Found { map, name, told: None });
        }
        Reference::Id(id) => {
            let id = id.parse().map_err(|_| anyhow!("not a map id")).context(label)?;
            (id::open_map(id, access != AccessMode::ReadWrite)?, None)
        }
        Reference::KernelName(name) => {
            (id::open_named(name.as_bytes(), access != AccessMode::ReadWrite)?, None)
        }
        Reference::Descriptor(number) => {
            let (object, claim) =
                inherited::descriptor(startup, ObjectKind::Map, number).context(label)?;
            (map(object)?, claim)
        }
        Reference::Inherited(name) => {
            let (object, claim) =
                inherited::by_name(startup, ObjectKind::Map, name).context(label)?;
            (map(object)?, Some(claim))
        }
    };
    let label = claim.as_ref().map(|claim| format!("{}_LAYOUT", claim.variable()));
    let Claim { name, layout, .. } = claim.unwrap_or_default();
    let kernel = || Some(map.info().name.clone()).filter(|name| !name.is_empty());
    let name = name.or_else(kernel).map(ForeignName::new);
    let told = layout.zip(label).map(|(layout, label)| ForeignLayout::new(layout, label));
    Ok(Found { map, name, told })
}

/// Finds the map that `text` names, for others to have: read-write, or as it was inherited, or
/// else read-only, or not at all.
pub fn find_for_others(startup: &Startup, text: &OsStr, read_only: bool) -> anyhow::Result<Found> {
    let access = if read_only { AccessMode::ReadOnly } else { AccessMode::ReadWrite };
    let found = find(startup, text, access)?;
    if !read_only {
        return Ok(found);
    }
    let access = fd::access_mode(found.map.as_fd())
        .map_err(|errno| Error::new(text.as_bytes(), "read access mode", errno))?;
    let bpffs = Path::new(bpffs::ROOT);
    let reopened = readonly::reopen(found.map.info(), access, Some(text.as_bytes()), bpffs)?;
    Ok(Found { map: reopened.unwrap_or(found.map), ..found })
}

/// The map of an object that was asked for as one.
fn map(object: Object) -> anyhow::Result<Map> {
    match object {
        Object::Map(map) => Ok(map),
        other => bail!("{}, not a map", other.kind().with_article()),
    }
}
