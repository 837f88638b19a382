//! Parsing of bytes in hexadecimal.

use super::error::Problem;
use super::sink::Sink;
use crate::padding::Gap;

/// Stores exactly `size` bytes, which are given as two hex digits each.
pub(super) fn store_bytes(
    digits: &str,
    at: usize,
    size: usize,
    sink: &mut Sink<'_>,
) -> Result<(), Problem> {
    let mut bytes = decode(digits, size)?.enumerate();
    bytes.try_for_each(|(index, byte)| sink.store_bytes(at + index, &[byte]))
}

/// Stores a run of padding, which is given as `hex:` and digits. `base` is the offset of the
/// struct or union in bytes.
pub(super) fn store_padding(
    base: usize,
    gap: &Gap,
    text: &str,
    sink: &mut Sink<'_>,
) -> Result<(), Problem> {
    let digits = text.strip_prefix("hex:");
    let digits = digits.ok_or_else(|| Problem::expected("hex: and its digits", text))?;
    sink.store_padding(base, gap, decode(digits, gap.len())?)
}

fn decode(digits: &str, size: usize) -> Result<impl Iterator<Item = u8>, Problem> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    if let Some(stray) = digits.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(Problem::expected("hex digits", stray.encode_utf8(&mut [0; 4])));
    }
    if digits.len() != size * 2 {
        return Err(Problem::HexLen { expected: size * 2, found: digits.len() });
    }
    let byte = move |pair: &[u8]| {
        digit(pair[0]).zip(digit(pair[1])).map_or(0, |(high, low)| high << 4 | low)
    };
    Ok(digits.as_bytes().chunks_exact(2).map(byte))
}
