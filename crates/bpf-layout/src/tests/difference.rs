//! Differences between layouts.

use super::arbitrary::types;
use crate::{Layout, Type};
use proptest::prelude::*;

fn layout(text: &str) -> Layout {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn difference(expected: &str, found: &str) -> Option<String> {
    layout(expected).difference(&layout(found)).map(|difference| difference.to_string())
}

#[test]
fn notations_of_the_same_bytes_do_not_differ() {
    for (a, b) in [
        ("u32 -> u64", "u32 -> u64"),
        ("-> char[16]", "-> char[16]"),
        ("u32 -> struct{a: u8, b: u32}", "u32 -> packed struct{a: u8, pad[3], b: u32}"),
        ("u32 -> struct{a: u32, b: u32}", "u32 -> struct{struct{a: u32, b: u32}}"),
        ("u32 -> enum{A, B}", "u32 -> u32"),
        ("u32 -> enum:u8{A, B}", "u32 -> enum:u8{C}"),
        ("u32 -> union{a: u32, b: u16}", "u32 -> union{b: u16, a: u32}"),
        ("u32 -> struct{a: u8:3, b: u8:5, pad[3]}", "u32 -> struct{a: u32:3, b: u32:5}"),
        ("lpm{ip4} -> u64[2][3]", "lpm{ip4} -> u64[2][3]"),
    ] {
        assert_eq!(difference(a, b), None, "{a} and {b}");
        assert_eq!(difference(b, a), None, "{b} and {a}");
    }
}

#[test]
fn first_difference_has_its_place_and_both_types() {
    for (expected, found, want) in [
        ("u32 -> u64", "u32 -> u32", "value at offset 0: u64 expected, u32 found"),
        ("u32 -> u64", "ip4 -> u32", "key at offset 0: u32 expected, ip4 found"),
        ("u32 -> u64", "-> u64", "key: u32 expected, no key found"),
        ("-> u64", "u32 -> u64", "key: no key expected, u32 found"),
        (
            "u32 -> struct{rx: u64, tx: u64}",
            "u32 -> struct{rx: u64, tx: u32}",
            "value.tx at offset 8: u64 expected, u32 found",
        ),
        (
            "u32 -> struct{rx: u64, tx: u64}",
            "u32 -> struct{rx: u64, tx: u64, drops: u64}",
            "value: no field expected, drops: u64 at offset 16 found",
        ),
        (
            "u32 -> struct{rx: u64, tx: u64}",
            "u32 -> struct{rx: u64, pad[8]}",
            "value: tx: u64 at offset 8 expected, no field found",
        ),
        (
            "u32 -> struct{rx: u64, tx: u64}",
            "u32 -> struct{tx: u64, rx: u64}",
            "value: rx: u64 at offset 0 expected, tx: u64 at offset 0 found",
        ),
        (
            "u32 -> struct{rx: u32, tx: u64}",
            "u32 -> packed struct{rx: u32, tx: u64}",
            "value.tx: offset 8 expected, offset 4 found",
        ),
        (
            "u32 -> struct{rx: u32}",
            "u32 -> struct{rx: u32, pad[4]}",
            "value: 4 bytes expected, 8 bytes found",
        ),
        (
            "u32 -> struct{a: u8, s: struct{x: u16, y: u32}[4]}",
            "u32 -> struct{a: u8, s: struct{x: u16, y: be32}[4]}",
            "value.s[0].y at offset 8: u32 expected, be32 found",
        ),
        ("u32 -> u8[4]", "u32 -> u8[8]", "value at offset 0: u8[4] expected, u8[8] found"),
        (
            "u32 -> struct{a: u32:3}",
            "u32 -> struct{a: u32:4}",
            "value.a at bit 0: u32:3 expected, u32:4 found",
        ),
        (
            "u32 -> struct{a: u32:3, b: u32:3}",
            "u32 -> struct{a: u32:3, b: i32:3}",
            "value.b at bit 3: u32:3 expected, i32:3 found",
        ),
        ("lpm{ip4} -> u8", "lpm{hex[4]} -> u8", "key.data at offset 4: ip4 expected, hex[4] found"),
        (
            "u32 -> hex[16]",
            "u32 -> char[16]",
            "value at offset 0: hex[16] expected, char[16] found",
        ),
    ] {
        assert_eq!(difference(expected, found).as_deref(), Some(want));
    }
}

#[test]
fn long_types_are_truncated() {
    let names: Vec<String> = (0..1000).map(|n| format!("field{n}: u64")).collect();
    let found = format!("u32 -> struct{{{}}}", names.join(", "));
    let text = difference("u32 -> u64", &found).expect("a difference");
    assert!(text.ends_with("… found") && text.len() < 200, "{text}");
}

#[test]
fn sizes_are_compared_with_those_of_a_map() {
    let size_difference = |key, value| {
        let difference = layout("u32 -> u64").size_difference(key, value);
        difference.map(|difference| difference.to_string())
    };
    assert_eq!(size_difference(4, 8), None);
    assert_eq!(size_difference(0, 8).unwrap(), "key: 4 bytes expected, 0 bytes found");
    assert_eq!(size_difference(4, 1).unwrap(), "value: 8 bytes expected, 1 byte found");
}

proptest! {
    #[test]
    fn layouts_without_a_difference_have_the_same_sizes(a in types(), b in types()) {
        let with = |value: &Type| Layout { key: None, value: value.clone() };
        prop_assert_eq!(with(&a).difference(&with(&a)), None);
        let found = with(&a).difference(&with(&b));
        prop_assert_eq!(found.is_none(), with(&b).difference(&with(&a)).is_none());
        if found.is_none() {
            prop_assert_eq!(a.size(), b.size());
        }
    }
}
