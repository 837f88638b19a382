//! Parsing of scalars, text and LPM keys, and storing of numbers.

use super::address::{parse_address, parse_prefix};
use super::error::Problem;
use super::hex;
use super::sink::Sink;
use crate::atom::{Atom, AtomClass};
use crate::number::{Integer, IntegerOverflow};
use crate::path::describe_type;
use crate::{Enum, Slot, Type};

/// Stores a number; a number out of range is an error.
pub(super) fn store_integer(
    slot: Slot<'_>,
    number: Integer,
    sink: &mut Sink<'_>,
) -> Result<(), Problem> {
    let Some((atom, bits)) = slot.integer() else {
        return Err(Problem::Expected {
            expected: expected_form(slot),
            found: "a number".to_owned(),
        });
    };
    let Integer { negative, magnitude } = number;
    let (bottom, top) = integer_bounds(atom, bits);
    if magnitude > if negative { bottom } else { top } {
        let sign = if negative { "-" } else { "" };
        return Err(out_of_range(slot, (atom, bits), format!("{sign}{magnitude}")));
    }
    let raw = if negative { magnitude.wrapping_neg() } else { magnitude };
    if let Some(width) = slot.width {
        return sink.store_bits(slot.bit, width, raw as u64);
    }
    let (at, size) = (slot.offset(), atom.size());
    match (atom.class(), size) {
        (AtomClass::Network, _) => sink.store_bytes(at, &raw.to_be_bytes()[16 - size..]),
        (_, 1) => sink.store_bytes(at, &[raw as u8]),
        (_, 2) => sink.store_bytes(at, &(raw as u16).to_ne_bytes()),
        (_, 4) => sink.store_bytes(at, &(raw as u32).to_ne_bytes()),
        (_, 8) => sink.store_bytes(at, &(raw as u64).to_ne_bytes()),
        _ => sink.store_bytes(at, &raw.to_ne_bytes()),
    }
}

/// Returns the largest magnitudes of a negative and of a positive integer with this width.
fn integer_bounds(atom: Atom, bits: u32) -> (u128, u128) {
    let all = u128::MAX >> (128 - bits);
    match atom.class() {
        AtomClass::Signed => ((all >> 1) + 1, all >> 1),
        _ => (0, all),
    }
}

fn out_of_range(slot: Slot<'_>, (atom, bits): (Atom, u32), number: String) -> Problem {
    let (bottom, top) = integer_bounds(atom, bits);
    let ty = describe_type(slot.ty);
    Problem::Range {
        number,
        ty: slot.width.map_or_else(|| ty.clone(), |width| format!("{ty}:{width}")),
        min: if bottom > 0 { format!("-{bottom}") } else { "0".to_owned() },
        max: top.to_string(),
    }
}

/// Parses and stores a whole number; returns None if `text` is not a whole number.
fn store_whole_number(
    slot: Slot<'_>,
    text: &str,
    sink: &mut Sink<'_>,
) -> Option<Result<(), Problem>> {
    Some(match (Integer::parse(text)?, slot.integer()) {
        (Err(IntegerOverflow), Some(integer)) => {
            // 64 digits are enough to recognise the number.
            let shown =
                text.get(..64).map_or_else(|| text.to_owned(), |start| format!("{start}..."));
            Err(out_of_range(slot, integer, shown))
        }
        (Ok(number), _) => store_integer(slot, number, sink),
        (Err(IntegerOverflow), None) => return None,
    })
}

/// Stores a float.
pub(super) fn store_float(slot: Slot<'_>, number: f64, sink: &mut Sink<'_>) -> Result<(), Problem> {
    match slot.ty {
        Type::Atom(Atom::F32) if number.is_finite() && (number as f32).is_infinite() => {
            Err(float_out_of_range(slot, &number.to_string()))
        }
        Type::Atom(Atom::F32) => sink.store_bytes(slot.offset(), &(number as f32).to_ne_bytes()),
        Type::Atom(Atom::F64) => sink.store_bytes(slot.offset(), &number.to_ne_bytes()),
        // JSON readers convert whole numbers beyond 64 bits to floats.
        _ => match slot.integer() {
            Some(integer) if number.abs() >= (1u64 << 63) as f64 => {
                Err(out_of_range(slot, integer, format!("{number:e}")))
            }
            // A number such as 1.0 or 1e2: otherwise it would not have become a float.
            _ => Err(Problem::Expected {
                expected: expected_form(slot),
                found: format!("{number:?}, with a fraction or an exponent"),
            }),
        },
    }
}

/// Returns the error for a finite number that is out of range of a float type.
fn float_out_of_range(slot: Slot<'_>, number: &str) -> Problem {
    let (min, max) = match slot.ty {
        Type::Atom(Atom::F32) => (format!("{:e}", f32::MIN), format!("{:e}", f32::MAX)),
        _ => (format!("{:e}", f64::MIN), format!("{:e}", f64::MAX)),
    };
    Problem::Range { number: number.into(), ty: describe_type(slot.ty), min, max }
}

