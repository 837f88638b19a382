//! The parts of instructions that depend on types of a kernel.

use super::hostile::{blob, info};
use crate::{Btf, BtfError, CoreError, CoreRelocation, CoreResolver, CoreValue, FieldSize};

const STRINGS: &[u8] = b"\0int\0task___old\0a\0b\0task\0e\0X\0Y\0long\0";
/// Where the names are in the strings.
const INT: u32 = 1;
const TASK_OLD: u32 = 5;
const A: u32 = 16;
const B: u32 = 18;
const TASK: u32 = 20;
const E: u32 = 25;
const X: u32 = 27;
const Y: u32 = 29;
const LONG: u32 = 31;

/// The types of a program.
fn program() -> Vec<u8> {
    let types = [
        &[INT, info(1, 0), 4, 32][..],
        &[TASK_OLD, info(4, 2), 8, A, 1, 0, B, 1, 32], // 2: struct task___old {int a, b;}
        &[E, info(6, 2), 4, X, 1, Y, 2],               // 3: enum e {X = 1, Y = 2}
        &[TASK, info(4, 1), 4, X, 1, 0],               // 4: struct task {int X;}
        &[B, info(4, 1), 4, A, 1, 0],                  // 5: struct b {int a;}
        &[0, info(4, 1), 4, A, 1, 0],                  // 6: without a name
        &[A, info(4, 1), 1 << 30, A, 1, 0],            // 7: as large as possible
    ];
    blob(&types.concat(), STRINGS)
}

/// The types of a kernel, where `a` is 8 bytes long, and inside of a member without a name.
fn kernel() -> Vec<u8> {
    let types = [
        &[LONG, info(1, 0), 8, 64][..],
        &[0, info(5, 1), 8, A, 1, 0],               // 2: union {long a;}
        &[TASK, info(4, 2), 16, E, 1, 0, 0, 2, 64], // 3: struct task {long e; union {…};}
        &[E, info(6, 1), 4, X, 9],                  // 4: enum e {X = 9}
        &[B, info(4, 1), 8, A, 1, 0],               // 5: struct b, twice, and different
        &[B, info(4, 2), 16, E, 1, 0, A, 1, 64],
    ];
    blob(&types.concat(), STRINGS)
}

#[test]
fn values_are_those_of_the_kernel() {
    let (program, kernel) = (program(), kernel());
    let program = Btf::parse(&program).expect("BTF");
    let kernel = Btf::parse(&kernel).expect("BTF");
    let resolver = CoreResolver::new(&program, &kernel);
    let resolve = |kind, type_id, access: &str| {
        resolver.resolve(&CoreRelocation { type_id, access: access.into(), kind })
    };
    let plain = |value| Ok(Some(CoreValue { value, size: None }));
    for (what, kind, type_id, access, want) in [
        (
            "the offset of a field, which is longer",
            0,
            2,
            "0:0",
            Ok(Some(CoreValue { value: 8, size: Some(FieldSize::Bytes(8)) })),
        ),
        ("a field that is missing", 0, 2, "0:1", Ok(None)),
        ("the size of a field", 1, 2, "0:0", plain(8)),
        ("a field exists", 2, 2, "0:0", plain(1)),
        ("a field does not exist", 2, 2, "0:1", plain(0)),
        ("the sign of a field", 3, 2, "0:0", plain(0)),
        ("the bits to the left of a field", 4, 2, "0:0", plain(0)),
        ("the id of a type", 6, 2, "0", plain(2)),
        ("the kernel's id of a type", 7, 2, "0", plain(3)),
        ("a type exists", 8, 2, "0", plain(1)),
        ("the size of a type", 9, 2, "0", plain(16)),
        ("an enumerator", 11, 3, "0", plain(9)),
        ("an enumerator that is missing", 11, 3, "1", Ok(None)),
        ("an enumerator does not exist", 10, 3, "1", plain(0)),
        ("types that differ", 0, 5, "0:0", Err(CoreError::Ambiguous("b".into()))),
        ("no index", 0, 2, "", Err(CoreError::Access("".into()))),
        ("no such member", 0, 2, "0:7", Err(CoreError::Access("0:7".into()))),
        ("a member of a number", 0, 2, "0:0:0", Err(CoreError::Access("0:0:0".into()))),
        ("an offset over 32 bits", 0, 7, "4:0", Err(BtfError::TooLarge(7).into())),
        ("an offset over 64 bits", 0, 7, "4294967295:0", Err(BtfError::TooLarge(7).into())),
        ("no such enumerator", 11, 3, "2", Err(CoreError::Access("2".into()))),
        ("a type without a name", 0, 6, "0:0", Err(CoreError::Access("0:0".into()))),
        ("an unknown kind", 12, 2, "0", Err(CoreError::Kind(12))),
    ] {
        assert_eq!(resolve(kind, type_id, access), want, "{what}");
    }
}
