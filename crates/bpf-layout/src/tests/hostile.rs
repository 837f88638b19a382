//! Hostile blobs and texts: the result is a value or an error, in short time, without a panic.

use crate::{Btf, Layout, Type, parse};
use proptest::prelude::*;

const NASTY: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/nasty.btf"));

/// Builds a blob from `types` (32-bit words) and `strings`.
pub fn blob(types: &[u32], strings: &[u8]) -> Vec<u8> {
    let header = [24, 0, types.len() as u32 * 4, types.len() as u32 * 4, strings.len() as u32];
    let mut blob = 0xeb9fu16.to_ne_bytes().to_vec();
    blob.extend([1, 0]);
    blob.extend(header.iter().chain(types).flat_map(|word| word.to_ne_bytes()));
    blob.extend(strings);
    blob
}

pub const fn info(kind: u32, vlen: u32) -> u32 {
    kind << 24 | vlen
}

#[test]
fn typedef_cycle_is_refused() {
    let blob = blob(&[1, info(8, 0), 2, 1, info(8, 0), 1], b"\0t\0");
    let btf = Btf::parse(&blob).expect("valid BTF");
    assert_eq!(btf.layout(1).unwrap_err().to_string(), "btf type 1 refers to itself");
}

#[test]
fn self_containing_struct_resolves() {
    // Two members of the struct's own type double the work at each level.
    let blob = blob(&[1, info(4, 2), 0, 3, 1, 0, 5, 1, 0], b"\0s\0a\0b\0");
    let btf = Btf::parse(&blob).expect("valid BTF");
    assert!(btf.layout(1).is_ok_and(|ty| ty.size() == 0));
}

#[test]
fn self_containing_array_is_refused() {
    let blob = blob(&[0, info(3, 0), 0, 1, 1, 2], b"\0");
    let btf = Btf::parse(&blob).expect("valid BTF");
    assert!(btf.layout(1).is_err());
}

#[test]
fn huge_array_of_empty_structs_has_no_size() {
    let blob = blob(&[0, info(4, 0), 0, 0, info(3, 0), 0, 1, 1, u32::MAX], b"\0");
    let btf = Btf::parse(&blob).expect("valid BTF");
    assert_eq!(btf.layout(2), Ok(Type::Hex(0)));
}

#[test]
fn oversized_array_is_refused() {
    let int = [0, info(1, 0), 8, 64];
    let array = [0, info(3, 0), 0, 1, 1, u32::MAX];
    let blob = blob(&[&int[..], &array[..]].concat(), b"\0");
    let btf = Btf::parse(&blob).expect("valid BTF");
    assert_eq!(btf.layout(2).unwrap_err().to_string(), "btf type 2 is too large");
}

#[test]
fn invalid_member_names_become_identifiers() {
    let types = [0, info(1, 0), 4, 32, 0, info(4, 3), 12, 1, 1, 0, 5, 1, 32, 9, 1, 64];
    let blob = blob(&types, b"\0a.b\0a-b\0\x31\x1b\0");
    let btf = Btf::parse(&blob).expect("valid BTF");
    assert_eq!(
        btf.layout(2).map(|ty| ty.to_string()).as_deref(),
        Ok("struct{a_b: u32, a_b_1: u32, _1_: u32}")
    );
}

#[test]
fn duplicate_enum_name_keeps_the_first_value() {
    let blob = blob(&[0, info(6, 3), 4, 1, 0, 1, 5, 3, 7], b"\0A\0B\0");
    let btf = Btf::parse(&blob).expect("valid BTF");
    assert_eq!(btf.layout(1).map(|ty| ty.to_string()).as_deref(), Ok("enum{A, B=7}"));
}

#[test]
fn overlapping_members_become_raw_bytes() {
    let types = [0, info(1, 0), 4, 32, 0, info(4, 2), 8, 1, 1, 0, 3, 1, 16];
    let blob = blob(&types, b"\0a\0b\0");
    let btf = Btf::parse(&blob).expect("valid BTF");
    assert_eq!(btf.layout(2), Ok(Type::Hex(8)));
}

