//! Values whose wide integers are JSON strings, for readers that parse all numbers as f64.

use super::leaf::Style;
use super::values::{PaddingValue, Values};
use crate::padding::Gap;
use crate::{Number, Slot};

/// The width of the largest integers that an f64 represents exactly, in bits.
const EXACT: u32 = 53;

/// Prints integers with more than 53 bits as strings in JSON. The type decides and not the number,
/// so a field always has the same JSON type.
#[derive(Clone, Copy)]
pub struct WideIntegersAsStrings<'v, V: ?Sized>(pub &'v V);

impl<V: Values + ?Sized> Values for WideIntegersAsStrings<'_, V> {
    fn leaf(&self, slot: Slot<'_>, style: Style, out: &mut Vec<u8>) {
        let start = out.len();
        self.0.leaf(slot, style, out);
        let is_wide = slot.integer().is_some_and(|(_, bits)| bits > EXACT);
        // Names of enums are strings already, and null remains null.
        let is_number = matches!(out.get(start), Some(b'0'..=b'9' | b'-'));
        if style == Style::Json && is_wide && is_number {
            out.insert(start, b'"');
            out.push(b'"');
        }
    }

    fn number(&self, slot: Slot<'_>) -> Option<Number> {
        self.0.number(slot)
    }

    fn padding(&self, base: usize, gap: &Gap) -> Option<PaddingValue> {
        self.0.padding(base, gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print::{self, PerCpu};
    use crate::{Type, parse};

    #[test]
    fn wide_integers_print_as_json_strings() {
        let ty: Type = "struct{a: u32, b: u64, c: i64:53, d: i64:54, e: enum:u64{ONE=1}, f: be64, g: bool, h: u128[2], i: ptr}".parse().unwrap();
        let text = "a=1 b=2 c=-3 d=-4 e=ONE f=6 g=true h=[7,8] i=0x9";
        let bytes = parse::value(&ty, text).unwrap();
        let strings = WideIntegersAsStrings(&bytes[..]);
        let mut out = Vec::new();
        print::json(&ty, &strings, &mut out);
        let json =
            r#"{"a":1,"b":"2","c":-3,"d":"-4","e":"ONE","f":"6","g":true,"h":["7","8"],"i":"0x9"}"#;
        assert_eq!(std::str::from_utf8(&out), Ok(json));
        assert_eq!(parse::value(&ty, json).as_deref(), Ok(&bytes[..]));
        out.clear();
        let twice = [u64::MAX; 2].map(u64::to_ne_bytes).concat();
        let sum = PerCpu::new(&twice, 8);
        print::json(&"u64".parse::<Type>().unwrap(), &WideIntegersAsStrings(&sum), &mut out);
        assert_eq!(out, br#""36893488147419103230""#);
    }
}
