//! Text to bytes: what `print` writes, and what people write instead. Refuses everything that it
//! would have to guess: numbers out of range, unknown, missing and repeated fields.

mod address;
mod error;
mod given;
mod hex;
mod json;
mod row;
mod scalar;
mod sink;
mod words;

pub use error::{Problem, ValueError};
pub use json::SlotSeed;
pub use row::RowReader;

pub use super::number::{Integer, IntegerOverflow};
use super::{Slot, Type};
use sink::Scratch;

/// The bytes of one command-line argument, as long as the type.
///
/// A scalar is itself, or in double quotes; an array is JSON; a struct is JSON or `name=value` words;
/// all may be `hex:` and every byte. Padding is zeros.
pub fn value(ty: &Type, text: &str) -> Result<Vec<u8>, ValueError> {
    let mut bytes = vec![0; ty.size()];
    value_into(ty, text, &mut bytes)?;
    Ok(bytes)
}

/// As [`value`], into a buffer of the type's size, without allocating unless words or a union are read.
pub fn value_into(ty: &Type, text: &str, out: &mut [u8]) -> Result<(), ValueError> {
    let mut scratch = Scratch::default();
    let mut sink = scratch.value_sink(ty, out)?;
    words::parse_value(ty.into(), text, &mut sink)
}

/// Replaces one slot of a value, the whole of which is in `value`. On an error its bytes are undefined.
pub fn slot<'t>(what: impl Into<Slot<'t>>, text: &str, value: &mut [u8]) -> Result<(), ValueError> {
    let slot = what.into();
    let mut scratch = Scratch::default();
    let mut sink = scratch.slot_sink(slot, value)?;
    words::parse_value(slot, text, &mut sink)
}

/// Reads one JSON value into a buffer of the type's size, and refuses what follows it.
///
/// Allocates nothing, except for unions and structs past some hundred fields or bytes.
pub fn json(ty: &Type, text: &str, out: &mut [u8]) -> Result<(), ValueError> {
    let mut scratch = Scratch::default();
    let mut sink = scratch.value_sink(ty, out)?;
    json::parse_text(ty.into(), text, &mut sink)
}

/// Stores a number in an integer, bool or enum, a bitfield included; for counting up and down.
///
/// A number out of range is refused and leaves the value as it was.
pub fn store_number<'t>(
    what: impl Into<Slot<'t>>,
    number: impl Into<Integer>,
    value: &mut [u8],
) -> Result<(), ValueError> {
    let slot = what.into();
    let mut sink = sink::Sink::over(slot, value)?;
    Ok(scalar::store_integer(slot, number.into(), &mut sink)?)
}
