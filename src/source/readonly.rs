//! Read-only descriptors in place of writable ones.

use super::pin;
use crate::error::{Cause, Error};
use crate::sys::Errno;
use crate::sys::bpf::{Access, MapInfo, map_by_id};
use crate::sys::elem::MapFd;
use std::path::Path;

/// A read-only descriptor to take the place of one with this access mode, which the caller
/// holds; None where that is read-only itself. `name` is for the message.
///
/// The map is opened by its id, else by a pin of it below `bpffs`. Where neither can be
/// done it is an error: never a writable one.
pub fn ensure(
    info: &MapInfo,
    access: Access,
    name: Option<&[u8]>,
    bpffs: &Path,
) -> Result<Option<MapFd>, Error> {
    if access == Access::ReadOnly {
        return Ok(None);
    }
    let by_id = format!("id {}", info.id);
    let fail = |cause: Cause| Error::new(name.unwrap_or(by_id.as_bytes()), "open read-only", cause);
    match map_by_id(info.id, Access::ReadOnly).and_then(MapFd::new) {
        Ok(map) => Ok(Some(map)),
        Err(Errno::EPERM) => pin::find_read_only(bpffs, info.id)
            .map(Some)
            .ok_or_else(|| fail("CAP_SYS_ADMIN is needed, or a pin of it that may be read".into())),
        Err(errno) => Err(fail(errno.into())),
    }
}
