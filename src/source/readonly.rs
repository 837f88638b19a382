//! Read-only descriptors in place of writable ones.

use super::pin;
use crate::error::{Cause, Error};
use crate::sys::Errno;
use crate::sys::bpf::{Access, map_by_id};
use crate::sys::elem::MapFd;
use std::path::Path;

/// A read-only descriptor of the map with this id, which the caller holds: opened
/// by its id, else by a pin of it below `bpffs`. `name` is for the message.
///
/// Where none can be had it is an error: never a writable one.
pub fn reopen(id: u32, name: Option<&[u8]>, bpffs: &Path) -> Result<MapFd, Error> {
    let by_id = format!("id {id}");
    let fail = |cause: Cause| Error::new(name.unwrap_or(by_id.as_bytes()), "open read-only", cause);
    match map_by_id(id, Access::ReadOnly).and_then(MapFd::new) {
        Ok(map) => Ok(map),
        Err(Errno::EPERM) => pin::find_read_only(bpffs, id)
            .ok_or_else(|| fail("CAP_SYS_ADMIN is needed, or a pin of it that may be read".into())),
        Err(errno) => Err(fail(errno.into())),
    }
}
