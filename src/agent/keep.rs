//! Where objects are kept: in memory, or as pins that outlive the agent.

use super::about::About;
use super::state::{Change, Saved, StateDir};
use crate::error::Cause;
use crate::wire::agent::State;
use bpf_inherit::object::Object;
use bpf_inherit::{AccessMode, ObjectKind};

/// The keeper of all that is stored.
#[derive(Debug)]
pub enum Keeper {
    Memory,
    Pins(StateDir),
}

impl Keeper {
    /// Keeps an object under a name, or gives it up.
    pub fn apply(&self, change: &Change) -> Result<(), Cause> {
        match self {
            Keeper::Memory => Ok(()),
            Keeper::Pins(state) => state.apply(change),
        }
    }

    /// A new descriptor for the pin of a name; None where nothing is pinned by this keeper.
    pub fn reopen(
        &self,
        name: &[u8],
        kind: ObjectKind,
        access: AccessMode,
    ) -> Option<Result<Object, Cause>> {
        match self {
            Keeper::Pins(state) => Some(state.open_pin(name, kind, access)),
            Keeper::Memory => None,
        }
    }

    /// How everything is kept that is as it was stored.
    pub fn state(&self) -> State {
        match self {
            Keeper::Memory => State::Memory,
            Keeper::Pins(_) => State::Pinned,
        }
    }

    /// Whether a name is kept as it was stored, and the id that its pin leads to now, or 0.
    pub fn look(&self, name: &[u8], about: &About) -> (State, u32) {
        match self {
            Keeper::Memory => (self.state(), 0),
            // Its pins are there as long as the agent is, and no longer.
            Keeper::Pins(state) if !state.is_reachable() => (State::Gone, 0),
            // A link's pin can be opened for reading and writing only.
            Keeper::Pins(state) => match state.open_pin(name, about.kind, AccessMode::ReadWrite) {
                Ok(object) if Saved::is(&object, about) => (State::Pinned, object.id()),
                Ok(object) => (State::Changed, object.id()),
                Err(_) => (State::Gone, 0),
            },
        }
    }
}
