//! Text to bytes: the forms that `print` writes, and those that people write. Ambiguous input is
//! refused: numbers out of range, and unknown, missing or duplicate fields.

mod address;
mod error;
mod given_leaves;
mod hex;
mod json;
mod row;
mod scalar;
mod sink;
mod words;

pub use error::{Problem, ValueError};
pub use json::SlotSeed;
pub use row::RowReader;

use super::{Integer, Slot, Type};
use sink::Scratch;

/// Parses a value into new bytes of the type's size.
///
/// A scalar is written bare or in double quotes, an array as JSON, a struct as JSON or as
/// `name=value` words. Each type also accepts `hex:` and the digits of all its bytes. Padding that
/// is not given is zero.
///
/// # Errors
///
/// Malformed text, numbers out of range, and unknown, missing or duplicate fields are refused; the
/// error contains the path of the field.
pub fn value(ty: &Type, text: &str) -> Result<Vec<u8>, ValueError> {
    let mut bytes = vec![0; ty.size()];
    value_into(ty, text, &mut bytes)?;
    Ok(bytes)
}

/// Parses like [`value`] into a buffer of the type's size. Memory is allocated only for words and
/// for unions.
///
/// # Errors
///
/// The errors are those of [`value`], and [`Problem::Size`] if the length of `out` is not the
/// type's size. After an error, the contents of `out` are undefined.
pub fn value_into(ty: &Type, text: &str, out: &mut [u8]) -> Result<(), ValueError> {
    let mut scratch = Scratch::default();
    let mut sink = scratch.value_sink(ty, out)?;
    words::parse_value(ty.into(), text, &mut sink)
}

/// Parses a part of a value and replaces it in `value`, which contains the whole value.
///
/// # Errors
///
/// The errors are those of [`value_into`]. After an error, the bytes of the slot are undefined.
pub fn slot<'t>(what: impl Into<Slot<'t>>, text: &str, value: &mut [u8]) -> Result<(), ValueError> {
    let slot = what.into();
    let mut scratch = Scratch::default();
    let mut sink = scratch.slot_sink(slot, value)?;
    words::parse_value(slot, text, &mut sink)
}

/// Parses one JSON value into a buffer of the type's size; text after the value is refused.
///
/// Memory is allocated only for values of more than 256 bytes that contain unions, and for structs with
/// more than 256 fields.
///
/// # Errors
///
/// The errors are those of [`value_into`].
pub fn json(ty: &Type, text: &str, out: &mut [u8]) -> Result<(), ValueError> {
    let mut scratch = Scratch::default();
    let mut sink = scratch.value_sink(ty, out)?;
    json::parse_text(ty.into(), text, &mut sink)
}

/// Stores a number in an integer, bool or enum, which may be a bitfield.
///
/// # Errors
///
/// A type that is not an integer, a number out of range, and a buffer that is too short are
/// refused; `value` is then unchanged.
pub fn store_number<'t>(
    what: impl Into<Slot<'t>>,
    number: impl Into<Integer>,
    value: &mut [u8],
) -> Result<(), ValueError> {
    let slot = what.into();
    let mut sink = sink::Sink::over(slot, value)?;
    Ok(scalar::store_integer(slot, number.into(), &mut sink)?)
}
