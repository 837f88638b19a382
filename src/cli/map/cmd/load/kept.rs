//! Counts the loaded entries that an LRU map still has at the end: the kernel evicts entries without
//! an error, and before the map is full, because each CPU has its own list of free elements.

use super::elements::Elements;
use crate::cli::map::target::Target;
use std::collections::HashSet;

/// The keys that were loaded into an LRU map.
pub struct Kept<'t> {
    target: &'t Target,
    keys: HashSet<Box<[u8]>>,
    /// How many keys are remembered: a stream may be endless.
    limit: usize,
}

impl<'t> Kept<'t> {
    /// None if the map's type evicts nothing.
    pub fn new(target: &'t Target, stream: bool) -> Option<Kept<'t>> {
        let info = target.map.info();
        let limit = if stream { info.max_entries as usize } else { usize::MAX };
        info.map_type.evicts().then(|| Kept { target, keys: HashSet::new(), limit })
    }

    pub fn add(&mut self, written: &Elements) {
        for element in 0..written.len() {
            let key = written.keys(element, 1);
            if self.keys.len() > self.limit {
                return;
            }
            if !self.keys.contains(key) {
                self.keys.insert(key.into());
            }
        }
    }

    /// Looks all keys up, which does not make them more recent; a message if some are missing.
    pub fn check(self) -> anyhow::Result<Option<String>> {
        let (label, all) = (&self.target.label, self.keys.len());
        if all > self.limit {
            return Ok(Some(format!(
                "{label}: only {} of the entries can be in the map",
                self.limit
            )));
        }
        let mut found = 0;
        for key in &self.keys {
            found += usize::from(self.target.lookup("load", key)?.is_some());
        }
        Ok((found < all).then(|| message(label, found, all)))
    }
}

/// The message to report if entries were evicted.
pub fn message(label: &str, found: usize, all: usize) -> String {
    format!("{label}: {found} of {all} entries are in the map")
}
