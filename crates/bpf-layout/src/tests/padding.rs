//! Padding that is not zero: words, members of objects and columns.

use super::{json, plain, ty};
use crate::parse::value;

#[test]
fn nonzero_padding_prints_and_reads_back() {
    let table: [(&str, &[u8], &str, &str); 9] = [
        ("struct{a: u8, b: u16}", &[1, 0, 2, 2], "a=1 b=514", r#"{"a":1,"b":514}"#),
        (
            "struct{a: u8, b: u16}",
            &[1, 9, 2, 2],
            "a=1 b=514 @1=hex:09",
            r#"{"a":1,"b":514,"@1":"hex:09"}"#,
        ),
        (
            "struct{a: u8, b: u16, c: u8}",
            &[1, 9, 2, 2, 3, 8],
            "a=1 b=514 c=3 @1=hex:09 @5=hex:08",
            r#"{"a":1,"b":514,"c":3,"@1":"hex:09","@5":"hex:08"}"#,
        ),
        (
            "struct{a: u16, b: struct{c: u8, d: u16}}",
            &[1, 1, 2, 9, 3, 3],
            "a=257 b.c=2 b.d=771 b.@1=hex:09",
            r#"{"a":257,"b":{"c":2,"d":771,"@1":"hex:09"}}"#,
        ),
        (
            "struct{a: u8, pad[1], b: struct{c: u8, pad[1]}[2]}",
            &[1, 0, 2, 9, 3, 0],
            r#"a=1 b=[{"c":2,"@1":"hex:09"},{"c":3}]"#,
            r#"{"a":1,"b":[{"c":2,"@1":"hex:09"},{"c":3}]}"#,
        ),
        ("struct{pad[2]}", &[0, 7], "@0=hex:0007", r#"{"@0":"hex:0007"}"#),
        ("struct{a: struct{pad[2]}}", &[0, 7], "a.@0=hex:0007", r#"{"a":{"@0":"hex:0007"}}"#),
        (
            "union{a: u8, b: u8:3, pad[2]}",
            &[5, 6],
            "a=5 b=5 @1=hex:06",
            r#"{"a":5,"b":5,"@1":"hex:06"}"#,
        ),
        (
            "lpm{struct{a: u8, b: u16}}",
            &[0, 0, 0, 0, 1, 9, 2, 2],
            "prefixlen=0 a=1 b=514 @5=hex:09",
            r#"{"prefixlen":0,"a":1,"b":514,"@5":"hex:09"}"#,
        ),
    ];
    for (notation, bytes, words, object) in table {
        let ty = ty(notation);
        assert_eq!((plain(&ty, bytes).as_str(), json(&ty, bytes).as_str()), (words, object));
        assert_eq!(value(&ty, words).as_deref(), Ok(bytes), "{words}");
        assert_eq!(value(&ty, object).as_deref(), Ok(bytes), "{object}");
    }
    // Padding in any order, together with a whole struct, and with bits of fields, which are
    // ignored.
    let inner = ty("struct{a: u16, b: struct{c: u8, d: u16}}");
    for text in
        ["b.@1=hex:09 b={\"c\":2,\"d\":771} a=257", "b={\"@1\":\"hex:09\",\"c\":2,\"d\":771} a=257"]
    {
        assert_eq!(value(&inner, text).as_deref(), Ok(&[1, 1, 2, 9, 3, 3][..]), "{text}");
    }
    #[cfg(target_endian = "little")]
    {
        let bits = ty("struct{a: u8:3, pad:2, b: u8:3}");
        assert_eq!(plain(&bits, &[0b1011_1101]), "a=5 b=5 @0=hex:18");
        assert_eq!(value(&bits, "a=5 b=5 @0=hex:ff").as_deref(), Ok(&[0b1011_1101][..]));
        assert_eq!(value(&bits, "@0=hex:ff a=5 b=5").as_deref(), Ok(&[0b1011_1101][..]));
    }
}
