//! Programs that become values of maps, by pin or id.

use super::id;
use crate::bpffs::{self, pin};
use crate::error::Error;
use bpf_inherit::ObjectKind;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Opens the program pinned at `path`.
pub fn open_pinned(path: &Path) -> Result<OwnedFd, Error> {
    Ok(pin::open_object(ObjectKind::Program, path, false, Path::new(bpffs::ROOT))?.into())
}

/// Opens the program with this id, which needs CAP_SYS_ADMIN.
pub fn open_by_id(id: u32) -> Result<OwnedFd, Error> {
    Ok(id::open(ObjectKind::Program, id, false)?.into())
}
