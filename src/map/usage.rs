//! The number of entries in a map.

use super::scan::Scan;
use bpf_inherit::{Map, MapError, MapResult};

/// Counts the entries of a map; of a map of slots, the slots that are in use. None if they cannot
/// be counted: every slot of an array has a value, a queue or a ring buffer has no keys, and the
/// kernel does not return the entries of some types.
///
/// # Errors
/// Those of [`Scan::next`], except for the errors with which the kernel refuses to return entries
/// ([`MapError::Denied`] among them): then the result is None.
pub fn count_used(map: &Map) -> MapResult<Option<u64>> {
    if map.info().map_type.is_filled() || map.key_len() == 0 {
        return Ok(None);
    }
    match count_entries(map) {
        // NoRoom is the error of a sockmap whose values have no room for a cookie.
        Err(MapError::Unsupported(_) | MapError::Invalid | MapError::NoRoom | MapError::Denied) => {
            Ok(None)
        }
        count => count.map(Some),
    }
}

fn count_entries(map: &Map) -> MapResult<u64> {
    let mut scan = Scan::new(map)?;
    let mut count = 0;
    while let Some(chunk) = scan.next()? {
        count += chunk.iter().count() as u64;
    }
    Ok(count)
}
