//! `"values"`: the values of all possible CPUs, in their order, as a JSON array.

use crate::cli::map::json_error::without_position;
use crate::text::escape;
use anyhow::anyhow;
use bpf_inherit::Map;
use bpf_layout::Slot;
use bpf_layout::parse::SlotSeed;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;

/// Reads such an array into the bytes of an element: each value into that CPU's `slot`.
pub struct Values<'a> {
    map: &'a Map,
    slot: Slot<'a>,
    element: &'a mut [u8],
}

impl<'a> Values<'a> {
    /// `element` has the length of an element of the per-CPU map.
    pub fn new(map: &'a Map, slot: Slot<'a>, element: &'a mut [u8]) -> Values<'a> {
        Values { map, slot, element }
    }

    /// Whether an argument is an object with such an array. If a struct has a field of this name,
    /// it is one if each of the values in it has the field.
    pub fn are_given(slot: Slot, text: &str) -> bool {
        let member = text.trim_start().strip_prefix('{').map(str::trim_start);
        member.is_some_and(|member| member.starts_with("\"values\""))
            && (slot.ty().field("values").is_err() || all_have_values(text))
    }

    /// Whether all values of such an argument are `hex:` and the bytes, which needs no type.
    pub fn are_hex(text: &str) -> bool {
        serde_json::from_str(text)
            .is_ok_and(|given: Value| given.get("values").is_some_and(all_hex))
    }

    /// Reads an argument: `{"values": [...]}`, as `get --per-cpu --json` prints it.
    pub fn parse(self, text: &str) -> anyhow::Result<()> {
        let mut json = serde_json::Deserializer::from_str(text);
        let read = json.deserialize_map(Member(self)).and_then(|()| json.end());
        read.map_err(|error| anyhow!("values: {}", without_position(&error)))
    }
}

/// Whether JSON is a string of `hex:` and the bytes.
pub fn is_hex(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with("hex:"))
}

/// Whether JSON is an array of such strings.
pub fn all_hex(values: &Value) -> bool {
    values.as_array().is_some_and(|values| values.iter().all(is_hex))
}

/// Whether JSON is an object with an array `values` alone, whose elements have that member, too.
fn all_have_values(text: &str) -> bool {
    let Ok(Value::Object(given)) = serde_json::from_str(text) else { return false };
    let has_values = |value: &Value| value.get("values").is_some();
    given.len() == 1
        && given["values"].as_array().is_some_and(|values| values.iter().all(has_values))
}

/// The one member of such an object.
struct Member<'a>(Values<'a>);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the member values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        map.next_key::<IgnoredAny>()?;
        map.next_value_seed(self.0)?;
        match map.next_key::<String>()? {
            Some(name) => {
                let name = escape(name.chars().take(40).collect::<String>().as_bytes());
                Err(A::Error::custom(format_args!("unexpected member \"{name}\" after \"values\"")))
            }
            None => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array with a value for each possible CPU")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let cpus = self.element.len() / self.map.stride();
        let mut found = 0;
        while found < cpus {
            let value = &mut self.element[self.map.slot(found)];
            if seq.next_element_seed(SlotSeed::new(self.slot, value))?.is_none() {
                break;
            }
            found += 1;
        }
        if found == cpus {
            while seq.next_element::<IgnoredAny>()?.is_some() {
                found += 1;
            }
        }
        if found == cpus {
            return Ok(());
        }
        let wrong = format_args!("expected {cpus}, one for each possible CPU, found {found}");
        Err(A::Error::custom(wrong))
    }
}
