//! JSON to bytes, directed by the type, without an intermediate tree.

mod member;
mod node;

use super::error::{Problem, ValueError};
use super::given_leaves::GivenLeaves;
use super::sink::{Scratch, Sink};
use crate::Slot;
use member::{JsonState, check_complete};
use node::JsonNode;
use serde::de::{DeserializeSeed, Deserializer, Error};

/// A serde seed that parses one value into a part of a buffer, for documents that contain several
/// values.
///
/// The buffer must contain the whole slot. After an error, the bytes of the slot are undefined.
pub struct SlotSeed<'a> {
    slot: Slot<'a>,
    out: &'a mut [u8],
}

impl<'a> SlotSeed<'a> {
    /// Creates a seed that parses a value of a type, or of a part of the type, into `out`.
    pub fn new(what: impl Into<Slot<'a>>, out: &'a mut [u8]) -> SlotSeed<'a> {
        SlotSeed { slot: what.into(), out }
    }
}

impl<'de> DeserializeSeed<'de> for SlotSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let mut scratch = Scratch::default();
        let mut sink = scratch.slot_sink(self.slot, self.out).map_err(D::Error::custom)?;
        let mut failed = None;
        let read = parse_root(self.slot, deserializer, &mut sink, &mut failed);
        read.map_err(|error| failed.map_or(error, D::Error::custom))
    }
}

/// Parses all of `text` as one value.
pub(super) fn parse_text(
    slot: Slot<'_>,
    text: &str,
    sink: &mut Sink<'_>,
) -> Result<(), ValueError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let mut failed = None;
    let read =
        parse_root(slot, &mut deserializer, sink, &mut failed).and_then(|()| deserializer.end());
    read.map_err(|error| failed.unwrap_or_else(|| syntax_problem(&error).into()))
}

fn syntax_problem(error: &serde_json::Error) -> Problem {
    // The message without its position: the column is reported separately, and there is one line.
    let message = error.to_string();
    let cut = message.rfind(" at line ").unwrap_or(message.len());
    // The message may quote input of any length.
    let cut = message.char_indices().nth(100).map_or(cut, |(at, _)| at.min(cut));
    Problem::Json {
        message: message[..cut].replace("EOF while", "end of text while"),
        column: error.column(),
    }
}

fn parse_root<'de, D: Deserializer<'de>>(
    slot: Slot<'_>,
    deserializer: D,
    sink: &mut Sink<'_>,
    failed: &mut Option<ValueError>,
) -> Result<(), D::Error> {
    let mut given = GivenLeaves::new(slot.ty);
    let mut state = JsonState { sink, given: &mut given, failed };
    JsonNode { slot, leaf: 0, state: &mut state }.deserialize(deserializer)?;
    check_complete(slot, &mut state)
}
