//! What the program copies and resets, for random layouts, compared with the codec.

use super::super::interpreter::change;
use super::*;
use bpf_layout::parse;
use proptest::prelude::*;

const KEY: [u8; 3] = [7, 8, 9];

fn field() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "u8",
        "u16",
        "u32",
        "u64",
        "i8",
        "i16",
        "i32",
        "i64",
        "be16",
        "be32",
        "be64",
        "f32",
        "f64",
        "bool",
        "ptr",
        "ip4",
        "ip6",
        "mac",
        "char[5]",
        "hex[3]",
        "u16[3]",
        "enum:u8{A=0,B=1}",
        "u32:7",
        "u8:1",
        "i64:33",
        "struct{n: u8, text: char[3], m: u32}[2]",
    ])
}

fn layouts() -> impl Strategy<Value = Type> {
    (prop::collection::vec(field(), 1..8), any::<bool>()).prop_map(|(fields, packed)| {
        let fields: Vec<String> =
            fields.iter().enumerate().map(|(at, ty)| format!("f{at}: {ty}")).collect();
        let packed = if packed { "packed " } else { "" };
        format!("{packed}struct{{{}}}", fields.join(", ")).parse().expect("a layout")
    })
}

/// The value with its numbers set to zero, by the codec.
fn without_numbers(ty: &Type, mut value: Vec<u8>) -> Vec<u8> {
    for piece in template(|values, out| print::plain(ty, values, out)) {
        let Piece::Leaf(leaf) = piece else { continue };
        let slot = leaf.slot();
        match slot.width() {
            _ if !has_sums(slot) => {}
            Some(_) => parse::store_number(slot, 0u128, &mut value).expect("a number"),
            None => value[slot.offset()..][..slot.len()].fill(0),
        }
    }
    value
}

fn elements(value_size: usize, lock: Option<usize>) -> MapShape {
    MapShape { key_size: KEY.len(), value_size, lock, other_cpu: false }
}

fn values(take: &Take, context: &[u8]) -> Vec<Option<Vec<u8>>> {
    take.values(context).map(|value| value.map(<[u8]>::to_vec)).collect()
}

proptest! {
    #[test]
    fn values_are_copied_and_their_numbers_reset(
        ty in layouts(),
        bytes in prop::collection::vec(any::<u8>(), 256),
        is_locked in any::<bool>(),
    ) {
        let size = ty.size();
        let Ok(parts) = parts(&ty, &ty, size, is_locked) else { return Ok(()) };
        let take = Take::new(parts, size, KEY.len(), 2).expect("small");
        prop_assert_eq!(take.count(), 2);
        let old = bytes[..size].to_vec();
        let reset = without_numbers(&ty, old.clone());
        let lock = is_locked.then_some(0);
        let code = take.generate(&elements(size, lock)).expect("short");
        let mut value = old.clone();
        let mut context = take.context(3, &[KEY, KEY].concat());
        let status = change(&code, &mut context, &KEY, Some(&mut value), |_| ());
        prop_assert_eq!(status, 0);
        prop_assert_eq!(&value, &reset, "{}", ty);
        // The second value is what the first left.
        prop_assert_eq!(values(&take, &context), [Some(old), Some(reset)]);
    }
}

fn prepare(notation: &str, is_locked: bool) -> Result<Vec<Part>, Untakable> {
    let ty: Type = notation.parse().expect("a layout");
    parts(&ty, &ty, ty.size(), is_locked)
}

#[test]
fn missing_and_unused_keys_have_no_value() {
    let take = Take::new(prepare("u64", false).expect("a number"), 8, KEY.len(), 3).expect("small");
    let code = take.generate(&elements(8, None)).expect("short");
    let mut context = take.context(0, &KEY);
    assert_eq!(change(&code, &mut context, &KEY, None, |_| ()), 0);
    assert_eq!(values(&take, &context), [None, None, None]);
    let mut value = 5u64.to_ne_bytes();
    let mut context = take.context(0, &KEY);
    assert_eq!(change(&code, &mut context, &KEY, Some(&mut value), |_| ()), 0);
    assert_eq!(values(&take, &context), [Some(5u64.to_ne_bytes().to_vec()), None, None]);
    assert_eq!(value, [0; 8]);
}

#[test]
fn number_that_no_word_holds_is_named() {
    for (notation, name) in [
        ("packed struct{a: u8, b: u64, pad[7]}", "b"),
        ("struct{a: u64, s: struct{c: u128}}", "s.c"),
        ("u8", "value"),
        ("packed struct{a: u64, b: u16[1]}", "b"),
    ] {
        let refused = prepare(notation, false).expect_err("no word");
        assert_eq!(refused, Untakable::Field(name.into()), "{notation}");
        prepare(notation, true).expect("below a lock");
    }
    let refused = prepare("struct{a: char[4], b: bool}", false).expect_err("no number");
    assert_eq!(refused.to_string(), "no number to reset in struct{a: char[4], b: bool}");
}

#[test]
fn kernel_bytes_are_not_touched() {
    let parts = prepare("struct{a: u32, lock: struct{pad[4]}, b: u64}", true).expect("numbers");
    let touched: Vec<_> = parts.iter().map(|part| (part.offset, part.width)).collect();
    assert_eq!(touched, [(0, Width::Four), (8, Width::Eight)]);
}

#[test]
fn runs_take_as_many_values_as_there_is_room_for() {
    for (size, wanted, want) in
        [(8, 1, 1), (8, 100_000, 32), (2048, 100_000, 3), (32_000, 10, 1), (8, 0, 1)]
    {
        let ty: Type = format!("u64[{}]", size / 8).parse().expect("a layout");
        let parts = parts(&ty, &ty, size, false).expect("numbers");
        assert_eq!(Take::new(parts, size, 4, wanted).expect("room").count(), want, "{size}");
    }
    let ty: Type = "u64[4100]".parse().expect("a layout");
    let parts = parts(&ty, &ty, 32_800, false).expect("numbers");
    assert_eq!(Take::new(parts, 32_800, 4, 1), Err(Untakable::TooLarge(32_800)));
}
