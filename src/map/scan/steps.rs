//! A walk from key to key. The kernel starts over at the first key if the key to continue from was
//! deleted.

use super::seen::SeenKeys;
use bpf_inherit::{Errno, MapError, MapResult};

/// How often a call is repeated after the kernel started over: a writer that replaces a key by
/// deleting and adding it does so within microseconds.
const RETRIES: usize = 8;

/// The number of steps that a walk may still take.
#[derive(Debug)]
pub struct StepBudget(u64);

impl StepBudget {
    /// The steps for a map of `max_entries` entries: a walk takes more only if the kernel starts
    /// over.
    pub fn new(max_entries: u32) -> StepBudget {
        StepBudget(64 * u64::from(max_entries) + 4096)
    }

    /// Takes `steps` steps; false if they were the last.
    pub fn take(&mut self, steps: usize) -> bool {
        self.0 = self.0.saturating_sub(steps as u64);
        self.0 > 0
    }
}

/// The position of a walk.
#[derive(Debug, Default)]
pub struct Steps {
    first: Option<Vec<u8>>,
    last: Option<Vec<u8>>,
}

impl Steps {
    /// Writes the next key that was not seen to `key`, which has [`Map::key_len`] bytes; false at
    /// the end. `next_key` is [`Map::next_key`] of the map.
    ///
    /// A walk that cannot continue from its last key starts over and skips the keys that were seen,
    /// so the end is reached only after all keys that stay in the map.
    ///
    /// # Errors
    /// EAGAIN if the budget is used up; those of `next_key`.
    ///
    /// [`Map::key_len`]: bpf_inherit::Map::key_len
    /// [`Map::next_key`]: bpf_inherit::Map::next_key
    pub fn next(
        &mut self,
        mut next_key: impl FnMut(Option<&[u8]>, &mut [u8]) -> MapResult<bool>,
        seen: &mut SeenKeys,
        budget: &mut StepBudget,
        key: &mut [u8],
    ) -> MapResult<bool> {
        let mut retries = RETRIES;
        while next_key(self.last.as_deref(), key)? {
            let is_new = seen.add(key);
            if !is_new {
                if !budget.take(1) {
                    return Err(MapError::Other(Errno::EAGAIN));
                }
                if retries > 0 && self.first.as_deref() == Some(&*key) {
                    retries -= 1;
                    continue;
                }
            }
            self.first.get_or_insert_with(|| key.to_vec());
            let last = self.last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(key);
            if is_new {
                return Ok(true);
            }
            retries = RETRIES;
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const KEYS: u8 = 100;

    /// The change of a key when the walk is to continue from it.
    enum KeyChange {
        Unchanged,
        /// It is deleted and added again.
        Replaced,
        Deleted,
    }

    /// Walks over a hash of all keys below [`KEYS`]. Returns the keys, and the end of the walk.
    fn walk(mut change: impl FnMut(u8) -> KeyChange) -> (Vec<u8>, MapResult<()>) {
        let mut present = [true; KEYS as usize];
        let mut next_key = |from: Option<&[u8]>, key: &mut [u8]| {
            let mut from = from.map(|from| from[0]).filter(|from| present[usize::from(*from)]);
            match from.map(|key| (key, change(key))) {
                Some((_, KeyChange::Replaced)) => from = None,
                Some((key, KeyChange::Deleted)) => {
                    (present[usize::from(key)], from) = (false, None)
                }
                _ => {}
            }
            let next = (from.map_or(0, |from| from + 1)..KEYS).find(|k| present[usize::from(*k)]);
            key[0] = next.unwrap_or(KEYS);
            Ok(next.is_some())
        };
        let mut seen = SeenKeys::Set(HashSet::new());
        let (mut steps, mut budget) = (Steps::default(), StepBudget::new(KEYS.into()));
        let (mut found, mut key) = (Vec::new(), [0]);
        loop {
            match steps.next(&mut next_key, &mut seen, &mut budget, &mut key) {
                Ok(true) => found.push(key[0]),
                Ok(false) => return (found, Ok(())),
                Err(errno) => return (found, Err(errno)),
            }
        }
    }

    #[test]
    fn keys_that_are_replaced_half_of_the_time_are_found() {
        let mut state = 1u32;
        let (found, end) = walk(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 31 == 0 { KeyChange::Replaced } else { KeyChange::Unchanged }
        });
        assert_eq!((found, end), ((0..KEYS).collect(), Ok(())));
    }

    #[test]
    fn deleted_keys_do_not_hide_other_keys() {
        let (found, end) =
            walk(|key| if key % 3 == 1 { KeyChange::Deleted } else { KeyChange::Unchanged });
        assert_eq!((found, end), ((0..KEYS).collect(), Ok(())));
    }

    #[test]
    fn walk_that_cannot_continue_ends_with_an_error() {
        let mut calls = 0;
        let (found, end) = walk(|key| {
            calls += 1;
            if key >= 50 { KeyChange::Replaced } else { KeyChange::Unchanged }
        });
        assert_eq!((found, end), ((0..=50).collect(), Err(MapError::Other(Errno::EAGAIN))));
        assert!(calls < 64 * 100 + 4096 + 100, "{calls}");
    }
}