#[test]
fn misaligned_member_keeps_its_offset() {
    let types = [0, info(1, 0), 1, 8, 0, info(1, 0), 4, 32, 0, info(4, 2), 8, 1, 1, 0, 3, 2, 16];
    let blob = blob(&types, b"\0a\0b\0");
    let btf = Btf::parse(&blob).expect("valid BTF");
    let text = btf.layout(3).map(|ty| ty.to_string());
    assert_eq!(text.as_deref(), Ok("packed struct{a: u8, pad[1], b: u32, pad[2]}"));
}

#[test]
fn truncated_type_is_refused() {
    let blob = blob(&[0, info(1, 0), 4, 32, 0, info(4, 2), 8, 1, 1, 0], b"\0a\0");
    assert_eq!(Btf::parse(&blob).err(), Some(crate::BtfError::Short(16)));
}

#[test]
fn bitfield_of_a_struct_becomes_raw_bytes() {
    let flag = 1 << 31;
    let types = [0, info(4, 0), 0, 0, info(4, 1) | flag, 4, 1, 1, 3 << 24];
    let blob = blob(&types, b"\0a\0");
    let btf = Btf::parse(&blob).expect("valid BTF");
    assert_eq!(btf.layout(2), Ok(Type::Hex(4)));
}

#[test]
fn only_kernel_pointers_become_padding() {
    for (tag, layout) in
        [(&b"\0kptr\0p\0"[..], "struct{p: struct{pad[8]}}"), (b"\0user\0p\0", "struct{p: ptr}")]
    {
        // Type 1: int, 2: type tag, 3: pointer to the tag, 4: struct with the pointer.
        let types = [0, info(1, 0), 4, 32, 1, info(18, 0), 1, 0, info(2, 0), 2];
        let blob = blob(&[&types[..], &[0, info(4, 1), 8, 6, 3, 0]].concat(), tag);
        let btf = Btf::parse(&blob).expect("valid BTF");
        assert_eq!(btf.layout(4).map(|ty| ty.to_string()).as_deref(), Ok(layout));
    }
}

#[test]
fn deeply_nested_notation_is_refused() {
    for text in ["struct{a:".repeat(100_000), "lpm{".repeat(100_000), "struct{".repeat(100_000)] {
        let error = text.parse::<Type>().unwrap_err().to_string();
        assert!(error.ends_with("nested deeper than 64 levels"), "{error}");
    }
    assert!(format!("u8{}", "[1]".repeat(100_000)).parse::<Type>().is_err());
    assert!(format!("{}u8{}", "struct{a:".repeat(64), "}".repeat(64)).parse::<Type>().is_ok());
    assert!(format!("{}u8{}", "struct{a:".repeat(65), "}".repeat(65)).parse::<Type>().is_err());
}

