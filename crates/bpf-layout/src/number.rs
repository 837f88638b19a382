//! Numbers independent of their bytes: those that are read from a value, and those that are stored
//! in a value.

use std::cmp::Ordering;
use std::io::Write;
use std::num::IntErrorKind;

/// A number that was read from a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A value of an unsigned integer, a bool, a pointer, or an enum over an unsigned integer.
    Unsigned(u128),
    /// A value of a signed integer, or of an enum over a signed integer.
    Signed(i128),
    /// A value of an f32 or f64.
    Float(f64),
}

impl Number {
    /// Returns the nearest f64.
    pub fn to_f64(self) -> f64 {
        match self {
            Number::Unsigned(n) => n as f64,
            Number::Signed(n) => n as f64,
            Number::Float(n) => n,
        }
    }

    /// Appends the number in decimal; floats in their shortest form, or as `nan`, `inf` or `-inf`.
    pub fn print(self, out: &mut Vec<u8>) {
        match self {
            Number::Unsigned(n) => append_decimal(n, out),
            Number::Signed(n) => append_decimal(n, out),
            Number::Float(n) => append_float(n, out),
        }
    }

    /// Compares numbers of all variants numerically; if one is a float, in the total order of IEEE
    /// 754.
    pub fn compare(self, other: Number) -> Ordering {
        match (self, other) {
            (Number::Unsigned(a), Number::Unsigned(b)) => a.cmp(&b),
            (Number::Signed(a), Number::Signed(b)) => a.cmp(&b),
            (Number::Signed(a), Number::Unsigned(b)) => match u128::try_from(a) {
                Ok(a) => a.cmp(&b),
                Err(_) => Ordering::Less,
            },
            (Number::Unsigned(_), Number::Signed(_)) => other.compare(self).reverse(),
            (a, b) => a.to_f64().total_cmp(&b.to_f64()),
        }
    }
}

/// A whole number that has more than 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than 128 bits")]
pub struct IntegerOverflow;

/// A whole number of up to 128 bits and a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integer {
    pub(crate) negative: bool,
    pub(crate) magnitude: u128,
}

impl From<i128> for Integer {
    fn from(value: i128) -> Self {
        Integer { negative: value < 0, magnitude: value.unsigned_abs() }
    }
}

impl From<u128> for Integer {
    fn from(magnitude: u128) -> Self {
        Integer { negative: false, magnitude }
    }
}

impl Integer {
    /// Reports whether the number is less than zero.
    pub fn is_negative(self) -> bool {
        self.negative && self.magnitude > 0
    }

    /// Returns the number without its sign.
    pub fn magnitude(self) -> u128 {
        self.magnitude
    }

    /// Parses a decimal number, or digits after 0x, 0X, 0o or 0b, with an optional minus sign.
    /// Returns None if `text` is not a whole number, and an error if the number has more than 128
    /// bits.
    pub fn parse(text: &str) -> Option<Result<Integer, IntegerOverflow>> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (digits, radix) = match digits.get(..2) {
            Some("0x" | "0X") => (&digits[2..], 16),
            Some("0o") => (&digits[2..], 8),
            Some("0b") => (&digits[2..], 2),
            _ => (digits, 10),
        };
        // The parser of the standard library accepts a plus sign, which is never printed.
        let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match u128::from_str_radix(digits, radix) {
            Ok(magnitude) if plain => Some(Ok(Integer { negative, magnitude })),
            Err(error) if plain && *error.kind() == IntErrorKind::PosOverflow => {
                Some(Err(IntegerOverflow))
            }
            _ => None,
        }
    }

    /// Returns the sum; None if the sum has more than 128 bits.
    pub fn checked_add(self, other: Integer) -> Option<Integer> {
        let (big, small) =
            if self.magnitude >= other.magnitude { (self, other) } else { (other, self) };
        let magnitude = match big.negative == small.negative {
            true => big.magnitude.checked_add(small.magnitude)?,
            false => big.magnitude - small.magnitude,
        };
        Some(Integer { negative: big.negative && magnitude > 0, magnitude })
    }
}

/// Appends an integer in decimal. itoa is used because the standard formatter would take most of
/// the time of a dump.
pub(crate) fn append_decimal(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends the shortest text that parses to the same number; `nan`, `inf` or `-inf` for other
/// floats.
pub(crate) fn append_float(number: f64, out: &mut Vec<u8>) {
    let _ = match number {
        n if n.is_nan() => write!(out, "nan"),
        n => write!(out, "{n:?}"),
    };
}
