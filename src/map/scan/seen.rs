//! Which keys a walk has given, for types over which the kernel may start again.

use bpf_inherit::MapType;
use std::collections::HashSet;

/// What was given.
#[derive(Debug)]
pub enum Seen {
    /// The kernel gives every key once.
    Once,
    /// These; it may give them again.
    Set(HashSet<Box<[u8]>>),
}

impl Seen {
    /// For a walk in batches. A trie's cursor is a key, and the kernel starts over where
    /// that was deleted; the others' is a bucket or an index.
    pub fn of_batches(kind: MapType) -> Seen {
        if kind == MapType::LPM_TRIE { Seen::Set(HashSet::new()) } else { Seen::Once }
    }

    /// From here on the walk goes key by key.
    pub fn in_steps(&mut self, kind: MapType) {
        if !self.can_repeat() && !kind.is_walked_by_index() {
            *self = Seen::Set(HashSet::new());
        }
    }

    /// Whether a key may be given again.
    pub fn can_repeat(&self) -> bool {
        !matches!(self, Seen::Once)
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        match self {
            Seen::Once => 0,
            Seen::Set(keys) => keys.len(),
        }
    }

    /// Adds a key; false where it was given before.
    pub fn add(&mut self, key: &[u8]) -> bool {
        match self {
            Seen::Once => true,
            // Looked up first: most repetitions come in long rows, and need no copy.
            Seen::Set(keys) => !keys.contains(key) && keys.insert(key.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_a_key_once_and_an_index_is_never_asked_about() {
        let mut seen = Seen::Once;
        seen.in_steps(MapType(7));
        assert!(!seen.can_repeat());
        seen.in_steps(MapType(25));
        assert!(seen.can_repeat() && seen.add(b"a") && seen.add(b"b") && !seen.add(b"a"));
        assert_eq!(seen.len(), 2);
    }
}
