//! A client that waits for names to be stored, or for a name to refer to another object.

use super::store::Store;
use std::time::{Duration, Instant};

/// A WAIT that is not answered yet.
#[derive(Clone, Debug)]
pub struct Wait {
    names: Vec<Vec<u8>>,
    /// The index of a name that was missing when the names were last looked up.
    missing: usize,
    /// The id of the object of the only name, if the client waits for another one.
    changed_from: Option<u32>,
    /// None without a time limit.
    pub until: Option<Instant>,
}

impl Wait {
    /// Waits until all of `names` are stored; 0 milliseconds mean no time limit.
    pub fn new(names: Vec<Vec<u8>>, milliseconds: u32) -> Wait {
        let time = Duration::from_millis(milliseconds.into());
        let until = (milliseconds > 0).then(|| Instant::now().checked_add(time)).flatten();
        Wait { names, missing: 0, changed_from: None, until }
    }

    /// Waits until `name` does not refer to the object with this id.
    pub fn for_change(name: Vec<u8>, id: u32, milliseconds: u32) -> Wait {
        Wait { changed_from: Some(id), ..Wait::new(vec![name], milliseconds) }
    }

    pub fn names(&self) -> &[Vec<u8>] {
        &self.names
    }

    /// Whether the name that was missing is stored now, or the name has changed, so that
    /// [`Wait::found`] is to be called.
    pub fn may_be_over(&self, store: &Store) -> bool {
        let is_over = |name: &Vec<u8>| match (self.changed_from, store.get(name)) {
            (None, stored) => stored.is_some(),
            (Some(id), stored) => stored.is_none_or(|stored| stored.about.id != id),
        };
        self.names.get(self.missing).is_none_or(is_over)
    }

    /// All names, if the wait is over.
    pub fn found(&mut self, store: &Store) -> Option<Vec<Vec<u8>>> {
        if !self.may_be_over(store) {
            return None;
        }
        if self.changed_from.is_none()
            && let Some(missing) = self.names.iter().position(|name| store.get(name).is_none())
        {
            self.missing = missing;
            return None;
        }
        Some(std::mem::take(&mut self.names))
    }

    pub fn is_late(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}
