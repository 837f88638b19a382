//! The number of entries of a map that is created from a declaration.

use crate::error::Cause;
use crate::object::Declaration;
use bpf_inherit::MapType;
use bpf_inherit::cpus::possible_cpus;

/// The number of entries that loaders choose: a ring buffer has a power of two of whole pages, and an
/// array of perf events without a declared number has one entry for each CPU.
pub fn max_entries(map: &Declaration) -> Result<u32, Cause> {
    match map.map_type {
        MapType::PERF_EVENT_ARRAY if map.max_entries == 0 => {
            let cpus = possible_cpus().map_err(|error| Cause::from(error.to_string()))?;
            Ok(cpus.len() as u32)
        }
        MapType::RINGBUF | MapType::USER_RINGBUF if map.max_entries > 0 => {
            let page = page_size();
            let pages = map.max_entries.div_ceil(page).checked_next_power_of_two();
            // A size of more than 32 bits is left to the kernel, which refuses it.
            Ok(pages.and_then(|pages| pages.checked_mul(page)).unwrap_or(map.max_entries))
        }
        _ => Ok(map.max_entries),
    }
}

fn page_size() -> u32 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    size.ok().flatten().and_then(|size| u32::try_from(size).ok()).unwrap_or(4096)
}
