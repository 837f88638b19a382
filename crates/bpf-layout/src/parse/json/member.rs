//! The members of JSON objects (names of fields, and padding), and the state that all visitors of
//! one value share.

use crate::Slot;
use crate::padding::Gap;
use crate::parse::error::{Problem, ValueError};
use crate::parse::given_leaves::GivenLeaves;
use crate::parse::hex;
use crate::parse::sink::Sink;
use crate::path::{find_field, find_gap, no_field_error};
use crate::types::Record;
use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};
use std::fmt;

/// Checks that no field is missing, after all of a value was parsed.
pub(super) fn check_complete<E: Error>(
    slot: Slot<'_>,
    state: &mut JsonState<'_, '_>,
) -> Result<(), E> {
    match slot.record().map_or(Ok(()), |record| state.given.check_complete(record)) {
        Ok(()) => Ok(()),
        Err(error) => Err(state.keep_error(error)),
    }
}

/// The state that all nodes of one value share.
pub(super) struct JsonState<'s, 'b> {
    pub(super) sink: &'s mut Sink<'b>,
    pub(super) given: &'s mut GivenLeaves,
    /// The error with its path; the error types of serde cannot contain a path.
    pub(super) failed: &'s mut Option<ValueError>,
}

impl JsonState<'_, '_> {
    pub(super) fn keep_error<E: Error>(&mut self, error: impl Into<ValueError>) -> E {
        *self.failed = Some(error.into());
        E::custom("")
    }

    pub(super) fn within<E>(&mut self, name: &str, error: E) -> E {
        *self.failed = self.failed.take().map(|failed| failed.within(name));
        error
    }
}

/// The member that a key of an object names.
pub(super) enum ObjectMember<'t> {
    /// The field with this index.
    Field(usize),
    Padding(&'t Gap),
}

/// Parses a key of an object and finds the member.
pub(super) struct MemberSeed<'k, 's, 'b, 't> {
    pub(super) record: &'t Record,
    pub(super) hint: usize,
    pub(super) state: &'k mut JsonState<'s, 'b>,
}

impl<'de, 't> DeserializeSeed<'de> for MemberSeed<'_, '_, '_, 't> {
    type Value = ObjectMember<'t>;

    fn deserialize<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<ObjectMember<'t>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'t> Visitor<'_> for MemberSeed<'_, '_, '_, 't> {
    type Value = ObjectMember<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<ObjectMember<'t>, E> {
        let found = match name.starts_with('@') {
            true => find_gap(self.record, name).map(ObjectMember::Padding),
            false => match find_field(self.record, name, self.hint) {
                Some((index, _)) => Ok(ObjectMember::Field(index)),
                None => Err(no_field_error(self.record, name)),
            },
        };
        found.map_err(|error| self.state.keep_error(Problem::from(error)))
    }
}

/// Parses the value of a run of padding.
pub(super) struct PaddingSeed<'k, 's, 'b, 't> {
    pub(super) gap: &'t Gap,
    pub(super) base: usize,
    pub(super) state: &'k mut JsonState<'s, 'b>,
}

impl<'de> DeserializeSeed<'de> for PaddingSeed<'_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for PaddingSeed<'_, '_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hex: and {} digits", self.gap.len() * 2)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let stored = hex::store_padding(self.base, self.gap, text, self.state.sink);
        stored.map_err(|problem| self.state.keep_error(problem))
    }
}
