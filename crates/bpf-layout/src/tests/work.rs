//! Blobs that refer to one part many times. Without limits, reading them takes minutes.

use super::hostile::{blob, info};
use crate::{Btf, Type};

const MEMBERS: u32 = 60_000;

const INT: [u32; 4] = [0, info(1, 0), 4, 32];

/// A struct whose members are integers, or have the type `id` and this size in bytes.
fn structure(name: u32, id: u32, size: u32) -> Vec<u32> {
    let members = (0..MEMBERS).flat_map(|index| [name, id, index * size * 8]);
    [0, info(4, MEMBERS), MEMBERS * size].into_iter().chain(members).collect()
}

/// The size of type `id`.
fn size_of(blob: &[u8], id: u32) -> Option<usize> {
    Btf::parse(blob).expect("valid BTF").layout(id).ok().map(|ty| ty.size())
}

#[test]
fn duplicate_member_names_resolve_quickly() {
    let types = [&INT[..], &structure(1, 1, 4)].concat();
    assert_eq!(size_of(&blob(&types, b"\0a\0"), 2), Some(240_000));
}

#[test]
fn long_chains_of_many_members_resolve_quickly() {
    let (mut types, mut id) = (INT.to_vec(), 1);
    for _ in 0..60 {
        types.extend([0, info(3, 0), 0, id, 1, 1]);
        id += 1;
    }
    for _ in 0..60 {
        types.extend([1, info(8, 0), id]);
        id += 1;
    }
    types.extend(structure(1, id, 4));
    assert_eq!(size_of(&blob(&types, b"\0a\0"), id + 1), Some(240_000));
}

#[test]
fn chain_of_arrays_and_typedefs_is_limited() {
    let (mut types, mut id) = (INT.to_vec(), 1);
    for _ in 0..100 {
        types.extend([1, info(8, 0), id, 0, info(3, 0), 0, id + 1, 1, 1]);
        id += 2;
    }
    let blob = blob(&types, b"\0t\0");
    let btf = Btf::parse(&blob).expect("valid BTF");
    // 63 arrays and typedefs each, and the integer.
    assert_eq!(btf.layout(127).map(|ty| ty.size()), Ok(4));
    assert_eq!(btf.layout(129).unwrap_err().to_string(), "btf type 129 refers to itself");
}

#[test]
fn enum_of_many_members_resolves_quickly() {
    let mut types = vec![0, info(6, 60_000), 4];
    (0..60_000).for_each(|value| types.extend([1, value]));
    types.extend(structure(1, 1, 4));
    assert_eq!(size_of(&blob(&types, b"\0a\0"), 2), Some(240_000));
}

#[test]
fn long_string_of_many_types_is_read_in_part() {
    let strings = [b"\0layout:hex[4] ", &[b' '; 1 << 21][..], b"\0"].concat();
    // Pointers to a type tag, and a struct with declaration tags.
    let mut types = [&INT[..], &[1, info(18, 0), 1, 0, info(2, 0), 2]].concat();
    types.extend(structure(0, 3, 8));
    types.extend([0, info(4, 1), 4, 0, 1, 0]);
    (0..MEMBERS).for_each(|_| types.extend([1, info(17, 0), 5, u32::MAX]));
    let blob = blob(&types, &strings);
    assert_eq!(size_of(&blob, 4), Some(480_000));
    let btf = Btf::parse(&blob).expect("valid BTF");
    assert_eq!((btf.name(2), btf.layout(5)), (None, Ok(Type::Hex(4))));
}
