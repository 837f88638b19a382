//! Removes entries from a map, as many at a time as the caller asks for.

use crate::cli::map::target::Condition;
use crate::cli::map::target::Target;
use crate::cli::map::target::cpus::Placement;
use bpf_inherit::{MapError, MapResult};

/// How many keys one call gets.
const BATCH: usize = 4096;

/// The keys to remove.
pub struct Removals<'t> {
    target: &'t Target,
    placement: Placement,
    keys: Vec<u8>,
    /// How many bytes of `keys` are done.
    done: usize,
}

impl<'t> Removals<'t> {
    /// `keys` has the keys without gaps.
    pub fn new(target: &'t Target, placement: Placement, keys: Vec<u8>) -> Removals<'t> {
        Removals { target, placement, keys, done: 0 }
    }

    /// The number of remaining entries.
    pub fn len(&self) -> usize {
        (self.keys.len() - self.done) / self.target.map.key_len()
    }

    /// Removes `count` entries, or all if there are fewer. If the map's type keeps its elements,
    /// they are set to zero, for the CPUs that are written. An entry that another process has
    /// removed is not an error.
    pub fn remove(&mut self, count: usize) -> anyhow::Result<()> {
        let key_len = self.target.map.key_len();
        let keys = &self.keys[self.done..][..count.min(self.len()) * key_len];
        match self.target.map.info().map_type.keeps_elements() {
            true => keys.chunks_exact(key_len).try_for_each(|key| self.set_to_zero(key))?,
            false => {
                self.delete(keys).map_err(|error| self.target.cannot_write("remove", error))?;
            }
        }
        self.done += keys.len();
        Ok(())
    }

    fn set_to_zero(&self, key: &[u8]) -> anyhow::Result<()> {
        let Removals { target, placement, .. } = self;
        if placement.keeps_others() {
            let clear = |value: &mut [u8]| {
                placement.clear(&target.map, value);
                Ok(())
            };
            return target.change("remove", key, Condition::Present, clear).map(drop);
        }
        let zeros = vec![0; target.map.value_len()];
        target.write("remove", key, &zeros, Condition::Any).map(drop)
    }

    fn delete(&self, mut keys: &[u8]) -> MapResult<()> {
        let (map, key_len) = (&self.target.map, self.target.map.key_len());
        while !keys.is_empty() {
            let some = &keys[..keys.len().min(BATCH * key_len)];
            let done = match map.delete_batch(some) {
                Ok(()) => some.len(),
                Err((done, MapError::Missing)) => (done + 1) * key_len,
                Err((0, MapError::Unsupported(_))) => {
                    return keys
                        .chunks_exact(key_len)
                        .try_for_each(|key| map.delete(key).map(drop));
                }
                Err((_, error)) => return Err(error),
            };
            keys = &keys[done..];
        }
        Ok(())
    }
}
