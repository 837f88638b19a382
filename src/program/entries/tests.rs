//! The output of generated programs, compared with that of `dump` in the same format.

use super::*;
use crate::output::element::{self, Integers, Shown};
use crate::output::json::JsonElements;
use crate::output::plain::Plain;
use crate::output::separated::Separated;
use crate::program::interpreter;
use bpf_layout::print::PerCpu;
use proptest::collection::vec;
use proptest::prelude::*;

fn ty(notation: &str) -> Type {
    notation.parse().unwrap_or_else(|error| panic!("{notation}: {error}"))
}

fn dump(entries: &Entries, all: &[Entry]) -> String {
    let (key, value) = (entries.key, entries.value);
    let (is_per_cpu, numbers) = match entries.cpus {
        Cpus::One => (false, None),
        Cpus::Sum { .. } => (true, None),
        Cpus::Each { numbers, .. } => (true, Some(numbers.to_vec())),
    };
    let mut format: Box<dyn element::ElementFormat> = match entries.format {
        Format::Plain => Box::new(Plain::new(key, value)),
        Format::JsonLines => Box::new(JsonElements::new(key, value, false, Integers::Numbers)),
        Format::Table(separator) => {
            Box::new(Separated::new(key, value, separator, is_per_cpu, numbers))
        }
    };
    let mut out = Vec::new();
    format.begin(0, &mut out);
    for (key, value) in all {
        let shown = match entries.cpus {
            Cpus::One => Shown::One(value),
            Cpus::Sum { stride, .. } => Shown::Sum(PerCpu::new(value, stride as usize)),
            Cpus::Each { stride, .. } => Shown::Each(PerCpu::new(value, stride as usize)),
        };
        format.element(key, shown, &mut out);
    }
    format.end(&mut out);
    String::from_utf8(out).expect("UTF-8")
}

fn printed(entries: &Entries, all: &[Entry]) -> Result<String, Unprintable> {
    let code = generate(entries, interpreter::BUFFERED)?;
    let mut out = Vec::new();
    for (at, (key, value)) in all.iter().enumerate() {
        out.extend(interpreter::print(&code, Some((key, value)), at as u64, 0));
    }
    // After one entry the kernel has not counted it.
    let before = all.len().saturating_sub(1) as u64;
    out.extend(interpreter::print(&code, None, before, all.len() as u64));
    Ok(String::from_utf8(out).expect("UTF-8"))
}

const FORMATS: [Format; 4] =
    [Format::Plain, Format::JsonLines, Format::Table(b','), Format::Table(b'\t')];

/// The notation of a type that can be printed.
fn notation() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        8 => proptest::sample::select(&[
            "u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "be16", "be32", "be64", "bool", "ip4",
            "ip6", "mac", "ptr", "enum:u8{A=1, B=2, C=200}", "enum:i32{MINUS=-1, ZERO=0, MANY=7}",
            "enum:u64{BIG=0xffffffffffffffff, ONE=1}",
        ][..]).prop_map(String::from),
        3 => (0u32..12).prop_map(|len| format!("char[{len}]")),
        1 => (0u32..20).prop_map(|len| format!("hex[{len}]")),
    ];
    let bits = (
        proptest::sample::select(
            &[
                ("u8", 8),
                ("u16", 16),
                ("u32", 32),
                ("u64", 64),
                ("i8", 8),
                ("i32", 32),
                ("i64", 64),
                ("bool", 8),
                ("enum:u16{ON=1, OFF=0}", 16),
            ][..],
        ),
        1u32..=64,
    );
    let bits = bits.prop_map(|((carrier, max), width)| format!("{carrier}:{}", width.min(max)));
    scalar.prop_recursive(3, 24, 6, move |inner| {
        let member = prop_oneof![3 => inner.clone(), 2 => bits.clone().boxed()];
        let members = (any::<(u8, bool)>(), vec(member, 0..6));
        let record = members.prop_map(|((kind, packed), members)| {
            let kind = if kind < 50 { "union" } else { "struct" };
            let packed = if packed { "packed " } else { "" };
            let members = members.iter().enumerate().map(|(at, ty)| format!("f{at}: {ty}"));
            format!("{packed}{kind}{{{}}}", members.collect::<Vec<_>>().join(", "))
        });
        prop_oneof![
            3 => record,
            1 => (inner, 0u32..4).prop_map(|(elem, len)| format!("{elem}[{len}]")),
        ]
    })
}

/// A type, if the notation has one: an array of elements without size is none.
fn types() -> impl Strategy<Value = Type> {
    notation().prop_filter_map("no type", |notation| {
        let ty: Type = notation.parse().ok()?;
        Some(ty.without_padding())
    })
}

fn bytes(len: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        2 => any::<u8>(), 3 => Just(0), 1 => Just(1), 1 => Just(0xff), 3 => 32u8..127,
        1 => proptest::sample::select(&b"\"\\,-[{ \n"[..]),
    ];
    vec(byte, len)
}

/// The bytes of a key and of its value.
type Entry = (Vec<u8>, Vec<u8>);

