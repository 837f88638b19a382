//! Refused input and its error messages.

use super::ty;
use crate::parse::{self, value};

#[test]
fn malformed_values_are_refused_in_one_line() {
    let ab = "struct{a: u8, b: u8}";
    let pad = "struct{a: u8, b: u32}";
    let or = "struct{x: u8, u: union{a: u8, b: struct{c: u8, d: u8}}}";
    let table = [
        ("u8", "256", "256 is out of range for u8 (0 to 255)"),
        ("u8", "-1", "-1 is out of range for u8 (0 to 255)"),
        ("i8", "128", "128 is out of range for i8 (-128 to 127)"),
        (
            "i64",
            "-9223372036854775809",
            "-9223372036854775809 is out of range for i64 (-9223372036854775808 to 9223372036854775807)",
        ),
        (
            "u128",
            "340282366920938463463374607431768211456",
            "340282366920938463463374607431768211456 is out of range for u128 (0 to 340282366920938463463374607431768211455)",
        ),
        (
            "i128",
            "-0xffffffffffffffffffffffffffffffffff",
            "-0xffffffffffffffffffffffffffffffffff is out of range for i128 (-170141183460469231731687303715884105728 to 170141183460469231731687303715884105727)",
        ),
        (
            "u8",
            "340282366920938463463374607431768211456",
            "340282366920938463463374607431768211456 is out of range for u8 (0 to 255)",
        ),
        (
            "struct{a: u64}",
            "{\"a\":18446744073709551616}",
            "a: 1.8446744073709552e19 is out of range for u64 (0 to 18446744073709551615)",
        ),
        (
            "struct{a: u128}",
            "{\"a\":340282366920938463463374607431768211456}",
            "a: 340282366920938463463374607431768211456 is out of range for u128 (0 to 340282366920938463463374607431768211455)",
        ),
        ("struct{a: u128}", "{\"a\":null}", "a: expected a whole number (u128), found null"),
        ("struct{a: i128}", "{\"a\":[1]}", "a: expected a whole number (i128), found an array"),
        ("struct{a: u128}", "{\"a\":1e3}", "a: expected a whole number (u128), found \"1e3\""),
        ("struct{a: u128}", "{\"a\":\"x\"}", "a: expected a whole number (u128), found \"x\""),
        ("f32", "1e39", "1e39 is out of range for f32 (-3.4028235e38 to 3.4028235e38)"),
        (
            "struct{a: f32}",
            "{\"a\":-1e39}",
            "a: -1000000000000000000000000000000000000000 is out of range for f32 (-3.4028235e38 to 3.4028235e38)",
        ),
        (
            "f64",
            "-1e309",
            "-1e309 is out of range for f64 (-1.7976931348623157e308 to 1.7976931348623157e308)",
        ),
        ("u32", "1e3", "expected a whole number (u32), found \"1e3\""),
        ("u32", "", "expected a whole number (u32), found \"\""),
        ("u32", "+5", "expected a whole number (u32), found \"+5\""),
        ("u32", "1 2", "expected a whole number (u32), found \"1 2\""),
        ("u32", "0x", "expected a whole number (u32), found \"0x\""),
        ("u32", "\u{1b}[2J", "expected a whole number (u32), found \"\\u001b[2J\""),
        ("u32", "hex:0102", "expected 8 hex digits, found 4"),
        ("hex[2]", "01zz", "expected hex digits, found \"z\""),
        ("ip4", "10.0.0.256", "expected an IPv4 address, found \"10.0.0.256\""),
        ("lpm{ip4}", "10.0.0.0/33", "33 is out of range for a prefix length (0 to 32)"),
        (
            "lpm{ip4}",
            "10.0.0.0/-1",
            "expected an IPv4 prefix such as 10.0.0.0/8, found \"10.0.0.0/-1\"",
        ),
        ("lpm{ip4}", "10.0.0/8", "expected an IPv4 prefix such as 10.0.0.0/8, found \"10.0.0/8\""),
        ("mac", "aa:bb:cc:dd:ee", "expected a MAC address, found \"aa:bb:cc:dd:ee\""),
        ("mac", "aa:bb:cc:dd:ee:+f", "expected a MAC address, found \"aa:bb:cc:dd:ee:+f\""),
        ("char[2]", "abc", "text of 3 bytes is too long for char[2]"),
        ("char[2]", "\"a", "expected text in double quotes, found \"\\\"a\""),
        ("bool", "yes", "expected true or false, found \"yes\""),
        ("enum{PASS, DROP}", "pass", "expected one of PASS, DROP, a number, found \"pass\""),
        ("u8[2]", "[1]", "expected 2 elements, found 1"),
        ("u8[2]", "[1,2,3]", "expected 2 elements, found 3"),
        ("u8[2]", "[1,256]", "[1]: 256 is out of range for u8 (0 to 255)"),
        ("u8[2]", "1", "expected an array of 2, found \"1\""),
        (ab, "", "a: missing"),
        (ab, "a=1", "b: missing"),
        (ab, "a=1 b=2 a=1", "a: given twice"),
        (ab, "a=1 c=2", "no field \"c\"; fields: a, b"),
        (ab, "a=1 b", "expected name=value, found \"b\""),
        (ab, "a=1 b=300", "b: 300 is out of range for u8 (0 to 255)"),
        (ab, "a.x=1 b=2", "u8 has no fields"),
        (ab, "5", "expected an object or name=value words, found \"5\""),
        (ab, "a=\"1\"b=2", "a: expected a space, found \"b=2\""),
        (ab, "{\"a\":1}", "b: missing"),
        (ab, "{\"a\":1,\"b\":2,\"a\":1}", "a: given twice"),
        (ab, "{\"a\":1,\"b\":2,\"c\":3}", "no field \"c\"; fields: a, b"),
        (ab, "{\"a\":1,\"b\":null}", "b: expected a whole number (u8), found null"),
        (
            ab,
            "{\"a\":1,\"b\":1e2}",
            "b: expected a whole number (u8), found 100.0, with a fraction or an exponent",
        ),
        (ab, "{\"a\":1,\"b\":2} x", "json: trailing characters at column 15"),
        (ab, "{\"a\":1,", "json: end of text while parsing a value at column 7"),
        (or, "x=1", "u: missing one of a, b"),
        (or, "x=1 u.b.c=1", "u.b.d: missing"),
        (
            or,
            "x=1 u.a=1 u.b={\"c\":2,\"d\":1}",
            "u.b.c: differs from another member of the same union",
        ),
        (or, "{\"x\":1,\"u\":{\"a\":1,\"a\":1}}", "u.a: given twice"),
        ("union{a: u8:4, b: u8:4}", "a=1 b=2", "b: differs from another member of the same union"),
        // The NUL bytes after the text are given, too.
        (
            "union{a: u8[2], b: char[2]}",
            "a=[120,5] b=x",
            "b: differs from another member of the same union",
        ),
        ("struct{a: u8:3}", "a=8", "a: 8 is out of range for u8:3 (0 to 7)"),
        (
            "struct{a: struct{b: u8[2]}[1]}",
            "a=[{\"b\":[1,256]}]",
            "a[0].b[1]: 256 is out of range for u8 (0 to 255)",
        ),
        (ab, "a=1 b=2 @1=hex:00", "no padding at \"@1\"; padding: none"),
        (pad, "a=1 b=2 @1=hex:00", "@1: expected 6 hex digits, found 2"),
        (pad, "a=1 b=2 @1=hex:0000zz", "@1: expected hex digits, found \"z\""),
        (pad, "a=1 b=2 @2=hex:0000", "no padding at \"@2\"; padding: @1"),
        (pad, "a=1 b=2 @01=hex:000000", "no padding at \"@01\"; padding: @1"),
        (pad, "a=1 b=2 @1.x=hex:000000", "no field \"@1\"; fields: a, b"),
        (pad, "a=1 b=2 @1=hex:000000 @1=hex:000001", "@1: given twice"),
        (pad, "@1=hex:000000", "a: missing"),
        (pad, "{\"a\":1,\"b\":2,\"@1\":\"hex:00\"}", "@1: expected 6 hex digits, found 2"),
        (pad, "{\"a\":1,\"b\":2,\"@1\":\"hex:000000\",\"@1\":\"hex:000000\"}", "@1: given twice"),
        (pad, "{\"a\":1,\"b\":2,\"@9\":\"hex:00\"}", "no padding at \"@9\"; padding: @1"),
        (
            pad,
            "{\"a\":1,\"b\":2,\"@1\":0}",
            "json: invalid type: integer `0`, expected hex: and 6 digits at column 19",
        ),
        (
            "struct{p: struct{a: u8, b: u16}}",
            "p={\"a\":1,\"b\":2,\"@1\":\"hex:01\"} p.@1=hex:02",
            "p.@1: given twice",
        ),
        (
            "union{a: u32, b: struct{c: u8, d: u16}}",
            "a=0x01010101 b.c=1 b.d=257 b.@1=hex:02",
            "b.@1: differs from another member of the same union",
        ),
    ];
    for (ty_text, text, message) in table {
        let error = value(&ty(ty_text), text).map_err(|error| error.to_string());
        assert_eq!(error, Err(message.to_owned()), "{ty_text} {text}");
    }
}

