//! Input forms of values, and their printed form.

use super::{json, plain, ty};
use crate::parse::{self, value};

#[test]
fn input_forms_parse_to_their_bytes() {
    let table: [(&str, &str, &[u8]); 46] = [
        ("u8", "42", &[42]),
        ("u8", "0x2a", &[42]),
        ("u8", "0b101", &[5]),
        ("u8", "0o17", &[15]),
        ("u8", "\"42\"", &[42]),
        ("u8", "hex:2a", &[42]),
        ("i8", "-6", &[0xfa]),
        ("i8", "-0x80", &[0x80]),
        ("be16", "258", &[1, 2]),
        ("be32", "0x01020304", &[1, 2, 3, 4]),
        ("i128", "-1", &[0xff; 16]),
        ("u128", "340282366920938463463374607431768211455", &[0xff; 16]),
        ("bool", "true", &[1]),
        ("bool", "0", &[0]),
        ("bool", "7", &[7]),
        ("ptr", "1", &1u64.to_ne_bytes()),
        ("ptr", "hex:0000000000000000", &[0; 8]),
        ("ip4", "10.0.0.1", &[10, 0, 0, 1]),
        ("ip6", "::1", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ("mac", "aa:BB:0c:00:01:02", &[0xaa, 0xbb, 0x0c, 0, 1, 2]),
        ("mac", "aa-bb-0c-00-01-02", &[0xaa, 0xbb, 0x0c, 0, 1, 2]),
        ("hex[3]", "0a0B0c", &[10, 11, 12]),
        ("hex[3]", "hex:0a0b0c", &[10, 11, 12]),
        ("char[4]", "ab", b"ab\0\0"),
        ("char[4]", "abcd", b"abcd"),
        ("char[4]", "", b"\0\0\0\0"),
        ("char[4]", "a b", b"a b\0"),
        ("char[4]", "[]=", b"[]=\0"),
        ("char[4]", "\"a\\tb\"", b"a\tb\0"),
        ("char[8]", "\"hex:61\"", b"hex:61\0\0"),
        ("char[2]", "hex:ff00", &[0xff, 0]),
        ("enum:u8{A, B=7}", "B", &[7]),
        ("enum:u8{A, B=7}", "9", &[9]),
        ("enum:i8{A=-1}", "A", &[0xff]),
        ("u8[3]", "[1,2, 3]", &[1, 2, 3]),
        ("u8[2]", "hex:0102", &[1, 2]),
        ("u8[2][2]", "[[1,2],[3,4]]", &[1, 2, 3, 4]),
        ("struct{a: u8, b: u8}", "a=1 b=2", &[1, 2]),
        ("struct{a: u8, b: u8}", "  b=0x2\ta=1 ", &[1, 2]),
        ("struct{a: u8, b: u8}", " {\"b\": 2, \"a\": 1} ", &[1, 2]),
        (
            "struct{a: u8, pad[1], b: struct{c: u8[2], d: char[3]}}",
            "a=1 b.d=\"x y\" b.c=[2,3]",
            &[1, 0, 2, 3, b'x', b' ', b'y'],
        ),
        ("struct{a: u8, b: struct{c: u8, d: u8}}", "b={\"c\":1,\"d\":2} a=3", &[3, 1, 2]),
        ("struct{a: u8, b: struct{c: u8, d: u8}}", "a=3 b=hex:0102", &[3, 1, 2]),
        (
            "struct{a: u8:4, b: i8:4}",
            "a=5 b=-1",
            if cfg!(target_endian = "little") { &[0xf5] } else { &[0x5f] },
        ),
        ("struct{union{a: u8, b: u8[2]}}", "b=[1,2]", &[1, 2]),
        ("struct{}", "", &[]),
    ];
    for (ty_text, text, bytes) in table {
        let found =
            value(&ty(ty_text), text).unwrap_or_else(|error| panic!("{ty_text} {text}: {error}"));
        assert_eq!(found, bytes, "{ty_text} {text}");
    }
}

#[test]
fn lpm_prefixes_parse_to_length_and_address() {
    let key = |len: u32, data: &[u8]| [&len.to_ne_bytes()[..], data].concat();
    let table = [
        ("lpm{ip4}", "10.0.0.0/8", key(8, &[10, 0, 0, 0])),
        ("lpm{ip4}", "10.0.0.1", key(32, &[10, 0, 0, 1])),
        // Host bits are kept, as in the kernel.
        ("lpm{ip4}", "10.1.2.3/8", key(8, &[10, 1, 2, 3])),
        ("lpm{ip4}", "8:0a000000", key(8, &[10, 0, 0, 0])),
        ("lpm{hex[2]}", "9:ff80", key(9, &[0xff, 0x80])),
        (
            "lpm{packed struct{a: be16, b: ip4}}",
            "prefixlen=40 a=1 b=10.0.0.0",
            key(40, &[0, 1, 10, 0, 0, 0]),
        ),
        ("lpm{packed struct{a: be16, b: ip4}}", "40:00010a000000", key(40, &[0, 1, 10, 0, 0, 0])),
        ("lpm{struct{a: u8}}", "{\"prefixlen\":3,\"a\":1}", key(3, &[1])),
        ("lpm{struct{a: u8}}", "\"3:01\"", key(3, &[1])),
    ];
    for (ty_text, text, bytes) in table {
        assert_eq!(value(&ty(ty_text), text).as_ref(), Ok(&bytes), "{ty_text} {text}");
    }
    let v6 = value(&ty("lpm{ip6}"), "2001:db8::/32").expect("a prefix");
    assert_eq!(plain(&ty("lpm{ip6}"), &v6), "2001:db8::/32");
    assert_eq!(
        plain(&ty("lpm{ip4}"), &key(33, &[1, 2, 3, 4])),
        format!(
            "hex:{}01020304",
            if cfg!(target_endian = "little") { "21000000" } else { "00000021" }
        )
    );
}

#[test]
fn union_members_with_equal_bytes_are_accepted() {
    let or = ty("struct{union{a: u32, b: u8[4], c: struct{d: u8, e: u16}}}");
    let bytes = value(&or, "a=0x01010101").expect("one member");
    assert_eq!(value(&or, &plain(&or, &bytes)), Ok(bytes.clone()));
    // The byte between d and e is padding of one member and data of the others.
    assert_eq!(plain(&or, &bytes), "a=16843009 b=[1,1,1,1] c.d=1 c.e=257 c.@1=hex:01");
    assert_eq!(value(&or, "c.d=1 c.e=257 b=[1,9,1,1]").map(|bytes| bytes[1]), Ok(9));
}

#[test]
fn unusual_text_prints_quoted_and_reads_back() {
    let table: [(&[u8], &str, &str); 12] = [
        (b"-\0\0\0\0\0\0\0", "a=\"-\"", "{\"a\":\"-\"}"),
        (b"null\0\0\0\0", "a=null", "{\"a\":\"null\"}"),
        (b"eth0\0\0\0\0", "a=eth0", "{\"a\":\"eth0\"}"),
        (b"\0\0\0\0\0\0\0\0", "a=\"\"", "{\"a\":\"\"}"),
        (b"a b\0\0\0\0\0", "a=\"a b\"", "{\"a\":\"a b\"}"),
        (b"a\0b\0\0\0\0\0", "a=\"a\\u0000b\"", "{\"a\":\"a\\u0000b\"}"),
        (b"\x1b[2J\0\0\0\0", "a=\"\\u001b[2J\"", "{\"a\":\"\\u001b[2J\"}"),
        (b"\xff\0\0\0\0\0\0\0", "a=hex:ff00000000000000", "{\"a\":\"hex:ff00000000000000\"}"),
        (b"hex:00\0\0", "a=\"hex:00\"", "{\"a\":\"hex:6865783a30300000\"}"),
        (b"\"x\\\0\0\0\0\0", "a=\"\\\"x\\\\\"", "{\"a\":\"\\\"x\\\\\"}"),
        ("é\u{202e}x\0\0".as_bytes(), "a=\"é\\u202ex\"", "{\"a\":\"é\\u202ex\"}"),
        (b"[1]\0\0\0\0\0", "a=\"[1]\"", "{\"a\":\"[1]\"}"),
    ];
    let ty = ty("struct{a: char[8]}");
    for (bytes, words, object) in table {
        assert_eq!((plain(&ty, bytes).as_str(), json(&ty, bytes).as_str()), (words, object));
        assert_eq!(value(&ty, words).as_deref(), Ok(bytes), "{words}");
        assert_eq!(value(&ty, object).as_deref(), Ok(bytes), "{object}");
    }
}

#[test]
fn scalars_print_in_their_input_form() {
    let table = [
        ("f32", "0.1", "0.1"),
        ("f64", "1e300", "1e300"),
        ("f64", "-0.0", "-0.0"),
        ("f64", "nan", "\"nan\""),
        ("f64", "-inf", "\"-inf\""),
        ("u64", "18446744073709551615", "18446744073709551615"),
        ("bool", "true", "true"),
        ("bool", "2", "2"),
        ("enum:u8{A}", "A", "\"A\""),
        ("enum:u8{A}", "3", "3"),
        ("ip6", "2001:db8::1", "\"2001:db8::1\""),
        ("mac", "02:00:00:00:00:01", "\"02:00:00:00:00:01\""),
        ("ptr", "0xffff888101234560", "\"0xffff888101234560\""),
        ("ptr", "0x0", "\"0x0\""),
        ("hex[2]", "0aff", "\"0aff\""),
        ("char[9]", "two words", "\"two words\""),
        ("lpm{ip4}", "10.0.0.0/8", "\"10.0.0.0/8\""),
        ("lpm{u16}", "3:0102", "\"3:0102\""),
    ];
    for (ty_text, bare, in_json) in table {
        let ty = ty(ty_text);
        let bytes = value(&ty, bare).unwrap_or_else(|error| panic!("{ty_text} {bare}: {error}"));
        assert_eq!((plain(&ty, &bytes).as_str(), json(&ty, &bytes).as_str()), (bare, in_json));
        assert_eq!(value(&ty, in_json), Ok(bytes), "{ty_text} {in_json}");
    }
}

#[test]
fn f32_text_survives_rounding_through_f64() {
    // The shortest text, 7.038531e-26, is the adjacent f32 after rounding twice.
    let (ty, bytes) = (ty("f32"), 0x15ae_43fdu32.to_ne_bytes());
    let text = json(&ty, &bytes);
    let mut back = [0; 4];
    parse::json(&ty, &text, &mut back).expect("printed text");
    assert_eq!(back, bytes, "{text}");
    assert_eq!(value(&ty, &text).as_deref(), Ok(&bytes[..]));
}

#[test]
fn setting_one_field_keeps_the_others() {
    let ty = ty("struct{a: u8, b: u16:4, c: u16:4, d: struct{e: u8, f: u8}}");
    let mut bytes = value(&ty, "a=1 b=2 c=3 d.e=4 d.f=5").expect("all fields");
    for (path, text, after) in [
        (".a", "9", "a=9 b=2 c=3 d.e=4 d.f=5"),
        (".c", "0xf", "a=9 b=2 c=15 d.e=4 d.f=5"),
        (".d", "e=6 f=7", "a=9 b=2 c=15 d.e=6 d.f=7"),
        (".d.f", "8", "a=9 b=2 c=15 d.e=6 d.f=8"),
    ] {
        parse::slot(ty.field(path).expect(path), text, &mut bytes).expect(text);
        assert_eq!(plain(&ty, &bytes), after);
    }
    let slot = ty.field(".b").expect("a field");
    assert!(parse::store_number(slot, 16i128, &mut bytes).is_err());
    parse::store_number(slot, 15i128, &mut bytes).expect("four bits");
    assert_eq!(plain(&ty, &bytes), "a=9 b=15 c=15 d.e=6 d.f=8");
}
