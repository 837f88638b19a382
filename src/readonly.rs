//! Read-only descriptors in place of writable ones.

use crate::bpffs::pins;
use crate::error::{Cause, Error};
use bpf_inherit::AccessMode;
use bpf_inherit::Errno;
use bpf_inherit::Map;
use bpf_inherit::ObjectKind;
use bpf_inherit::bpf::{MapInfo, map_by_id};
use std::path::Path;

const OPEN: &str = "open read-only";

/// An error, for `object` as its user calls it, unless this kind has read-only descriptors:
/// whoever holds a program can run it, and whoever holds a link can detach it.
pub fn check_kind(kind: ObjectKind, object: impl AsRef<[u8]>) -> Result<(), Error> {
    match kind {
        ObjectKind::Map => Ok(()),
        ObjectKind::Program | ObjectKind::Link => {
            let cause = format!("a {} has no read-only file descriptor", kind.noun());
            Err(Error::new(object, OPEN, cause))
        }
    }
}

/// A read-only descriptor to take the place of one with this access mode, which the caller
/// holds; None where that is read-only itself. `name` is for the message.
///
/// The map is opened by its id, else by a pin of it below `bpffs`. Where neither can be
/// done it is an error: never a writable one.
pub fn reopen(
    info: &MapInfo,
    mode: AccessMode,
    name: Option<&[u8]>,
    bpffs: &Path,
) -> Result<Option<Map>, Error> {
    if mode == AccessMode::ReadOnly {
        return Ok(None);
    }
    let by_id = format!("id {}", info.id);
    let fail = |cause: Cause| Error::new(name.unwrap_or(by_id.as_bytes()), OPEN, cause);
    match map_by_id(info.id, AccessMode::ReadOnly).and_then(Map::new) {
        Ok(map) => Ok(Some(map)),
        Err(Errno::EPERM) => pins::find_read_only(bpffs, info.id)
            .map(Some)
            .ok_or_else(|| fail("CAP_SYS_ADMIN or a readable pin of the map is needed".into())),
        Err(errno) => Err(fail(errno.into())),
    }
}
