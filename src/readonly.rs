//! Read-only file descriptors in place of writable ones.

use crate::bpffs::pins;
use crate::error::{Cause, Error};
use bpf_inherit::AccessMode;
use bpf_inherit::Errno;
use bpf_inherit::Map;
use bpf_inherit::ObjectKind;
use bpf_inherit::bpf::{MapInfo, map_by_id};
use std::path::Path;

const OPEN: &str = "open read-only";

/// An error unless file descriptors of this kind can be read-only: every holder of a program can
/// run it, and every holder of a link can detach it. `object` is for the message.
pub fn check_kind(kind: ObjectKind, object: impl AsRef<[u8]>) -> Result<(), Error> {
    match kind {
        ObjectKind::Map => Ok(()),
        ObjectKind::Program | ObjectKind::Link => {
            let cause = format!("a {} has no read-only file descriptor", kind.noun());
            Err(Error::new(object, OPEN, cause))
        }
    }
}

/// A read-only file descriptor of a map that the caller has open with this access mode; None if
/// that is read-only already. `name` is for the message.
///
/// The map is opened by its id, else by a pin below `bpffs`. If neither is possible, that is an
/// error.
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
