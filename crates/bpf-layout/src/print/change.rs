//! Differences between two values, field by field, which print like a value.

use super::leaf::Style;
use super::percpu::is_summable;
use super::values::{PaddingValue, Values};
use crate::padding::Gap;
use crate::{Number, Slot};

/// The difference between two values. Fields that are not numbers print as null.
#[derive(Clone, Copy)]
pub struct Change<'v, V: ?Sized> {
    before: &'v V,
    after: &'v V,
    seconds: Option<f64>,
}

impl<'v, V: Values + ?Sized> Change<'v, V> {
    /// Creates the difference `after` - `before`.
    pub fn new(before: &'v V, after: &'v V) -> Self {
        Change { before, after, seconds: None }
    }

    /// Divides all differences by `seconds`, which must be greater than 0, and rounds to three
    /// decimals.
    pub fn per_second(self, seconds: f64) -> Self {
        Change { seconds: Some(seconds), ..self }
    }
}

impl<V: Values + ?Sized> Values for Change<'_, V> {
    fn leaf(&self, slot: Slot<'_>, _: Style, out: &mut Vec<u8>) {
        match self.number(slot) {
            Some(number) if number.to_f64().is_finite() => number.print(out),
            _ => out.extend_from_slice(b"null"),
        }
    }

    fn number(&self, slot: Slot<'_>) -> Option<Number> {
        if !is_summable(slot) {
            return None;
        }
        let change = subtract(self.before.number(slot)?, self.after.number(slot)?);
        Some(match self.seconds {
            Some(seconds) => Number::Float((change.to_f64() / seconds * 1000.0).round() / 1000.0),
            None => change,
        })
    }

    fn padding(&self, _: usize, _: &Gap) -> Option<PaddingValue> {
        None
    }
}

/// Subtracts exactly if the result fits an i128, else as floats.
fn subtract(before: Number, after: Number) -> Number {
    let exact = match (before, after) {
        (Number::Unsigned(a), Number::Unsigned(b)) => {
            let distance = i128::try_from(a.abs_diff(b)).ok();
            distance.map(|distance| if b < a { -distance } else { distance })
        }
        (Number::Signed(a), Number::Signed(b)) => b.checked_sub(a),
        _ => None,
    };
    match exact {
        Some(exact) => Number::Signed(exact),
        None => Number::Float(after.to_f64() - before.to_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Type, print};

    #[test]
    fn change_prints_exact_differences() {
        let max = u64::MAX.to_ne_bytes();
        for (ty, before, after, want) in [
            ("u64", &0u64.to_ne_bytes()[..], &max[..], "18446744073709551615"),
            ("u64", &max, &0u64.to_ne_bytes(), "-18446744073709551615"),
            ("i64", &i64::MIN.to_ne_bytes(), &i64::MAX.to_ne_bytes(), "18446744073709551615"),
            ("struct{a: be16, b: char[2]}", b"\0\x05ab", b"\0\x03ab", "{\"a\":-2,\"b\":null}"),
            ("ip4", &[1, 2, 3, 4], &[1, 2, 3, 5], "null"),
            ("u8[2]", &[1, 2], &[3, 2], "[2,0]"),
            ("f32", &1f32.to_ne_bytes(), &f32::NAN.to_ne_bytes(), "null"),
        ] {
            let ty: Type = ty.parse().unwrap();
            let mut out = Vec::new();
            print::json(&ty, &Change::new(before, after), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), want, "{ty}");
        }
    }

    #[test]
    fn rate_is_rounded_to_three_decimals() {
        let ty: Type = "u32".parse().unwrap();
        let (before, after) = (7u32.to_ne_bytes(), 17u32.to_ne_bytes());
        let mut out = Vec::new();
        let change = Change::new(&before[..], &after[..]).per_second(3.0);
        print::plain(&ty, &change, &mut out);
        assert_eq!(out, b"3.333");
    }
}
