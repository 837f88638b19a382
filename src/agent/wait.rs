//! A client that waits for names to be stored.

use super::store::Store;
use std::time::{Duration, Instant};

/// A WAIT that is not answered yet.
#[derive(Debug)]
pub struct Wait {
    names: Vec<Vec<u8>>,
    /// The index of a name that was missing when the names were last looked up.
    missing: usize,
    /// None without a time limit.
    pub until: Option<Instant>,
}

impl Wait {
    /// Waits for `names`; 0 milliseconds are no time limit.
    pub fn new(names: Vec<Vec<u8>>, milliseconds: u32, now: Instant) -> Wait {
        let time = Duration::from_millis(milliseconds.into());
        let until = (milliseconds > 0).then(|| now.checked_add(time)).flatten();
        Wait { names, missing: 0, until }
    }

    /// Whether the name that was missing is stored now, so that [`Wait::found`] is to be called.
    pub fn may_be_over(&self, store: &Store) -> bool {
        self.names.get(self.missing).is_none_or(|name| store.get(name).is_some())
    }

    /// All names, if all of them are stored now: the wait is over then.
    pub fn found(&mut self, store: &Store) -> Option<Vec<Vec<u8>>> {
        if !self.may_be_over(store) {
            return None;
        }
        if let Some(missing) = self.names.iter().position(|name| store.get(name).is_none()) {
            self.missing = missing;
            return None;
        }
        Some(std::mem::take(&mut self.names))
    }

    pub fn is_late(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}
