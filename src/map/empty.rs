//! Clears a map. Entries that were in it at the start are deleted; those that concurrent writers
//! add may stay.

use super::scan::Scan;
use bpf_inherit::batch::Cursor;
use bpf_inherit::{Map, MapError, MapResult, MapType};

/// Entries that are deleted or written at a time, if they are small.
const CHUNK: usize = 4096;
/// Bytes that are deleted or written at a time, if they are large.
const MAX_BYTES: usize = 1 << 20;

/// Deletes every entry; writes zeroes to every slot of an array, on all CPUs; pops all values of a
/// queue.
///
/// The function ends even if concurrent writers keep adding entries. No entry that the map had at
/// the start is left.
///
/// # Errors
/// [`MapError::Denied`] if the file descriptor is not opened for what the map type requires (writing, and for a
/// hash or a queue reading too), or if the map is frozen; EAGAIN from [`Scan::next`]. Entries that
/// were deleted before the error stay deleted.
pub fn clear(map: &Map) -> MapResult<()> {
    let kind = map.info().map_type;
    if kind.is_queue() {
        pop_all(map)
    } else if kind.is_filled() {
        zero_all(map)
    } else if kind.is_walked_by_index() {
        delete_slots(map)
    } else {
        match delete_buckets(map) {
            Err(MapError::Unsupported(_)) => delete_keys(map),
            result => result,
        }
    }
}

/// The number of entries to process at a time.
fn chunk_len(map: &Map) -> usize {
    (MAX_BYTES / (map.key_len() + map.value_len()).max(1)).clamp(1, CHUNK)
}

/// Pops as many values as a queue can have had at the start.
fn pop_all(map: &Map) -> MapResult<()> {
    let mut value = vec![0; map.value_len()];
    for _ in 0..map.info().max_entries {
        if !map.take(&[], &mut value)? {
            break;
        }
    }
    Ok(())
}

/// Writes zeroes to all values of an array, in batches if the kernel supports them for this type.
fn zero_all(map: &Map) -> MapResult<()> {
    let chunk = chunk_len(map);
    let zeroes = vec![0; chunk * map.value_len()];
    let mut batches = true;
    let mut first = 0;
    while first < map.info().max_entries {
        let count = (map.info().max_entries - first).min(chunk as u32);
        let keys: Vec<u8> = (first..first + count).flat_map(u32::to_ne_bytes).collect();
        let values = &zeroes[..count as usize * map.value_len()];
        if batches {
            match map.update_batch(&keys, values, 0) {
                Ok(()) => {}
                Err((_, MapError::Unsupported(_))) => {
                    batches = false;
                    continue;
                }
                Err((_, error)) => return Err(error),
            }
        } else {
            keys.chunks_exact(4)
                .try_for_each(|key| map.update(key, &zeroes[..map.value_len()], 0))?;
        }
        first += count;
    }
    Ok(())
}

/// Deletes the programs, maps, sockets or devices in all slots, of which some may be empty.
fn delete_slots(map: &Map) -> MapResult<()> {
    for slot in 0..map.info().max_entries {
        match map.delete(&slot.to_ne_bytes()) {
            Ok(_) => {}
            // The error of a sockmap for an empty slot.
            Err(MapError::Invalid) if map.info().map_type == MapType::SOCKMAP => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Deletes the entries of each bucket of a hash once.
fn delete_buckets(map: &Map) -> MapResult<()> {
    let chunk = chunk_len(map);
    let mut keys = vec![0; chunk * map.key_len()];
    let mut values = vec![0; chunk * map.value_len()];
    let mut cursor = Cursor::new(map);
    loop {
        match cursor.lookup(&mut keys, &mut values, true) {
            Ok(batch) if batch.end => return Ok(()),
            Ok(_) => {}
            Err(MapError::NoRoom) => {
                keys.resize(keys.len() * 2, 0);
                values.resize(values.len() * 2, 0);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Deletes each key that a walk returns. If the walk cannot continue from the key that was deleted,
/// the kernel starts over with the remaining keys.
fn delete_keys(map: &Map) -> MapResult<()> {
    let mut scan = Scan::new(map)?.keys_only();
    while let Some(chunk) = scan.next()? {
        let mut keys = chunk.keys();
        while !keys.is_empty() {
            let done = match map.delete_batch(keys) {
                Ok(()) => break,
                // Another process has deleted it.
                Err((done, MapError::Missing)) => done + 1,
                Err((_, MapError::Unsupported(_))) => {
                    map.delete(&keys[..map.key_len()])?;
                    1
                }
                Err((_, error)) => return Err(error),
            };
            keys = keys.get(done * map.key_len()..).unwrap_or_default();
        }
    }
    Ok(())
}
