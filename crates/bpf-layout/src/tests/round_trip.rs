//! Printed text parses to the same bytes, padding included, and printed notation to the same type.

use super::arbitrary::{types, values};
use super::{json, plain};
use crate::bits::{BIG, read_bits, write_bits};
use crate::{Btf, Layout, MapBtf, Slot, Type, parse, print};
use proptest::prelude::*;
use serde::de::DeserializeSeed;

/// Marks the bits that belong to fields.
fn mark(slot: Slot<'_>, marks: &mut [u8]) {
    match (slot.ty(), slot.record(), slot.width()) {
        (_, Some(record), _) => {
            record.fields().iter().for_each(|field| mark(slot.field(field), marks))
        }
        (Type::Array(array), _, _) => {
            (0..array.len()).for_each(|index| mark(slot.element(array.elem(), index), marks));
        }
        (_, _, Some(width)) => write_bits(marks, slot.bit, width, u64::MAX, BIG),
        _ => marks[slot.offset()..slot.offset() + slot.len()].fill(0xff),
    }
}

/// Returns the bytes with zero padding.
fn without_padding(ty: &Type, bytes: &[u8]) -> Vec<u8> {
    let mut marks = vec![0; bytes.len()];
    mark(ty.into(), &mut marks);
    bytes.iter().zip(marks).map(|(byte, mark)| byte & mark).collect()
}

fn cells(ty: &Type, bytes: &[u8]) -> Vec<(String, String)> {
    let cell = |column: &print::Column<'_>| {
        let mut out = Vec::new();
        column.cell(bytes, &mut out);
        (column.name.clone(), String::from_utf8(out).expect("printed text is UTF-8"))
    };
    print::all_columns(ty).iter().map(cell).collect()
}

