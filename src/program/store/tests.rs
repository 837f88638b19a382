//! What the program writes, for random fields, compared with the codec.

use super::super::interpreter::change;
use super::*;
use bpf_layout::{Type, parse};
use proptest::prelude::*;

const KEY: [u8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const FIELDS: [&str; 12] = [
    "u8", "i16", "be32", "u64", "char[3]", "mac", "ip6", "u32:5", "u8:1", "i64:40", "hex[7]",
    "u16[4]",
];

fn layouts() -> impl Strategy<Value = (Type, usize)> {
    let fields = prop::collection::vec(prop::sample::select(&FIELDS[..]), 2..9);
    (fields, any::<bool>()).prop_map(|(fields, packed)| {
        let count = fields.len();
        let fields: Vec<String> =
            fields.iter().enumerate().map(|(at, ty)| format!("f{at}: {ty}")).collect();
        let packed = if packed { "packed " } else { "" };
        let ty = format!("{packed}struct{{{}}}", fields.join(", "));
        (ty.parse().expect("a layout"), count)
    })
}

/// Writes a field of `from` into `to`, by the codec alone.
fn copy(slot: Slot, from: &[u8], to: &mut [u8]) {
    match (slot.width(), slot.number(from)) {
        (Some(_), Some(bpf_layout::Number::Unsigned(number))) => {
            parse::store_number(slot, number, to).expect("a number");
        }
        (Some(_), Some(bpf_layout::Number::Signed(number))) => {
            parse::store_number(slot, number, to).expect("a number");
        }
        _ => to[slot.offset()..][..slot.len()].copy_from_slice(slot.bytes(from)),
    }
}

fn elements(value_size: usize, lock: Option<usize>) -> MapShape {
    MapShape { key_size: KEY.len(), value_size, lock, other_cpu: false }
}

proptest! {
    #[test]
    fn only_the_fields_are_written(
        (ty, count) in layouts(),
        old in prop::collection::vec(any::<u8>(), 160),
        new in prop::collection::vec(any::<u8>(), 160),
        picked in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        tested in prop::option::of(any::<prop::sample::Index>()),
        holds in any::<bool>(),
        is_locked in any::<bool>(),
    ) {
        let size = ty.size();
        let field = |index: &prop::sample::Index| {
            ty.field(&format!("f{}", index.index(count))).expect("a field")
        };
        let fields: Vec<Slot> = picked.iter().map(field).collect();
        let test = tested.as_ref().map(field);
        let Some(store) = Store::new(&fields, test, size, is_locked) else { return Ok(()) };
        let (mut value, mut given, mut expected) =
            (old[..size].to_vec(), vec![0; size], vec![0; size]);
        let mut want = value.clone();
        for field in &fields {
            copy(*field, &new, &mut given);
        }
        let source = if holds { &old } else { &new };
        let mut met = true;
        if let Some(test) = test {
            copy(test, source, &mut expected);
            let mut found = vec![0; size];
            copy(test, &old, &mut found);
            met = found == expected;
        }
        if met {
            fields.iter().for_each(|field| copy(*field, &new, &mut want));
        }
        let lock = is_locked.then_some(0);
        let code = store.generate(&elements(size, lock)).expect("short");
        let mut context = store.context(2, &KEY, &given, &expected);
        let status = change(&code, &mut context, &KEY, Some(&mut value), |_| ());
        let outcome = if met { RunOutcome::Done } else { RunOutcome::Refused };
        prop_assert_eq!(RunOutcome::new(status as u32), Some(outcome));
        prop_assert_eq!(value, want, "{} {:?}", ty, store);
    }
}

fn store(notation: &str, fields: &[&str], test: Option<&str>, is_locked: bool) -> Option<Store> {
    let ty: Type = notation.parse().expect("a layout");
    let slot = |path: &str| ty.field(path).expect("a field");
    let fields: Vec<Slot> = fields.iter().map(|path| slot(path)).collect();
    Store::new(&fields, test.map(slot), ty.size(), is_locked)
}

#[test]
fn aligned_fields_are_stored_and_others_exchanged() {
    let ty = "struct{a: u32, b: u16, c: u8:3, d: u8:5, x: u8, e: mac, f: ip6, g: u64}";
    let plain = |offset, width| Write { offset, width, mask: None };
    for (field, want) in [
        ("a", vec![plain(0, Width::Four)]),
        ("b", vec![plain(4, Width::Two)]),
        ("f", vec![plain(16, Width::Eight), plain(24, Width::Eight)]),
        ("g", vec![plain(32, Width::Eight)]),
    ] {
        assert_eq!(store(ty, &[field], None, false).expect("a store").writes(), want, "{field}");
    }
    for field in ["c", "e"] {
        let store = store(ty, &[field], None, false).expect("a store");
        let [write] = store.writes() else { panic!("{field}: {store:?}") };
        assert!(write.mask.is_some(), "{field}: {write:?}");
    }
}

#[test]
fn condition_in_another_word_needs_a_lock() {
    let ty = "struct{a: u32, b: u32, c: u64}";
    for (fields, test, want) in [
        (&["a"][..], "a", true),
        (&["a"], "b", true),
        (&["a"], "c", false),
        (&["a", "c"], "a", false),
    ] {
        assert_eq!(store(ty, fields, Some(test), false).is_some(), want, "{fields:?} {test}");
        assert!(store(ty, fields, Some(test), true).is_some());
    }
    assert_eq!(store("struct{a: u64, b: u8:3}", &["b"], None, false).map(|_| ()), Some(()));
    assert_eq!(store("packed struct{a: u64, b: u8:3}", &["b"], None, false), None);
}

#[test]
fn interference_is_noticed_and_kept() {
    let ty: Type = "struct{a: u8, b: u8:3, c: u8:5, d: u16}".parse().expect("a layout");
    let slot = |path: &str| ty.field(path).expect("a field");
    for test in [None, Some("a")] {
        let store = Store::new(&[slot("b")], test.map(slot), 4, false).expect("a store");
        let code = store.generate(&elements(4, None)).expect("short");
        let mut new = [0; 4];
        parse::store_number(slot("b"), 5u128, &mut new).expect("a number");
        for (times, want) in
            [(0, RunOutcome::Done as u32), (7, RunOutcome::Done as u32), (8, CONTENDED)]
        {
            let (mut value, mut left) = ([0; 4], times);
            // Another writer changes a neighbour in the same word.
            let interfere = move |value: &mut [u8]| {
                if left > 0 {
                    left -= 1;
                    value[2] += 1;
                }
            };
            let mut context = store.context(0, &KEY, &new, &[0; 4]);
            let status = change(&code, &mut context, &KEY, Some(&mut value), interfere);
            assert_eq!(status, u64::from(want), "{times}");
            let mut result = if want != CONTENDED { new } else { [0; 4] };
            result[2] = times;
            assert_eq!(value, result, "{times}");
        }
    }
}
