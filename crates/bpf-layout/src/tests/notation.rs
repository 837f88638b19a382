//! The notation: keywords, placement of members, paths and errors.

use super::ty;
use crate::{Layout, Slot, Type};

fn offsets(ty: &Type) -> Vec<u64> {
    let record = ty.as_record().expect("a struct");
    record.fields().iter().map(|field| Slot::from(ty).field(field).bit).collect()
}

#[test]
fn members_have_the_offsets_of_c() {
    let table: [(&str, usize, usize, &[u64]); 14] = [
        ("struct{a: u8, b: u64, c: u8}", 24, 8, &[0, 64, 128]),
        ("packed struct{a: u8, b: u64, c: u8}", 10, 1, &[0, 8, 72]),
        ("struct{a: u8, pad[7], b: u64}", 16, 8, &[0, 64]),
        ("struct{a: u8, b: ip4, c: mac, d: ip6}", 32, 4, &[0, 32, 64, 128]),
        ("struct{a: u8, b: hex[8], c: char[3]}", 12, 1, &[0, 8, 72]),
        ("struct{a: u32:3, b: u32:30}", 8, 4, &[0, 32]),
        ("packed struct{a: u32:3, b: u32:30}", 5, 1, &[0, 3]),
        ("struct{a: u8, b: u32:3}", 4, 4, &[0, 8]),
        ("struct{a: u8:3, b: u8}", 2, 1, &[0, 8]),
        ("struct{a: u8:3, pad:5, pad:3, b: u8:2}", 2, 1, &[0, 11]),
        ("union{a: u8, b: u32[2]}", 8, 4, &[0, 0]),
        ("packed union{a: u32, b: char[5]}", 5, 1, &[0, 0]),
        ("struct{a: u8, struct{b: u16, union{c: u8, d: u32}}, e: u8}", 16, 4, &[0, 32, 64, 64, 96]),
        ("struct{a: u8, b: u128}", 32, 16, &[0, 128]),
    ];
    for (text, size, align, bits) in table {
        let ty = ty(text);
        assert_eq!((ty.size(), ty.align(), &offsets(&ty)[..]), (size, align, bits), "{text}");
        assert_eq!(ty.to_string(), text);
    }
}

#[test]
fn free_form_notation_prints_canonically() {
    let table = [
        (" struct { a:u8 ,b : u32 [ 2 ] , } ", "struct{a: u8, b: u32[2]}"),
        ("enum{ A , B = 5, C, D=0x10 }", "enum{A, B=5, C, D=16}"),
        ("enum:u32{A=0, B=1}", "enum{A, B}"),
        ("enum:i8{A=-1, B=0, C=7}", "enum:i8{A=-1, B, C=7}"),
        ("char[2][16]", "char[2][16]"),
        ("hex[0x10]", "hex[16]"),
        ("lpm { ip6 }", "lpm{ip6}"),
        ("struct{}", "struct{}"),
        ("enum:u64{}[3]", "enum:u64{}[3]"),
        // Keywords are valid names of fields.
        (
            "struct{pad: u8, struct: u8, union: u8, packed: u8, u8: u8}",
            "struct{pad: u8, struct: u8, union: u8, packed: u8, u8: u8}",
        ),
        ("struct{pad: u32:3, pad[1], pad: 4}", "struct{pad: u32:3, pad[1], pad:4}"),
    ];
    for (text, canonical) in table {
        assert_eq!(ty(text).to_string(), canonical);
        assert_eq!(ty(canonical), ty(text));
    }
}

#[test]
fn layout_without_key_parses_after_the_arrow() {
    let table = [
        ("u32->u64", "u32 -> u64"),
        (" -> char[16]", "-> char[16]"),
        ("ip4 -> struct{a: u8}", "ip4 -> struct{a: u8}"),
    ];
    for (text, canonical) in table {
        let layout: Layout = text.parse().expect(text);
        assert_eq!(layout.to_string(), canonical);
        assert_eq!(canonical.parse(), Ok(layout));
    }
    let message = |text: &str| text.parse::<Layout>().unwrap_err().to_string();
    assert_eq!(message("u32"), "column 4: expected \"->\" and the value's type, found the end");
    assert_eq!(message("u32 -> "), "column 8: expected a type, found the end");
    assert_eq!(message("u32 -> u8 -> u8"), "column 11: expected the end, found \"-\"");
}

