//! The number of walks over a trie.
//!
//! The kernel walks a trie without a lock. If a node is replaced while the walk returns from it
//! (trie_get_next_key() compares a parent's child with the node it came from), the kernel takes the
//! new node for the right branch, and skips the branch that it has not visited. So one walk may
//! miss keys that were present all the time, if another key is deleted and added concurrently.

/// Consecutive walks without a new key after which the scan ends, however much the trie changes.
const QUIET: u32 = 4;
/// Walks after which the scan ends even if each of them returned a new key.
const MOST: u32 = 16;

/// Counts walks over one trie.
#[derive(Debug, Default)]
pub struct TrieWalks {
    done: u32,
    quiet: u32,
    given: usize,
    fresh: usize,
}

impl TrieWalks {
    /// Adds to the numbers of keys that the kernel returned in this walk, and of those that were
    /// new.
    pub fn add(&mut self, given: usize, fresh: usize) {
        self.given += given;
        self.fresh += fresh;
    }

    /// Ends this walk. `known` is the number of different keys so far. Returns whether it was the
    /// last walk: it returned exactly the known keys, or several walks had no new key.
    pub fn finish(&mut self, known: usize) -> bool {
        let calm = self.fresh == 0 && self.given == known;
        self.quiet = if self.fresh == 0 { self.quiet + 1 } else { 0 };
        self.done += 1;
        (self.given, self.fresh) = (0, 0);
        calm || self.quiet >= QUIET || self.done >= MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of walks, if the kernel returns these `(keys, new keys)` in each.
    fn count_walks(each: &[(usize, usize)]) -> usize {
        let (mut passes, mut known) = (TrieWalks::default(), 0);
        for (n, &(given, fresh)) in
            each.iter().chain(each.last().iter().copied().cycle()).enumerate()
        {
            known += fresh;
            passes.add(given, fresh);
            if passes.finish(known) {
                return n + 1;
            }
        }
        0
    }

    #[test]
    fn trie_is_walked_until_no_key_is_new() {
        assert_eq!(count_walks(&[(100, 100), (100, 0)]), 2);
        assert_eq!(count_walks(&[(0, 0)]), 1, "an empty one");
        assert_eq!(count_walks(&[(99, 99), (100, 1), (100, 0)]), 3);
        assert_eq!(count_walks(&[(100, 100), (130, 0)]), 5, "it started over");
        assert_eq!(count_walks(&[(100, 100), (100, 1)]), 16);
    }
}