#[test]
fn json_nested_deeper_than_its_type_is_refused() {
    let mut out = [0; 4];
    let ty = Type::array(Type::of_size(4), 1).expect("small");
    assert!(parse::json(&ty, &"[".repeat(1_000_000), &mut out).is_err());
    assert!(parse::value_into(&ty, &"[".repeat(1_000_000), &mut out).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_btf_never_panics(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let mut blob = NASTY.to_vec();
        for (at, byte) in changes {
            let at = at.index(blob.len());
            blob[at] = byte;
        }
        blob.truncate(cut.map_or(blob.len(), |cut| cut.index(blob.len())));
        let Ok(btf) = Btf::parse(&blob) else { return Ok(()) };
        for id in 0..=btf.len() + 1 {
            let Ok(ty) = btf.layout(id) else { continue };
            let text = ty.to_string();
            prop_assert_eq!(text.parse::<Type>(), Ok(ty), "{}", text);
        }
    }

    #[test]
    fn arbitrary_layout_text_fails_in_one_line(text in "\\PC{0,40}|([a-z0-9]{1,6}|[\\[\\]{}:,=>\\- \u{1b}\n]){0,30}") {
        if let Err(error) = text.parse::<Layout>() {
            let error = error.to_string();
            prop_assert!(!error.contains(['\n', '\u{1b}']), "{}", error);
        }
    }

    #[test]
    fn arbitrary_value_text_fails_in_one_line(
        ty in super::arbitrary::types(),
        text in "\\PC{0,40}|([a-z0-9_]{1,6}|[\\[\\]{}:,=\"\\\\. \u{1b}\n]){0,30}",
    ) {
        if let Err(error) = parse::value(&ty, &text) {
            let error = error.to_string();
            prop_assert!(!error.contains(['\n', '\u{1b}']), "{}", error);
        }
    }

    #[test]
    fn damaged_value_text_fails_in_one_line(
        (ty, bytes) in super::arbitrary::values(),
        object in any::<bool>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{}:,=\"\\\\0-9a.x \u{e9}-]{0,2}"), 1..4),
    ) {
        let print = if object { super::json } else { super::plain };
        let mut text = print(&ty, &bytes);
        for (at, new) in changes {
            let from = at.index(text.len() + 1);
            let to = from + at.index(2).min(text.len() - from);
            if text.is_char_boundary(from) && text.is_char_boundary(to) {
                text.replace_range(from..to, &new);
            }
        }
        match parse::value(&ty, &text) {
            Ok(bytes) => prop_assert_eq!(parse::value(&ty, &print(&ty, &bytes)), Ok(bytes)),
            Err(error) => {
                let error = error.to_string();
                prop_assert!(!error.contains(['\n', '\u{1b}']), "{}", error);
            }
        }
    }
}

struct Places;

impl crate::DataPlaces for Places {
    fn section_size(&self, section: &str) -> Option<u32> {
        (section == ".bss").then_some(12)
    }

    fn variable_offset(&self, section: &str, variable: &str) -> Option<u32> {
        [(".bss", "a", 8), (".bss", "b", 0)]
            .iter()
            .find(|known| (known.0, known.1) == (section, variable))
            .map(|known| known.2)
    }

    fn is_hidden(&self, function: &str) -> bool {
        function == "h"
    }
}

#[test]
fn unlinked_btf_is_completed_and_keeps_its_ids() {
    let strings = b"\0.bss\0.ksyms\0a\0b\0c\0f\0h\0";
    let int = [13, info(1, 0), 4, 32];
    let types = [
        &int[..],
        &[13, info(14, 0), 1, 1], // 2: a, global
        &[15, info(14, 0), 1, 1], // 3: b, global
        &[17, info(14, 0), 1, 0], // 4: c, static, at 4
        &[1, info(15, 3), 0, 2, 0, 4, 3, 0, 4, 4, 4, 4],
        &[0, info(13, 0), 1],     // 6: a prototype
        &[19, info(12, 2), 6],    // 7: f, external
        &[17, info(14, 0), 0, 2], // 8: c, external, of void
        &[6, info(15, 2), 0, 7, 0, 0, 8, 0, 0],
        &[21, info(12, 1), 6], // 10: h, global and hidden
    ];
    let blob = blob(&types.concat(), strings);
    let done = Btf::parse(&blob).expect("it reads well").complete(&Places).expect("in order");
    assert_eq!(done.len(), blob.len());
    let btf = Btf::parse(&done).expect("it reads well");
    let section = btf.data_section(".bss").expect("it is there");
    let variables: Vec<_> = section.variables.iter().map(|v| (v.name, v.offset)).collect();
    assert_eq!((section.id, &variables[..]), (5, &[("b", 0), ("c", 4), ("a", 8)][..]));
    assert_eq!(btf.layout(5).expect("a struct").to_string(), "struct{b: u32, c: u32, a: u32}");
    // The external declarations.
    assert_eq!(btf.data_section(".ksyms"), None);
    assert_eq!(btf.layout(9).expect("an enum").to_string(), "enum:u64{f, c=0}");
    assert_eq!((btf.name(10), btf.raw_type(10).map(|raw| raw.vlen)), (Some("h"), Ok(0)));
    assert_eq!((btf.name(7), btf.layout(8).map(|ty| ty.size())), (Some("f"), Ok(4)));
}
