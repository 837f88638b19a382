//! The keys that a walk has returned, for types whose walk the kernel may start over.

use bpf_inherit::MapType;
use std::collections::HashSet;

/// The keys that were returned.
#[derive(Debug)]
pub enum SeenKeys {
    /// Keys are not recorded, because the kernel returns every key once.
    Once,
    /// These keys, which the kernel may return again.
    Set(HashSet<Box<[u8]>>),
}

impl SeenKeys {
    /// The keys of a walk in batches. The cursor of a trie is a key, and the kernel starts over if
    /// that key was deleted; other cursors are a bucket or an index.
    pub fn new_for_batches(kind: MapType) -> SeenKeys {
        if kind == MapType::LPM_TRIE { SeenKeys::Set(HashSet::new()) } else { SeenKeys::Once }
    }

    /// Records keys from here on, if the kernel may return a key twice in a walk key by key.
    pub fn track_steps(&mut self, kind: MapType) {
        if !self.can_repeat() && !kind.is_walked_by_index() {
            *self = SeenKeys::Set(HashSet::new());
        }
    }

    /// Whether a key may be returned again.
    pub fn can_repeat(&self) -> bool {
        !matches!(self, SeenKeys::Once)
    }

    /// The number of recorded keys.
    pub fn len(&self) -> usize {
        match self {
            SeenKeys::Once => 0,
            SeenKeys::Set(keys) => keys.len(),
        }
    }

    /// Records a key; false if it was returned before.
    pub fn add(&mut self, key: &[u8]) -> bool {
        match self {
            SeenKeys::Once => true,
            // Looked up first, because a key that is returned again need not be copied.
            SeenKeys::Set(keys) => !keys.contains(key) && keys.insert(key.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_are_recognized() {
        let mut seen = SeenKeys::Once;
        seen.track_steps(MapType(7));
        assert!(!seen.can_repeat());
        seen.track_steps(MapType(25));
        assert!(seen.can_repeat() && seen.add(b"a") && seen.add(b"b") && !seen.add(b"a"));
        assert_eq!(seen.len(), 2);
    }
}