#[test]
fn notation_errors_report_column_and_expected_token() {
    let table = [
        ("", "column 1: expected a type, found the end"),
        ("u33", "column 1: expected a type, found \"u33\""),
        ("u32 u32", "column 5: expected the end, found \"u32\""),
        ("\u{1b}[2J", "column 1: expected a type, found \"\\u001b\""),
        ("char", "column 5: expected \"[\" and a length in bytes, found the end"),
        ("u8[", "column 4: expected a length of at most 1073741824, found the end"),
        ("u8[-1]", "column 4: expected a length of at most 1073741824, found \"-\""),
        (
            "u8[1073741825]",
            "column 4: expected a length of at most 1073741824, found \"1073741825\"",
        ),
        ("u64[1073741824]", "column 1: a type may not be larger than 1073741824 bytes"),
        ("struct{}[2]", "column 1: an array's elements must have a size"),
        ("struct{a u8}", "column 10: expected \":\" and a type, found \"u8\""),
        ("struct{a: u8 b: u8}", "column 14: expected \",\" or \"}\", found \"b\""),
        ("struct{a: u8", "column 13: expected \",\" or \"}\", found the end"),
        ("struct{1a: u8}", "column 8: expected a field's name, padding or \"}\", found \"1a\""),
        ("struct{é: u8}", "column 8: expected a field's name, padding or \"}\", found \"é\""),
        ("struct{a: u8, a: u8}", "column 1: duplicate name a"),
        ("struct{a: u8, union{b: u8, a: u8}}", "column 1: duplicate name a"),
        ("struct{a: u8:9}", "column 1: a bitfield of u8 is 1 to 8 bits wide"),
        ("struct{a: u8:0}", "column 1: a bitfield of u8 is 1 to 8 bits wide"),
        (
            "struct{a: ip4:3}",
            "column 1: a bitfield must be an integer of at most 64 bits, a bool or an enum",
        ),
        ("struct{pad[0]}", "column 1: padding must have a size"),
        ("struct{pad:0}", "column 1: padding must have a size"),
        ("packed u32", "column 8: expected \"struct\" or \"union\", found \"u32\""),
        ("enum:f32{A}", "column 6: expected u8 to u64 or i8 to i64, found \"f32\""),
        ("enum:u8{A=256}", "column 1: 256 is out of range for an enum of u8"),
        ("enum{A=-1}", "column 1: -1 is out of range for an enum of u32"),
        ("enum{A, A}", "column 1: duplicate name A"),
        ("lpm{}", "column 5: expected a type, found \"}\""),
    ];
    for (text, message) in table {
        assert_eq!(text.parse::<Type>().unwrap_err().to_string(), message, "{text}");
    }
}

#[test]
fn type_of_size_is_an_integer_or_hex() {
    let table = [
        (1, "u8"),
        (2, "u16"),
        (4, "u32"),
        (8, "u64"),
        (16, "hex[16]"),
        (3, "hex[3]"),
        (0, "hex[0]"),
    ];
    for (size, text) in table {
        assert_eq!(Type::of_size(size), ty(text));
    }
}

#[test]
fn field_paths_select_fields_and_elements() {
    let ty = ty("struct{a: u8, union{b: u32, c: struct{d: u16[3], e: u16:5}}, f: lpm{ip4}}");
    let table = [
        ("", 0, 20),
        (".", 0, 20),
        (".a", 0, 1),
        ("b", 4, 4),
        ("c.d[2]", 8, 2),
        (".c.e", 10, 1),
        (".f.prefixlen", 12, 4),
        ("f.data", 16, 4),
    ];
    for (path, offset, len) in table {
        let slot = ty.field(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!((slot.offset(), slot.len()), (offset, len), "{path}");
    }
    let table = [
        (".x", "no field \"x\"; fields: a, b, c, f"),
        (".a.x", "u8 has no fields"),
        (".c.d[3]", "no element \"3\" in an array of 3"),
        (".c.d[-1]", "no element \"-1\" in an array of 3"),
        (".a[0]", "no element \"0\" in u8"),
        (".c.", "expected a path such as .name or .name[2], found \".c.\""),
        (".c.d[1", "expected a path such as .name or .name[2], found \"[1\""),
        ("..a", "no field \"\"; fields: a, b, c, f"),
    ];
    for (path, message) in table {
        assert_eq!(ty.field(path).unwrap_err().to_string(), message, "{path}");
    }
}