#[test]
fn table_with_wrong_header_or_row_is_refused() {
    let ty = ty("struct{a: u8, b: union{c: u8, d: u8}}");
    let header = |names: &[&str]| {
        parse::RowReader::new(&ty, names.iter().copied()).map(|_| ()).map_err(|e| e.to_string())
    };
    assert_eq!(header(&["b.d", "a"]), Ok(()));
    assert_eq!(header(&["a"]), Err("b: missing one of c, d".to_owned()));
    assert_eq!(header(&["a", "a"]), Err("a: given twice".to_owned()));
    assert_eq!(header(&["a", "x"]), Err("expected a column of the layout, found \"x\"".to_owned()));
    let mut row = parse::RowReader::new(&ty, ["a", "b.c", "b.d"]).expect("all columns");
    let mut out = [0; 2];
    let mut read =
        |cells: &[&str]| row.read(cells.iter().copied(), &mut out).map_err(|e| e.to_string());
    assert_eq!(read(&["1", "2", "2"]), Ok(()));
    assert_eq!(read(&["1", "2"]), Err("expected 3 elements, found 2".to_owned()));
    assert_eq!(read(&["1", "2", "2", "3"]), Err("expected 3 elements, found 4".to_owned()));
    assert_eq!(
        read(&["1", "2", "3"]),
        Err("b.d: differs from another member of the same union".to_owned())
    );
}

#[test]
fn buffer_of_the_wrong_size_is_refused() {
    let message = "the value has 3 bytes, but its layout has 4";
    assert_eq!(
        parse::value_into(&ty("u32"), "1", &mut [0; 3]).map_err(|e| e.to_string()),
        Err(message.to_owned())
    );
    assert_eq!(
        parse::json(&ty("u32"), "1", &mut [0; 3]).map_err(|e| e.to_string()),
        Err(message.to_owned())
    );
}
