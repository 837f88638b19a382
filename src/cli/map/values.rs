//! `"values"`: the values of all possible CPUs, in their order, as a JSON array.

use crate::layout::Slot;
use crate::layout::parse::Seed;
use crate::sys::elem::MapFd;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use std::fmt;

/// Reads such an array into the bytes of an element: each value into that CPU's `slot`.
pub struct Values<'a> {
    map: &'a MapFd,
    slot: Slot<'a>,
    element: &'a mut [u8],
}

impl<'a> Values<'a> {
    /// `element` has the length of an element of the per-CPU map.
    pub fn new(map: &'a MapFd, slot: Slot<'a>, element: &'a mut [u8]) -> Values<'a> {
        Values { map, slot, element }
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
            if seq.next_element_seed(Seed::new(self.slot, value))?.is_none() {
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
