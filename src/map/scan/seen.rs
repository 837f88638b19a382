//! The keys that a walk has returned, for types whose walk the kernel may start over.

use bpf_inherit::MapType;
use std::collections::HashSet;

/// The keys that were returned.
#[derive(Debug)]
pub enum Seen {
    /// Not recorded: the kernel returns every key once.
    Once,
    /// These, which the kernel may return again.
    Set(HashSet<Box<[u8]>>),
}

impl Seen {
    /// For a walk in batches. The cursor of a trie is a key, and the kernel starts over if that key
    /// was deleted; other cursors are a bucket or an index.
    pub fn of_batches(kind: MapType) -> Seen {
        if kind == MapType::LPM_TRIE { Seen::Set(HashSet::new()) } else { Seen::Once }
    }

    /// Continues the walk key by key.
    pub fn in_steps(&mut self, kind: MapType) {
        if !self.can_repeat() && !kind.is_walked_by_index() {
            *self = Seen::Set(HashSet::new());
        }
    }

    /// Whether a key may be returned again.
    pub fn can_repeat(&self) -> bool {
        !matches!(self, Seen::Once)
    }

    /// The number of recorded keys.
    pub fn len(&self) -> usize {
        match self {
            Seen::Once => 0,
            Seen::Set(keys) => keys.len(),
        }
    }

    /// Records a key; false if it was returned before.
    pub fn add(&mut self, key: &[u8]) -> bool {
        match self {
            Seen::Once => true,
            // Looked up first: most repetitions follow each other, and need no copy.
            Seen::Set(keys) => !keys.contains(key) && keys.insert(key.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_are_recognized() {
        let mut seen = Seen::Once;
        seen.in_steps(MapType(7));
        assert!(!seen.can_repeat());
        seen.in_steps(MapType(25));
        assert!(seen.can_repeat() && seen.add(b"a") && seen.add(b"b") && !seen.add(b"a"));
        assert_eq!(seen.len(), 2);
    }
}
