//! Opens the object that a reference names: used for all maps, programs and links.

use super::inherited;
use super::reference::{self, Reference};
use crate::bpffs::pin;
use crate::cli::map::output::warn;
use crate::error::Error;
use crate::foreign::{ForeignLayout, ForeignName, Named};
use crate::readonly;
use crate::source::id;
use crate::text::escape_argument;
use anyhow::{Context, anyhow, bail};
use bpf_inherit::environ::Claim;
use bpf_inherit::object::Object;
use bpf_inherit::{AccessMode, Map, ObjectKind, Startup, fd};
use bpf_layout::Layout;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

impl Named<Map> {
    /// The layout in the environment. If it does not fit the map, it is dropped, with a warning.
    pub fn take_layout(&mut self) -> Option<Layout> {
        match self.layout.take()?.fit(self.object.info()) {
            Ok(layout) => Some(layout),
            Err(warning) => {
                warn(warning);
                None
            }
        }
    }
}

/// Opens the object that `text` names. Only maps have access modes, and an inherited map keeps
/// its own. `bpffs` is the root of the BPF file system.
pub fn open(
    startup: &Startup,
    bpffs: &Path,
    text: &OsStr,
    access: AccessMode,
) -> anyhow::Result<Named<Object>> {
    let (kind, rest) = reference::split_kind(text);
    let label = escape_argument(text.as_bytes());
    let read_only = access == AccessMode::ReadOnly;
    let (object, claim) = match reference::parse(rest) {
        Reference::Pin(path) => {
            let object = match kind {
                ObjectKind::Map => pin::open_map(path, access, bpffs)?.into(),
                ObjectKind::Program | ObjectKind::Link => {
                    pin::open_object(kind, path, false, bpffs)?
                }
            };
            let name = path.file_name().map(OsStr::as_bytes).or(object.name());
            let name = name.map(ForeignName::new);
            return Ok(Named { object, name, layout: None });
        }
        Reference::Id(id) => {
            let digits = Some(id).filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()));
            let id = digits
                .and_then(|id| id.parse().ok())
                .ok_or_else(|| anyhow!("not a {} id", kind.noun()))
                .context(label)?;
            (id::open(kind, id, read_only)?, None)
        }
        Reference::KernelName(name) => (id::open_named(kind, name.as_bytes(), read_only)?, None),
        Reference::Descriptor(number) => {
            inherited::open_number(startup, kind, number).context(label)?
        }
        Reference::Inherited(name) => {
            let (object, claim) = inherited::open_name(startup, kind, name).context(label)?;
            (object, Some(claim))
        }
    };
    let variable = claim.as_ref().map(|claim| format!("{}_LAYOUT", claim.variable()));
    let Claim { name, layout, .. } = claim.unwrap_or_default();
    let name = name.or_else(|| object.name().map(<[u8]>::to_vec)).map(ForeignName::new);
    let layout = layout.zip(variable).map(|(layout, label)| ForeignLayout::new(layout, label));
    Ok(Named { object, name, layout })
}

/// Opens the map that `text` names.
pub fn open_map(
    startup: &Startup,
    bpffs: &Path,
    text: &OsStr,
    access: AccessMode,
) -> anyhow::Result<Named<Map>> {
    let (kind, _) = reference::split_kind(text);
    if kind != ObjectKind::Map {
        bail!("{}: {}, not a map", escape_argument(text.as_bytes()), kind.with_article());
    }
    let Named { object, name, layout } = open(startup, bpffs, text, access)?;
    match object {
        Object::Map(object) => Ok(Named { object, name, layout }),
        other => bail!(
            "{}: {}, not a map",
            escape_argument(text.as_bytes()),
            other.kind().with_article()
        ),
    }
}

/// Opens the map that `text` names for another process: with `read_only`, read-only or not at all;
/// otherwise read-write, or with the access mode that was inherited.
pub fn open_map_to_send(
    startup: &Startup,
    bpffs: &Path,
    text: &OsStr,
    read_only: bool,
) -> anyhow::Result<Named<Map>> {
    let access = if read_only { AccessMode::ReadOnly } else { AccessMode::ReadWrite };
    let named = open_map(startup, bpffs, text, access)?;
    if !read_only {
        return Ok(named);
    }
    let access = fd::access_mode(named.object.as_fd())
        .map_err(|errno| Error::new(text.as_bytes(), "read access mode", errno))?;
    let reopened = readonly::reopen(named.object.info(), access, Some(text.as_bytes()), bpffs)?;
    Ok(Named { object: reopened.unwrap_or(named.object), ..named })
}
