//! The state that the visitors of one JSON value share, and the members of its objects: names of
//! fields, and padding.

use crate::parse::error::{Problem, ValueError};
use crate::parse::given::Given;
use crate::parse::hex;
use crate::parse::sink::Sink;
use crate::path::{find, find_gap, no_field};
use crate::types::Record;
use crate::{Gap, Slot};
use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};
use std::fmt;

/// Checks that no field of a struct was left out, once all of it was read.
pub(super) fn complete<E: Error>(slot: Slot<'_>, state: &mut State<'_, '_>) -> Result<(), E> {
    match slot.record().map_or(Ok(()), |record| state.given.complete(record)) {
        Ok(()) => Ok(()),
        Err(error) => Err(state.fail(error)),
    }
}

/// What all nodes of one value share.
pub(super) struct State<'s, 'b> {
    pub(super) sink: &'s mut Sink<'b>,
    pub(super) given: &'s mut Given,
    /// The error with its path, which serde's error types cannot carry.
    pub(super) failed: &'s mut Option<ValueError>,
}

impl State<'_, '_> {
    pub(super) fn fail<E: Error>(&mut self, error: impl Into<ValueError>) -> E {
        *self.failed = Some(error.into());
        E::custom("")
    }

    pub(super) fn within<E>(&mut self, name: &str, error: E) -> E {
        *self.failed = self.failed.take().map(|failed| failed.within(name));
        error
    }
}

/// What a key of an object names.
pub(super) enum Member<'t> {
    /// The field with this index.
    Field(usize),
    Padding(&'t Gap),
}

/// A key of an object, looked up where it stands.
pub(super) struct Key<'k, 's, 'b, 't> {
    pub(super) record: &'t Record,
    pub(super) hint: usize,
    pub(super) state: &'k mut State<'s, 'b>,
}

impl<'de, 't> DeserializeSeed<'de> for Key<'_, '_, '_, 't> {
    type Value = Member<'t>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Member<'t>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'t> Visitor<'_> for Key<'_, '_, '_, 't> {
    type Value = Member<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Member<'t>, E> {
        let found = match name.starts_with('@') {
            true => find_gap(self.record, name).map(Member::Padding),
            false => match find(self.record, name, self.hint) {
                Some((index, _)) => Ok(Member::Field(index)),
                None => Err(no_field(self.record, name)),
            },
        };
        found.map_err(|error| self.state.fail(Problem::from(error)))
    }
}

/// The value of a run of padding.
pub(super) struct Run<'k, 's, 'b, 't> {
    pub(super) gap: &'t Gap,
    pub(super) base: usize,
    pub(super) state: &'k mut State<'s, 'b>,
}

impl<'de> DeserializeSeed<'de> for Run<'_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Run<'_, '_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hex: and {} digits", self.gap.len() * 2)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let stored = hex::padding(self.base, self.gap, text, self.state.sink);
        stored.map_err(|problem| self.state.fail(problem))
    }
}
