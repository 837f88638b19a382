//! When a trie has been walked often enough.
//!
//! The kernel steps through a trie without a lock. Where a node is replaced while it goes up
//! from there (trie_get_next_key() compares a parent's child with the node it came from), it
//! takes that for the right branch, and passes over the one it has not been in. So one walk
//! may miss keys that were there all the time, beside one that comes and goes.

/// Walks without news that are enough, however much the trie changes.
const QUIET: u32 = 4;
/// Walks that are enough even if each of them has news.
const MOST: u32 = 16;

/// Counts walks over one trie.
#[derive(Debug, Default)]
pub struct Passes {
    done: u32,
    quiet: u32,
    given: usize,
    fresh: usize,
}

impl Passes {
    /// In the present walk the kernel gave so many keys, of which so many are new.
    pub fn count(&mut self, given: usize, fresh: usize) {
        self.given += given;
        self.fresh += fresh;
    }

    /// The present walk is at its end; `known` keys were given so far. Whether it was the last:
    /// it gave just what was known, or several had no news.
    pub fn end(&mut self, known: usize) -> bool {
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

    /// How many walks it takes, of which each gives so many keys, so many of them new.
    fn walks(each: &[(usize, usize)]) -> usize {
        let (mut passes, mut known) = (Passes::default(), 0);
        for (n, &(given, fresh)) in
            each.iter().chain(each.last().iter().copied().cycle()).enumerate()
        {
            known += fresh;
            passes.count(given, fresh);
            if passes.end(known) {
                return n + 1;
            }
        }
        0
    }

    #[test]
    fn a_trie_at_rest_is_walked_twice_and_a_restless_one_until_there_is_no_news() {
        assert_eq!(walks(&[(100, 100), (100, 0)]), 2);
        assert_eq!(walks(&[(0, 0)]), 1, "an empty one");
        assert_eq!(walks(&[(99, 99), (100, 1), (100, 0)]), 3);
        assert_eq!(walks(&[(100, 100), (130, 0)]), 5, "it started over");
        assert_eq!(walks(&[(100, 100), (100, 1)]), 16);
    }
}
