//! Numbers apart from their bytes: those read out of a value, and those to be stored in one.

use std::cmp::Ordering;
use std::io::Write;
use std::num::IntErrorKind;

/// A number read out of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Of an unsigned integer, a bool, an enum over one.
    Unsigned(u128),
    /// Of a signed integer, an enum over one.
    Signed(i128),
    /// Of an f32 or f64.
    Float(f64),
}

impl Number {
    /// The nearest f64, for rates.
    pub fn to_f64(self) -> f64 {
        match self {
            Number::Unsigned(n) => n as f64,
            Number::Signed(n) => n as f64,
            Number::Float(n) => n,
        }
    }

    /// Appends it in decimal; a float as Rust writes it, `nan` and `inf` in lower case.
    pub fn print(self, out: &mut Vec<u8>) {
        match self {
            Number::Unsigned(n) => append_decimal(n, out),
            Number::Signed(n) => append_decimal(n, out),
            Number::Float(n) => append_float(n, out),
        }
    }

    /// Numeric order across kinds; floats in IEEE 754's total order, in which NaN stands outermost.
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

/// A whole number has more than 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than 128 bits")]
pub struct IntegerOverflow;

/// A whole number of up to 128 bits and either sign.
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
    /// Decimal, or 0x, 0o, 0b and digits; a minus sign may stand first. An error for a whole number of more than 128 bits.
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
        // The standard parser takes a plus sign, which no printer writes.
        let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match u128::from_str_radix(digits, radix) {
            Ok(magnitude) if plain => Some(Ok(Integer { negative, magnitude })),
            Err(error) if plain && *error.kind() == IntErrorKind::PosOverflow => {
                Some(Err(IntegerOverflow))
            }
            _ => None,
        }
    }

    /// The sum; None where it has more than 128 bits and a sign.
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

/// Appends an integer in decimal; the formatter would take most of the time of a dump.
pub(super) fn append_decimal(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends the shortest text that reads as the same number; `nan`, `inf` and `-inf` for the others.
pub fn append_float(number: f64, out: &mut Vec<u8>) {
    let _ = match number {
        n if n.is_nan() => write!(out, "nan"),
        n => write!(out, "{n:?}"),
    };
}
