//! The program for every integer layout, offset and byte order, compared with the codec of bpf-layout.

use super::super::interpreter::change;
use super::*;
use bpf_layout::{Integer, Number, parse};
use proptest::prelude::*;

const KEY_BYTES: [u8; 5] = [1, 2, 3, 4, 5];

/// A struct with an integer `x` in it, aligned or not, or a bitfield.
fn layouts() -> impl Strategy<Value = Type> {
    let integer = prop::sample::select(vec![
        "u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "be16", "be32", "be64",
    ]);
    let whole = (integer, 0..20u32, 0..12u32, any::<bool>());
    let whole = whole.prop_map(|(integer, before, after, packed)| {
        let packed = if packed { "packed " } else { "" };
        format!("{packed}struct{{a: hex[{before}], x: {integer}, b: hex[{after}]}}")
    });
    let bits =
        (prop::sample::select(vec![("u32", 32), ("i64", 64), ("i16", 16), ("u8", 8)]), 1..9u32)
            .prop_flat_map(|((carrier, size), before)| (Just(carrier), Just(before), 1..=size))
            .prop_map(|(carrier, before, width)| {
                format!("struct{{a: u8:{}, x: {carrier}:{width}, b: u64}}", before.min(8))
            });
    prop_oneof![whole, bits].prop_map(|text| text.parse().expect("a layout"))
}

/// Amounts, among them those near the limits of integers.
fn amounts() -> impl Strategy<Value = i128> {
    let limits = (0..65u32, -2i128..3, any::<bool>());
    let limits = limits.prop_map(|(bits, near, negative)| {
        let amount = ((1i128 << bits) + near).clamp(0, u64::MAX.into());
        if negative { -amount } else { amount }
    });
    prop_oneof![-300i128..300, limits]
}

fn elements(value_size: usize, lock: Option<usize>) -> MapShape {
    MapShape { key_size: KEY_BYTES.len(), value_size, lock, other_cpu: false }
}

/// What the codec makes of a value.
fn expect(slot: Slot, amount: i128, value: &mut [u8]) -> bool {
    let old = match slot.number(value) {
        Some(Number::Unsigned(n)) => Integer::from(n),
        Some(Number::Signed(n)) => Integer::from(n),
        other => panic!("{other:?}"),
    };
    let new = old.checked_add(Integer::from(amount));
    new.is_some_and(|new| parse::store_number(slot, new, value).is_ok())
}

proptest! {
    #[test]
    fn program_adds_as_the_codec_does(
        ty in layouts(),
        bytes in prop::collection::vec(any::<u8>(), 64),
        amount in amounts(),
        other_cpu in any::<bool>(),
    ) {
        let size = ty.size();
        let slot = ty.field("x").expect("a field");
        let Some(addend) = Addend::new(slot, size) else { return Ok(()) };
        let mut value = bytes[..size].to_vec();
        let mut want = value.clone();
        let fits = expect(slot, amount, &mut want);
        let code = addend.generate(&MapShape { other_cpu, ..elements(size, None) }).expect("short");
        let magnitude = u64::try_from(amount.unsigned_abs()).expect("64 bits");
        let mut context = Addend::context(1, &KEY_BYTES, magnitude, amount < 0);
        let status = change(&code, &mut context, &KEY_BYTES, Some(&mut value), |_| ());
        prop_assert_eq!(RunOutcome::new(status as u32), Some(if fits { RunOutcome::Done } else { RunOutcome::Refused }));
        prop_assert_eq!(&value, &want, "{}: {}", ty, amount);
        prop_assert_eq!(Addend::word(&context), addend.place.word.load(&want));
    }
}

fn addend(notation: &str) -> (Type, Addend) {
    let ty: Type = notation.parse().expect("a layout");
    let addend = Addend::new(ty.field("x").expect("a field"), ty.size()).expect("a word");
    (ty, addend)
}

#[test]
fn interference_is_noticed_and_kept() {
    let (ty, addend) = addend("struct{n: u16, x: i16}");
    let code = addend.generate(&elements(4, None)).expect("short");
    for (times, want) in
        [(0, RunOutcome::Done as u32), (7, RunOutcome::Done as u32), (8, CONTENDED)]
    {
        let mut value = [0; 4];
        let mut left = times;
        let mut context = Addend::context(0, &KEY_BYTES, 1, true);
        // Another writer changes the neighbour in the same word.
        let interfere = move |value: &mut [u8]| {
            if left > 0 {
                left -= 1;
                value[0] += 1;
            }
        };
        let status = change(&code, &mut context, &KEY_BYTES, Some(&mut value), interfere);
        assert_eq!(status, u64::from(want), "{times}");
        assert_eq!(value[0], times, "{times}");
        let added = if want != CONTENDED { -1 } else { 0 };
        let number = ty.field("x").expect("a field").number(&value);
        assert_eq!(number, Some(Number::Signed(added)), "{times}");
    }
}

#[test]
fn missing_key_changes_nothing_and_a_lock_is_released() {
    let (_, addend) = addend("struct{l: struct{pad[4]}, x: u32}");
    for (lock, value, want) in [
        (None, None, RunOutcome::Missing),
        (Some(0), None, RunOutcome::Missing),
        (Some(0), Some([0, 0, 0, 0, 254, 255, 255, 255]), RunOutcome::Done),
        (Some(0), Some([0, 0, 0, 0, 255, 255, 255, 255]), RunOutcome::Refused),
    ] {
        let mut value = value;
        let code = addend.generate(&elements(8, lock)).expect("short");
        let mut context = Addend::context(0, &KEY_BYTES, 1, false);
        let value = value.as_mut().map(|value| &mut value[..]);
        let status = change(&code, &mut context, &KEY_BYTES, value, |_| ());
        assert_eq!(RunOutcome::new(status as u32), Some(want));
    }
}
