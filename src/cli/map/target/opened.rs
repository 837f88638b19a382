//! An open map with its layout: what the commands work on.

use super::origin::LayoutOrigin;
use super::{advice, named};
use crate::cli::map::arguments::GivenTypes;
use crate::map::typed::{LayoutSource, check_sizes};
use crate::program::operation::ChangePrograms;
use crate::text::escape_argument;
use anyhow::{Context, bail};
use bpf_inherit::{AccessMode, Map, MapType, Startup};
use bpf_layout::{Layout, Slot};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A map, and how its user named it.
#[derive(Debug)]
pub struct Target {
    pub map: Map,
    /// The reference, escaped.
    pub label: String,
    pub layout: Layout,
    /// Where the layout comes from.
    pub origin: LayoutOrigin,
    /// The programs that change its values.
    pub programs: ChangePrograms,
}

impl Target {
    /// Opens the map that `text` names.
    pub fn open(
        startup: &Startup,
        bpffs: &Path,
        text: &OsStr,
        access: AccessMode,
        types: &GivenTypes,
    ) -> anyhow::Result<Target> {
        let mut named = named::open_map(startup, bpffs, text, access)?;
        let label = escape_argument(text.as_bytes());
        let own = named.take_layout();
        let map = named.object;
        let (mut layout, mut origin) = LayoutOrigin::layout(own, map.info());
        if let Some(value) = &types.value {
            layout.value = value.clone();
            origin.value = LayoutSource::Option;
        }
        if types.key.is_some() {
            layout.key.clone_from(&types.key);
            origin.key = LayoutSource::Option;
        }
        Target::with_layout(map, label, layout, origin)
    }

    /// The target of a map that is open already; its layout is `given`, else that of the map.
    pub fn of_map(map: Map, label: String, given: Option<&Layout>) -> anyhow::Result<Target> {
        let (layout, origin) = match given {
            Some(given) => (given.clone(), LayoutOrigin::given()),
            None => {
                let (layout, origin) = LayoutOrigin::layout(None, map.info());
                (layout, origin.of_inner())
            }
        };
        Target::with_layout(map, label, layout, origin)
    }

    /// Checks that the layout has the sizes of the map; the error names both sizes. It is also an
    /// error if the possible CPUs of a per-CPU map cannot be determined.
    fn with_layout(
        map: Map,
        label: String,
        layout: Layout,
        origin: LayoutOrigin,
    ) -> anyhow::Result<Target> {
        check_sizes(&layout, map.info()).map_err(anyhow::Error::msg).context(label.clone())?;
        if map.info().map_type.is_per_cpu() {
            map.cpus().context(label.clone())?;
        }
        Ok(Target { map, label, layout, origin, programs: ChangePrograms::default() })
    }

    /// The field of a value that an argument such as `.a.b` names; without one, the whole value.
    pub fn field(&self, path: Option<&OsStr>) -> anyhow::Result<Slot<'_>> {
        match path.map(OsStr::to_string_lossy) {
            Some(path) => self.layout.value.field(&path).with_context(|| self.label.clone()),
            None => Ok((&self.layout.value).into()),
        }
    }

    /// An error unless the map has one of the `types` for which `operation` is made. It names
    /// commands that work: `instead`, if the map has keys.
    pub fn require_type(
        &self,
        operation: &str,
        types: &[MapType],
        instead: &str,
    ) -> anyhow::Result<()> {
        let kind = self.map.info().map_type;
        if types.contains(&kind) {
            return Ok(());
        }
        let instead = if self.map.key_len() == 0 { advice::without_keys(kind) } else { instead };
        bail!("{}: {operation}: not possible with {}: {instead}", self.label, kind.with_article())
    }
}