/// Stores a value that is one text: a scalar, or `hex:` and all bytes of any type.
pub(super) fn store_text(
    slot: Slot<'_>,
    text: &str,
    literal: bool,
    sink: &mut Sink<'_>,
) -> Result<(), Problem> {
    match (slot.ty, text.strip_prefix("hex:")) {
        (Type::Array(_) | Type::Record(_), Some(digits)) => {
            hex::store_bytes(digits, slot.offset(), slot.ty.size(), sink)
        }
        _ => store_scalar(slot, text, literal, sink),
    }
}

/// Parses and stores a scalar. The prefix `hex:` has no special meaning in `literal` text.
fn store_scalar(
    slot: Slot<'_>,
    text: &str,
    literal: bool,
    sink: &mut Sink<'_>,
) -> Result<(), Problem> {
    if let (Some(digits), None) = (text.strip_prefix("hex:"), slot.width)
        && !(literal && matches!(slot.ty, Type::Char(_)))
    {
        return hex::store_bytes(digits, slot.offset(), slot.ty.size(), sink);
    }
    let unexpected = || Problem::expected(expected_form(slot), text);
    match slot.ty {
        Type::Char(max) => store_chars(text, *max, slot.offset(), sink),
        Type::Hex(size) => hex::store_bytes(text, slot.offset(), *size as usize, sink),
        Type::Enum(e) => {
            let named = e.value_of(text).map(Integer::from);
            match named {
                Some(named) => store_integer(slot, named, sink),
                None => store_whole_number(slot, text, sink).ok_or_else(unexpected)?,
            }
        }
        Type::Lpm(lpm) => parse_prefix(lpm, text, slot.offset(), sink).ok_or_else(unexpected)?,
        Type::Atom(atom) => match (atom.class(), text) {
            (AtomClass::Bool, "true") => store_integer(slot, Integer::from(1u128), sink),
            (AtomClass::Bool, "false") => store_integer(slot, Integer::from(0u128), sink),
            (AtomClass::Float, _) => match atom {
                Atom::F32 => {
                    let number: f32 = text.parse().map_err(|_| unexpected())?;
                    if number.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) {
                        return Err(float_out_of_range(slot, text));
                    }
                    sink.store_bytes(slot.offset(), &canonical32(number).to_ne_bytes())
                }
                _ => {
                    let number: f64 = text.parse().map_err(|_| unexpected())?;
                    if number.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) {
                        return Err(float_out_of_range(slot, text));
                    }
                    sink.store_bytes(slot.offset(), &canonical64(number).to_ne_bytes())
                }
            },
            (AtomClass::Address, _) => {
                let (bytes, len) = parse_address(*atom, text).ok_or_else(unexpected)?;
                sink.store_bytes(slot.offset(), &bytes[..len])
            }
            _ => store_whole_number(slot, text, sink).ok_or_else(unexpected)?,
        },
        Type::Array(_) | Type::Record(_) => Err(unexpected()),
    }
}

// `nan` always stores the same bits, whatever NaN the parser returns.
fn canonical32(number: f32) -> f32 {
    if number.is_nan() { f32::from_bits(0x7fc0_0000) } else { number }
}

fn canonical64(number: f64) -> f64 {
    if number.is_nan() { f64::from_bits(0x7ff8_0000_0000_0000) } else { number }
}

fn store_chars(text: &str, max: u32, at: usize, sink: &mut Sink<'_>) -> Result<(), Problem> {
    let len = text.len();
    if len > max as usize {
        return Err(Problem::TooLong { len, max });
    }
    sink.store_bytes(at, text.as_bytes())?;
    sink.store_zeros(at + len, max as usize - len)
}

/// Returns the form of input that a type requires, for errors.
pub(super) fn expected_form(slot: Slot<'_>) -> String {
    match slot.ty {
        Type::Enum(e) => enum_names(e),
        Type::Atom(Atom::Ip4) => "an IPv4 address".to_owned(),
        Type::Atom(Atom::Ip6) => "an IPv6 address".to_owned(),
        Type::Atom(Atom::Mac) => "a MAC address".to_owned(),
        Type::Atom(Atom::Bool) => "true or false".to_owned(),
        Type::Atom(Atom::Ptr) => "an address such as 0xffff888000000000".to_owned(),
        Type::Atom(atom) if atom.class() == AtomClass::Float => {
            format!("a number ({})", atom.name())
        }
        Type::Atom(atom) => format!("a whole number ({})", atom.name()),
        Type::Char(max) => format!("text of at most {max} bytes"),
        Type::Hex(size) => format!("{} hex digits", u64::from(*size) * 2),
        Type::Lpm(lpm) => match lpm.data() {
            Type::Atom(Atom::Ip4) => "an IPv4 prefix such as 10.0.0.0/8".to_owned(),
            Type::Atom(Atom::Ip6) => "an IPv6 prefix such as 2001:db8::/32".to_owned(),
            data => format!("LEN:hex with {} hex digits", data.size() * 2),
        },
        Type::Array(array) => format!("an array of {}", array.len()),
        Type::Record(_) => "an object or name=value words".to_owned(),
    }
}

fn enum_names(e: &Enum) -> String {
    let mut names: Vec<_> = e.names().map(|(name, _)| name).take(9).collect();
    if names.len() == 9 {
        names[8] = "...";
    }
    names.push("a number");
    format!("one of {}", names.join(", "))
}
