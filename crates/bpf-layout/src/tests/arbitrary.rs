//! Strategies for arbitrary types and bytes.

use crate::{Atom, Member, MemberPart, Record, RecordKind, Type};
use proptest::collection::vec;
use proptest::prelude::*;

fn carrier() -> impl Strategy<Value = Atom> {
    let carriers: Vec<_> = Atom::ALL.into_iter().filter(|atom| atom.is_carrier()).collect();
    proptest::sample::select(carriers)
}

fn enumeration() -> impl Strategy<Value = Type> {
    (carrier(), vec(any::<i64>(), 0..5)).prop_map(|(carrier, values)| {
        let (min, max) = carrier.range(carrier.size() as u32 * 8);
        let names = values.into_iter().enumerate().map(|(index, value)| {
            let small = if value % 3 == 0 { index as i128 } else { value.into() };
            (format!("N{index}").into(), small.clamp(min, max))
        });
        Type::enumeration(carrier, names).expect("clamped")
    })
}

fn scalar() -> impl Strategy<Value = Type> {
    prop_oneof![
        8 => proptest::sample::select(&Atom::ALL[..]).prop_map(Type::Atom),
        2 => (0u32..12).prop_map(Type::Char),
        1 => (0u32..12).prop_map(Type::Hex),
        2 => enumeration(),
    ]
}

fn bits() -> impl Strategy<Value = MemberPart> {
    let carrier = prop_oneof![
        4 => carrier().prop_map(Type::Atom),
        1 => Just(Type::Atom(Atom::Bool)),
        1 => enumeration(),
    ];
    (carrier, 1u8..=64).prop_map(|(ty, width)| {
        let width = width.min(ty.size() as u8 * 8);
        MemberPart::Bits(ty, width)
    })
}

/// Names contain the index of the member, so names of one record are unique.
fn record(part: impl Strategy<Value = Type> + 'static) -> impl Strategy<Value = Type> {
    let part = prop_oneof![
        6 => part.prop_map(MemberPart::Field),
        3 => bits(),
        1 => (1u32..9).prop_map(MemberPart::Pad),
        1 => (1u32..20).prop_map(MemberPart::PadBits),
    ];
    (any::<u8>(), any::<bool>(), vec((part, any::<u8>()), 0..6)).prop_map(
        |(union, packed, parts)| {
            let member = |(index, (part, nameless)): (usize, (MemberPart, u8))| {
                let is_pad = matches!(part, MemberPart::Pad(_) | MemberPart::PadBits(_));
                let is_nameless =
                    matches!(part, MemberPart::Field(Type::Record(_))) && nameless < 80;
                // The depth distinguishes the names of a struct from those of a nameless struct in
                // it.
                let depth = if let MemberPart::Field(ty) = &part { ty.depth() } else { 0 };
                let name = (!is_pad && !is_nameless)
                    .then(|| format!("f{index}_{depth}_{nameless}").into());
                Member { name, part }
            };
            let members = parts.into_iter().enumerate().map(member).collect();
            let kind = RecordKind { union: union < 64, packed };
            // Two nameless members can still have equal names; such a record is invalid.
            Record::build(kind, members).unwrap_or(Type::Atom(Atom::U16))
        },
    )
}

/// Any type except an LPM key, up to four levels deep.
fn data() -> impl Strategy<Value = Type> {
    scalar().prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            1 => (inner.clone(), 0u32..4).prop_map(|(elem, len)| Type::array(elem.clone(), len).unwrap_or(elem)),
            4 => record(inner),
        ]
    })
}

/// Any type.
pub fn types() -> impl Strategy<Value = Type> {
    let addresses = prop_oneof![Just(Type::Atom(Atom::Ip4)), Just(Type::Atom(Atom::Ip6)), data()];
    prop_oneof![
        8 => data(),
        1 => addresses.prop_map(|data| Type::lpm(data).expect("small")),
    ]
}

/// A type and bytes of its size: random bytes, mixed with zeros, ones and letters as in real
/// values.
pub fn values() -> impl Strategy<Value = (Type, Vec<u8>)> {
    types().prop_flat_map(|ty| {
        let size = ty.size();
        let byte = prop_oneof![4 => any::<u8>(), 3 => Just(0), 1 => Just(1), 1 => Just(0xff), 3 => 32u8..127];
        (Just(ty), vec(byte, size))
    })
}