/// The types of key and value, and entries with `cpus` values each.
fn maps(cpus: usize) -> impl Strategy<Value = (Type, Type, Vec<Entry>)> {
    (types(), types()).prop_flat_map(move |(key, value)| {
        let stride = value.size().next_multiple_of(8);
        let one = bytes(stride);
        // Often all CPUs agree.
        let values = (vec(one, cpus), any::<bool>()).prop_map(|(values, same)| match same {
            true => values[0].repeat(values.len()),
            false => values.concat(),
        });
        let entry = (bytes(key.size()), values);
        (Just(key), Just(value), vec(entry, 0..4))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn program_prints_what_dump_prints((key, value, all) in maps(1)) {
        for format in FORMATS {
            let entries = Entries { key: &key, value: &value, format, cpus: Cpus::One };
            if let Ok(text) = printed(&entries, &all) {
                prop_assert_eq!(text, dump(&entries, &all), "{} -> {}", key, value);
            } else {
                prop_assert_eq!(format, Format::Table(b','));
            }
        }
    }

    #[test]
    fn sums_are_those_of_dump((key, value, all) in maps(3)) {
        let stride = value.size().next_multiple_of(8) as u32;
        // Values of no size have no entries for CPUs.
        prop_assume!(stride > 0);
        for format in FORMATS {
            for cpus in [Cpus::Sum { stride, count: 3 }, Cpus::Each { stride, numbers: &[0, 1, 5] }] {
                let entries = Entries { key: &key, value: &value, format, cpus };
                if let Ok(text) = printed(&entries, &all) {
                    prop_assert_eq!(text, dump(&entries, &all), "{} -> {}", key, value);
                } else {
                    prop_assert_eq!(format, Format::Table(b','));
                }
            }
        }
    }
}

#[test]
fn sums_beyond_64_bits_are_exact() {
    let extremes: [u64; 6] = [0, 1, u64::MAX, 1 << 63, (1 << 63) + 5, 10_000_000_000_000_000_000];
    for notation in ["u64", "i64", "be64", "struct{pad:3, a: u64:61}"] {
        let (key, value) = (ty("u8"), ty(notation).without_padding());
        let stride = value.size().next_multiple_of(8) as u32;
        let mut all = Vec::new();
        for a in extremes {
            for b in extremes {
                for c in extremes {
                    let mut cpus = Vec::new();
                    for number in [a, b, c, a, b, c, c, c] {
                        cpus.extend(number.to_be_bytes());
                        cpus.resize(cpus.len().next_multiple_of(stride as usize), 0);
                    }
                    all.push((vec![0], cpus));
                }
            }
        }
        let cpus = Cpus::Sum { stride, count: 8 };
        let entries = Entries { key: &key, value: &value, format: Format::Plain, cpus };
        assert_eq!(printed(&entries, &all).expect("printable"), dump(&entries, &all), "{notation}");
    }
}

#[test]
fn texts_are_quoted_and_escaped_as_dump_does() {
    let texts: [&[u8]; 30] = [
        b"",
        b"a",
        b"two words",
        b"-",
        b"--",
        b"hex:",
        b"hex",
        b"hex:ff",
        b"a,b",
        b"\"q\"",
        b"a\"b",
        b"\\",
        b" lead",
        b"trail ",
        b"[x",
        b"{x",
        b"a\0b",
        b"\x1b[2J",
        b"a\nb\tc\r",
        b"\x7f",
        b"\xff\xfe",
        "größe".as_bytes(),
        "\u{9b}31m".as_bytes(),
        "\u{202e}x".as_bytes(),
        "\u{a0}x".as_bytes(),
        "x\u{3000}".as_bytes(),
        "\u{e0041}z".as_bytes(),
        "😀".as_bytes(),
        b"\xe2\x82",
        "a\u{2028}\"".as_bytes(),
    ];
    for notation in ["char[12]", "struct{a: char[12]}", "char[12][1]"] {
        let (key, value) = (ty("u8"), ty(notation));
        let entry = |text: &&[u8]| {
            let mut text = text.to_vec();
            text.resize(12, 0);
            (vec![1], text)
        };
        let all: Vec<_> = texts.iter().map(entry).collect();
        let twice: Vec<_> = all
            .iter()
            .map(|(key, text)| {
                let mut value = text.clone();
                value.resize(16, 0);
                (key.clone(), value.repeat(2))
            })
            .collect();
        for format in FORMATS {
            let entries = Entries { key: &key, value: &value, format, cpus: Cpus::One };
            assert_eq!(printed(&entries, &all).expect("printable"), dump(&entries, &all));
            let cpus = Cpus::Sum { stride: 16, count: 2 };
            let entries = Entries { cpus, ..entries };
            let Ok(text) = printed(&entries, &twice) else { continue };
            assert_eq!(text, dump(&entries, &twice));
        }
    }
}

#[test]
fn fields_that_cannot_be_printed_are_named() {
    let cannot = "cannot be printed by a program in the kernel";
    let others = "(--fields selects other fields)";
    for (key, value, want) in [
        ("u8", "struct{a: u8, b: f32}", format!("b: floating-point numbers {cannot} {others}")),
        ("u8", "f64", format!("value: floating-point numbers {cannot} {others}")),
        ("struct{a: u128}", "u8", format!("key: a: integers of 128 bits {cannot}")),
        (
            "u8",
            "struct{a: u8, b: struct{c: i128[2]}}",
            format!("b.c: integers of 128 bits {cannot} {others}"),
        ),
        ("u8", "union{a: u32, b: f32}", format!("b: floating-point numbers {cannot} {others}")),
        ("u8", "char[1025]", format!("value: text of more than 1024 bytes {cannot} {others}")),
        (
            "u8",
            "hex[20000]",
            "the fields take more than 32 KiB of text or too many instructions (--fields selects some)"
                .to_owned(),
        ),
    ] {
        let (key, value) = (ty(key), ty(value));
        let entries = Entries { key: &key, value: &value, format: Format::Plain, cpus: Cpus::One };
        assert_eq!(generate(&entries, interpreter::BUFFERED).expect_err("refused").to_string(), want);
    }
}
