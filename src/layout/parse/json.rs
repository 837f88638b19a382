//! JSON straight into bytes, directed by the type: no tree of values is built on the way.

use super::error::{Problem, ValueError};
use super::given::Given;
use super::scalar::{self, Integer};
use super::sink::{Scratch, Sink};
use crate::layout::atom::Atom;
use crate::layout::path::{find, no_field};
use crate::layout::record::{Field, Record};
use crate::layout::{Slot, Type};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads one value of a type from any deserializer into a buffer: for a line that holds several.
///
/// The buffer must be as long as the type; on an error its bytes are undefined.
pub struct Seed<'a> {
    ty: &'a Type,
    out: &'a mut [u8],
}

impl<'a> Seed<'a> {
    /// To read a value of `ty` into `out`.
    pub fn new(ty: &'a Type, out: &'a mut [u8]) -> Seed<'a> {
        Seed { ty, out }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let mut scratch = Scratch::default();
        let slot = Slot::from(self.ty);
        let mut sink = scratch.whole(self.ty, self.out).map_err(D::Error::custom)?;
        let mut failed = None;
        let read = root(slot, deserializer, &mut sink, &mut failed);
        read.map_err(|error| failed.map_or(error, D::Error::custom))
    }
}

/// Reads all of `text`.
pub(super) fn text(slot: Slot<'_>, text: &str, sink: &mut Sink<'_>) -> Result<(), ValueError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let mut failed = None;
    let read = root(slot, &mut deserializer, sink, &mut failed).and_then(|()| deserializer.end());
    read.map_err(|error| failed.unwrap_or_else(|| syntax(&error).into()))
}

fn syntax(error: &serde_json::Error) -> Problem {
    // The position is said once, and without a line: there is one.
    let message = error.to_string();
    let cut = message.rfind(" at line ").unwrap_or(message.len());
    Problem::Json {
        message: message[..cut].replace("EOF while", "end of text while"),
        column: error.column(),
    }
}

fn root<'de, D: Deserializer<'de>>(
    slot: Slot<'_>,
    deserializer: D,
    sink: &mut Sink<'_>,
    failed: &mut Option<ValueError>,
) -> Result<(), D::Error> {
    let mut given = Given::new(slot.ty);
    let mut state = State { sink, given: &mut given, failed };
    Node { slot, leaf: 0, state: &mut state }.deserialize(deserializer)?;
    complete(slot, &mut state)
}

fn complete<E: Error>(slot: Slot<'_>, state: &mut State<'_, '_>) -> Result<(), E> {
    match slot.record().map_or(Ok(()), |record| state.given.complete(record)) {
        Ok(()) => Ok(()),
        Err(error) => Err(state.fail(error)),
    }
}

/// What all nodes of one value share.
struct State<'s, 'b> {
    sink: &'s mut Sink<'b>,
    given: &'s mut Given,
    /// The error with its path, which serde's error types cannot carry.
    failed: &'s mut Option<ValueError>,
}

impl State<'_, '_> {
    fn fail<E: Error>(&mut self, error: impl Into<ValueError>) -> E {
        *self.failed = Some(error.into());
        E::custom("")
    }

    fn within<E>(&mut self, name: &str, error: E) -> E {
        *self.failed = self.failed.take().map(|failed| failed.within(name));
        error
    }
}

struct Node<'n, 's, 'b, 't> {
    slot: Slot<'t>,
    /// Number of its first leaf in `state.given`.
    leaf: usize,
    state: &'n mut State<'s, 'b>,
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.slot.ty {
            // serde_json takes numbers past 64 bits for floats unless it is told.
            Type::Atom(Atom::U128) => deserializer.deserialize_u128(self),
            Type::Atom(Atom::I128) => deserializer.deserialize_i128(self),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl Node<'_, '_, '_, '_> {
    fn stored<E: Error>(self, stored: Result<(), Problem>) -> Result<(), E> {
        match stored {
            Ok(()) => {
                self.state.given.mark(self.leaf..self.leaf + self.slot.ty.leaves());
                Ok(())
            }
            Err(problem) => Err(self.state.fail(problem)),
        }
    }

    fn integer<E: Error>(self, number: impl Into<Integer>, float: f64) -> Result<(), E> {
        let stored = match self.slot.ty {
            Type::Atom(Atom::F32 | Atom::F64) => scalar::float(self.slot, float, self.state.sink),
            _ => scalar::integer(self.slot, number.into(), self.state.sink),
        };
        self.stored(stored)
    }

    fn unexpected<E: Error>(self, found: &str) -> E {
        let expected = scalar::wanted(self.slot);
        self.state.fail(Problem::Expected { expected, found: found.to_owned() })
    }
}

impl<'de> Visitor<'de> for Node<'_, '_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&scalar::wanted(self.slot))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.slot.ty {
            Type::Atom(Atom::Bool) => self.integer(u128::from(value), 0.0),
            _ => Err(self.unexpected(if value { "true" } else { "false" })),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.integer(u128::from(value), value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.integer(i128::from(value), value as f64)
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<(), E> {
        self.integer(value, value as f64)
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<(), E> {
        self.integer(value, value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        let stored = scalar::float(self.slot, value, self.state.sink);
        self.stored(stored)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let stored = super::words::whole(self.slot, text, false, self.state.sink);
        self.stored(stored)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Err(self.unexpected("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Type::Array(array) = self.slot.ty else {
            return Err(self.unexpected("an array"));
        };
        // Elements are structs of their own, so they have fields of their own to be complete.
        let mut given = Given::new(array.elem());
        let State { sink, failed, .. } = &mut *self.state;
        let mut state = State { sink, given: &mut given, failed };
        for index in 0..array.len() {
            let slot = self.slot.element(array.elem(), index);
            state.given.clear();
            let read = seq.next_element_seed(Node { slot, leaf: 0, state: &mut state });
            match read.and_then(|read| complete(slot, &mut state).map(|()| read)) {
                Ok(Some(())) => {}
                Ok(None) => {
                    return Err(state.fail(Problem::Length { expected: array.len(), found: index }));
                }
                Err(error) => return Err(state.within(&format!("[{index}]"), error)),
            }
        }
        if seq.next_element::<serde::de::IgnoredAny>()?.is_some() {
            let found = array.len() + 1;
            return Err(state.fail(Problem::Length { expected: array.len(), found }));
        }
        self.stored(Ok(()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some(record) = self.slot.record() else {
            return Err(self.unexpected("an object"));
        };
        let mut hint = 0;
        while let Some(index) = map.next_key_seed(Key { record, hint, state: self.state })? {
            hint = index + 1;
            let field = &record.fields()[index];
            let leaf = self.leaf + field.leaf;
            let slot = self.slot.field(field);
            if self.state.given.any(leaf..leaf + field.ty.leaves()) {
                let error = ValueError::from(Problem::Duplicate).within(&field.name);
                return Err(self.state.fail(error));
            }
            let read = map.next_value_seed(Node { slot, leaf, state: &mut *self.state });
            read.map_err(|error| self.state.within(&field.name, error))?;
        }
        Ok(())
    }
}

/// A key of an object, looked up where it stands.
struct Key<'k, 's, 'b, 't> {
    record: &'t Record,
    hint: usize,
    state: &'k mut State<'s, 'b>,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_, '_, '_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_, '_, '_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        let found: Option<(usize, &Field)> = find(self.record, name, self.hint);
        found
            .map(|(index, _)| index)
            .ok_or_else(|| self.state.fail(Problem::from(no_field(self.record, name))))
    }
}
