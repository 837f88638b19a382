//! The serde visitor that parses JSON values of any type.

use super::member::{JsonState, MemberSeed, ObjectMember, PaddingSeed, check_complete};
use crate::atom::Atom;
use crate::number::Integer;
use crate::parse::error::{Problem, ValueError};
use crate::parse::given_leaves::GivenLeaves;
use crate::parse::scalar;
use crate::{Slot, Type};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A value of any type, at any depth.
pub(super) struct JsonNode<'n, 's, 'b, 't> {
    pub(super) slot: Slot<'t>,
    /// Index of the first leaf in `state.given`.
    pub(super) leaf: usize,
    pub(super) state: &'n mut JsonState<'s, 'b>,
}

impl<'de> DeserializeSeed<'de> for JsonNode<'_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.slot.ty {
            // serde_json converts numbers beyond 64 bits to floats; a raw value keeps all digits.
            Type::Atom(Atom::U128 | Atom::I128) => {
                self.parse_wide(<&RawValue>::deserialize(deserializer)?.get())
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl JsonNode<'_, '_, '_, '_> {
    /// Marks the leaves of the value as given, if the value was stored.
    fn finish<E: Error>(self, stored: Result<(), Problem>) -> Result<(), E> {
        match stored {
            Ok(()) => {
                self.state.given.mark(self.leaf..self.leaf + self.slot.ty.leaves());
                Ok(())
            }
            Err(problem) => Err(self.state.keep_error(problem)),
        }
    }

    fn store_integer<E: Error>(self, number: impl Into<Integer>, float: f64) -> Result<(), E> {
        let stored = match self.slot.ty {
            Type::Atom(Atom::F32 | Atom::F64) => {
                scalar::store_float(self.slot, float, self.state.sink)
            }
            _ => scalar::store_integer(self.slot, number.into(), self.state.sink),
        };
        self.finish(stored)
    }

    /// Parses a number of up to 128 bits, or a string that contains one.
    fn parse_wide<E: Error>(self, json: &str) -> Result<(), E> {
        match json.bytes().next() {
            Some(b'"') => {
                let text: Cow<'_, str> = serde_json::from_str(json).map_err(E::custom)?;
                self.visit_str(&text)
            }
            Some(b'[') => Err(self.unexpected("an array")),
            Some(b'{') => Err(self.unexpected("an object")),
            Some(b'0'..=b'9' | b'-') => self.visit_str(json),
            _ => Err(self.unexpected(json)),
        }
    }

    fn unexpected<E: Error>(self, found: &str) -> E {
        let expected = scalar::expected_form(self.slot);
        self.state.keep_error(Problem::Expected { expected, found: found.to_owned() })
    }
}

impl<'de> Visitor<'de> for JsonNode<'_, '_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&scalar::expected_form(self.slot))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.slot.ty {
            Type::Atom(Atom::Bool) => self.store_integer(u128::from(value), 0.0),
            _ => Err(self.unexpected(if value { "true" } else { "false" })),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.store_integer(u128::from(value), value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.store_integer(i128::from(value), value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        let stored = scalar::store_float(self.slot, value, self.state.sink);
        self.finish(stored)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let stored = scalar::store_text(self.slot, text, false, self.state.sink);
        self.finish(stored)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Err(self.unexpected("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Type::Array(array) = self.slot.ty else {
            return Err(self.unexpected("an array"));
        };
        // Each element that is a struct must have all its fields.
        let mut given = GivenLeaves::new(array.elem());
        let JsonState { sink, failed, .. } = &mut *self.state;
        let mut state = JsonState { sink, given: &mut given, failed };
        for index in 0..array.len() {
            let slot = self.slot.element(array.elem(), index);
            state.given.clear();
            let read = seq.next_element_seed(JsonNode { slot, leaf: 0, state: &mut state });
            match read.and_then(|read| check_complete(slot, &mut state).map(|()| read)) {
                Ok(Some(())) => {}
                Ok(None) => {
                    return Err(
                        state.keep_error(Problem::Length { expected: array.len(), found: index })
                    );
                }
                Err(error) => return Err(state.within(&format!("[{index}]"), error)),
            }
        }
        if seq.next_element::<serde::de::IgnoredAny>()?.is_some() {
            let found = array.len() + 1;
            return Err(state.keep_error(Problem::Length { expected: array.len(), found }));
        }
        self.finish(Ok(()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some(record) = self.slot.record() else {
            return Err(self.unexpected("an object"));
        };
        let mut hint = 0;
        let mut padding: Vec<usize> = Vec::new();
        while let Some(member) =
            map.next_key_seed(MemberSeed { record, hint, state: self.state })?
        {
            let index = match member {
                ObjectMember::Field(index) => index,
                ObjectMember::Padding(gap) => {
                    let name = gap.name();
                    if padding.contains(&gap.offset()) {
                        let error = ValueError::from(Problem::Duplicate).within(&name);
                        return Err(self.state.keep_error(error));
                    }
                    padding.push(gap.offset());
                    let base = self.slot.offset();
                    let read = map.next_value_seed(PaddingSeed { gap, base, state: self.state });
                    read.map_err(|error| self.state.within(&name, error))?;
                    continue;
                }
            };
            hint = index + 1;
            let field = &record.fields()[index];
            let leaf = self.leaf + field.leaf;
            let slot = self.slot.field(field);
            if self.state.given.any_marked(leaf..leaf + field.ty.leaves()) {
                let error = ValueError::from(Problem::Duplicate).within(&field.name);
                return Err(self.state.keep_error(error));
            }
            let read = map.next_value_seed(JsonNode { slot, leaf, state: &mut *self.state });
            read.map_err(|error| self.state.within(&field.name, error))?;
        }
        Ok(())
    }
}