/// Reports whether an object contains padding. Only names of members are checked, because text may
/// begin with `@`, too.
fn has_padding(value: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Object};
    match value {
        Object(members) => {
            members.iter().any(|(name, value)| name.starts_with('@') || has_padding(value))
        }
        Array(elements) => elements.iter().any(has_padding),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn notation_of_any_type_round_trips(ty in types()) {
        let text = ty.to_string();
        prop_assert!(text.len() <= ty.cost(), "{} {}", text.len(), ty.cost());
        let back: Type = text.parse().map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(&back, &ty);
        prop_assert_eq!((back.size(), back.align(), back.to_string()), (ty.size(), ty.align(), text));
        prop_assert_eq!(ty.size() % ty.align(), 0);
    }

    #[test]
    fn btf_resolves_to_the_same_types(key in types(), value in types()) {
        let layout = Layout { key: Some(key), value };
        let MapBtf { blob, key, value } = layout.to_btf();
        let btf = Btf::parse(&blob).expect("just written");
        let back = Layout {
            key: Some(btf.layout(key).expect("just written")),
            value: btf.layout(value).expect("just written"),
        };
        prop_assert_eq!(back, layout);
    }

    #[test]
    fn plain_text_round_trips((ty, bytes) in values()) {
        let text = plain(&ty, &bytes);
        prop_assert!(!text.contains(['\t', '\n', '\x1b']), "{}", text);
        let back = parse::value(&ty, &text).map_err(|error| TestCaseError::fail(format!("{ty} {text}: {error}")))?;
        prop_assert_eq!(&back, &bytes, "{} {}", ty, text);
    }

    #[test]
    fn json_round_trips((ty, bytes) in values()) {
        let text = json(&ty, &bytes);
        let mut back = vec![0xaa; ty.size()];
        parse::json(&ty, &text, &mut back).map_err(|error| TestCaseError::fail(format!("{ty} {text}: {error}")))?;
        prop_assert_eq!(&back, &bytes, "{} {}", ty, text);
        back.fill(0x55);
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        parse::SlotSeed::new(&ty, &mut back).deserialize(&mut deserializer).expect("printed text");
        prop_assert_eq!(&back, &bytes);
    }

    #[test]
    fn table_cells_in_any_order_round_trip((ty, bytes) in values(), reverse in any::<bool>()) {
        let mut cells = cells(&ty, &bytes);
        if reverse {
            cells.reverse();
        }
        let mut row = parse::RowReader::new(&ty, cells.iter().map(|cell| &*cell.0)).expect("all columns");
        let mut back = vec![0xaa; ty.size()];
        row.read(cells.iter().map(|cell| &*cell.1), &mut back)
            .map_err(|error| TestCaseError::fail(format!("{ty} {cells:?}: {error}")))?;
        prop_assert_eq!(back, bytes, "{} {:?}", ty, cells);
    }

    #[test]
    fn zero_padding_is_omitted((ty, bytes) in values()) {
        // Padding of one member of a union can be data of another member.
        prop_assume!(!ty.overlaps());
        let bytes = without_padding(&ty, &bytes);
        let object: serde_json::Value = serde_json::from_str(&json(&ty, &bytes)).expect("JSON");
        prop_assert!(!has_padding(&object), "{}", object);
        for (name, text) in cells(&ty, &bytes) {
            prop_assert!(!name.contains('@') || text.is_empty(), "{} {}={}", ty, name, text);
        }
    }

    #[test]
    fn padding_input_keeps_fields((ty, bytes) in values(), noise in any::<u64>()) {
        // Sets all padding bits, and bits of fields in the same bytes.
        for column in print::all_columns(&ty) {
            let Some(gap) = column.gap else { continue };
            let digits = format!("{noise:016x}").repeat(gap.len() / 8 + 1);
            let word = format!("@{}=hex:{}", gap.offset(), &digits[..gap.len() * 2]);
            let mut sum = plain(&ty, &without_padding(&ty, &bytes));
            let prefix = column.name.rsplit_once('.').map_or(String::new(), |(outer, _)| format!("{outer}."));
            sum.push_str(&format!(" {prefix}{word}"));
            // In a union, another member can contain these bits.
            let Ok(read) = parse::value(&ty, &sum) else {
                prop_assert!(ty.overlaps(), "{} {}", ty, sum);
                continue;
            };
            prop_assert_eq!(without_padding(&ty, &read), without_padding(&ty, &bytes), "{} {}", ty, sum);
        }
    }

    #[test]
    fn columns_are_settable_by_their_path((ty, bytes) in values()) {
        let mut back = vec![0; ty.size()];
        for (name, text) in cells(&ty, &bytes).into_iter().filter(|(name, _)| !name.contains('@')) {
            let slot = ty.field(&name).expect("path of the column");
            parse::slot(slot, &text, &mut back)
                .map_err(|error| TestCaseError::fail(format!("{ty} {name}={text}: {error}")))?;
            let mut again = Vec::new();
            print::cell(slot, &back[..], &mut again);
            prop_assert_eq!(String::from_utf8_lossy(&again), text);
        }
    }

    #[test]
    fn setting_a_bitfield_keeps_its_neighbours((ty, bytes) in values(), number in any::<u64>()) {
        for column in print::columns(&ty) {
            let Some(width) = column.slot.width() else { continue };
            let mut changed = bytes.clone();
            let (atom, bits) = column.slot.integer().expect("bitfields are integers");
            let (min, max) = atom.range(bits);
            let number = i128::from(number).rem_euclid(max - min + 1) + min;
            parse::store_number(column.slot, number, &mut changed).expect("in range");
            let old = read_bits(&bytes, column.slot.bit, width, BIG);
            prop_assert_eq!(read_bits(&changed, column.slot.bit, width, BIG), number as u64 & u64::MAX >> (64 - width));
            write_bits(&mut changed, column.slot.bit, width, old, BIG);
            prop_assert_eq!(&changed, &bytes);
        }
    }

    #[test]
    fn sum_over_one_cpu_equals_its_value((ty, bytes) in values()) {
        let one = print::PerCpu::new(&bytes, bytes.len());
        let mut out = Vec::new();
        print::json(&ty, &one, &mut out);
        let text = String::from_utf8(out).expect("printed text is UTF-8");
        // Adding does not preserve the payload of a NaN.
        if !bytes.is_empty() && !json(&ty, &bytes).contains("hex:") && !ty.to_string().contains("f32") {
            prop_assert_eq!(text, json(&ty, &bytes));
        }
    }
}
