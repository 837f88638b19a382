//! Read-only descriptors in place of writable ones.

use super::pin;
use crate::error::Error;
use crate::sys::bpf::{Access, map_by_id};
use crate::sys::elem::MapFd;
use crate::sys::{Errno, fd};
use std::os::fd::AsFd;
use std::path::Path;

/// A read-only descriptor of the same map: `map` itself where it is one, else the
/// map opened anew by its id, else by a pin of it below `bpffs`.
///
/// Where none can be had it is an error: never a writable one.
pub fn restrict(map: MapFd, name: Option<&[u8]>, bpffs: &Path) -> Result<MapFd, Error> {
    let id = map.info().id;
    let by_id = format!("id {id}");
    let object = name.unwrap_or(by_id.as_bytes());
    let fail = |cause| Error::new(object, "open read-only", cause);
    if fd::access(map.as_fd()).map_err(&fail)? == Access::ReadOnly {
        return Ok(map);
    }
    match map_by_id(id, Access::ReadOnly).and_then(MapFd::new) {
        Ok(map) => Ok(map),
        Err(Errno::EPERM) => pin::find_read_only(bpffs, id).ok_or_else(|| {
            let cause = "CAP_SYS_ADMIN is needed, or a pin of it that may be read";
            Error::new(object, "open read-only", cause)
        }),
        Err(errno) => Err(fail(errno)),
    }
}
