//! Walks over all elements of a map, with explained errors.

use super::named;
use super::opened::Target;
use crate::error::{Cause, Error};
use crate::map::scan::{Chunk, Scan};
use anyhow::bail;
use bpf_inherit::mmap::Mapped;
use bpf_inherit::{AccessMode, Errno, Map, MapError, Startup};
use bpf_layout::Type;
use std::ffi::OsStr;
use std::path::Path;

/// A second, read-write fd for the map of `target`, whose reference is `text`, so that the map can
/// be mapped into memory: only if mapping is faster, and if the first fd does not permit it.
pub fn writable(startup: &Startup, bpffs: &Path, text: &OsStr, target: &Target) -> Option<Map> {
    let info = target.map.info();
    if !Mapped::is_made_for(info) || Scan::can_map(&target.map) {
        return None;
    }
    // Without permission to write, the map is read through the first fd.
    let other = named::open_map(startup, bpffs, text, AccessMode::ReadWrite).ok()?.object;
    // A pin may have been replaced since.
    (other.info().id == info.id).then_some(other)
}

impl Target {
    /// The type of the keys. If the kernel does not iterate over the entries, the error names an
    /// alternative. `operation` is the subcommand.
    pub fn walked_key(&self, operation: &'static str) -> anyhow::Result<&Type> {
        let kind = self.map.info().map_type;
        if let Some(instead) = crate::map::advice::find_walk_alternative(kind) {
            bail!(
                "{}: {operation}: not possible with {}: {instead}",
                self.label,
                kind.with_article()
            );
        }
        let Some(key) = &self.layout.key else {
            bail!("{}: {operation}: {} has no keys", self.label, kind.with_article());
        };
        Ok(key)
    }

    /// An error if the slots in use can only be found by reading values, which the map hides.
    pub fn check_slots_readable(&self, operation: &'static str) -> anyhow::Result<()> {
        match self.map.info().map_type.is_walked_by_index() {
            true => self.check_readable(operation),
            false => Ok(()),
        }
    }

    /// The error of a walk over the entries.
    pub fn explain_walk(&self, operation: &'static str, error: MapError) -> anyhow::Error {
        let kind = self.map.info().map_type.with_article();
        let cause: Cause = match error {
            MapError::Denied => Cause::Hint(error.into(), "the descriptor is write-only"),
            MapError::Other(Errno::EAGAIN) => {
                "it changes faster than it can be read: keys may be missing".into()
            }
            MapError::Unsupported(_) => format!("the entries of {kind} cannot be read").into(),
            _ => error.into(),
        };
        Error::new(&self.label, operation, cause).into()
    }
}

/// A walk for one subcommand.
pub struct Walk<'t> {
    target: &'t Target,
    operation: &'static str,
    scan: Scan<'t>,
}

impl<'t> Walk<'t> {
    /// From the beginning. `writable` is another descriptor for the same map, see [`writable`].
    pub fn new(
        target: &'t Target,
        operation: &'static str,
        writable: Option<&'t Map>,
    ) -> anyhow::Result<Walk<'t>> {
        let scan = Scan::with_writable(&target.map, writable);
        let scan = scan.map_err(|error| target.explain_walk(operation, error))?;
        Ok(Walk { target, operation, scan })
    }

    /// Continues if values cannot be read.
    pub fn keys_only(self) -> Walk<'t> {
        Walk { scan: self.scan.keys_only(), ..self }
    }

    /// The next elements; None at the end.
    pub fn next(&mut self) -> anyhow::Result<Option<Chunk<'_>>> {
        self.scan.next().map_err(|error| self.target.explain_walk(self.operation, error))
    }
}
