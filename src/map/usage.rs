//! How full a map is.

use super::scan::Scan;
use bpf_inherit::Map;
use bpf_inherit::{Errno, Result};

/// How many elements, or of a map of slots how many that are used. None where that cannot be told:
/// an array is always full, a queue or a ring buffer has no keys to count, and of some types
/// the kernel lets nobody read the elements.
pub fn used(map: &Map) -> Result<Option<u64>> {
    if map.info().map_type.is_filled() || map.key_len() == 0 {
        return Ok(None);
    }
    let refused = |errno| {
        // What a sockmap answers where its values have no room for a cookie is ENOSPC.
        matches!(
            errno,
            Errno::EOPNOTSUPP | Errno::UnknownErrno | Errno::EINVAL | Errno::ENOSPC | Errno::EPERM
        )
    };
    match count(map) {
        Err(errno) if refused(errno) => Ok(None),
        count => count.map(Some),
    }
}

fn count(map: &Map) -> Result<u64> {
    let mut scan = Scan::new(map)?;
    let mut count = 0;
    while let Some(chunk) = scan.next()? {
        count += chunk.iter().count() as u64;
    }
    Ok(count)
}
