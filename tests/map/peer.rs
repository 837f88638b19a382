//! Beside bpftool, both ways: what one writes the other reads, byte for byte.

use crate::common::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Bytes as bpftool takes them.
fn words(bytes: &[u8]) -> Vec<String> {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes an element by bpftool.
fn write(pin: &str, key: &[u8], value: &[u8]) {
    let mut line: Vec<String> =
        ["map", "update", "pinned", pin, "key", "hex"].map(String::from).into();
    line.extend(words(key));
    line.extend(["value", "hex"].map(String::from));
    line.extend(words(value));
    bpftool(&line);
}

/// The bytes of a value, as bpftool reads them.
fn read(pin: &str, key: &[u8]) -> Vec<u8> {
    let mut line: Vec<String> =
        ["-j", "map", "lookup", "pinned", pin, "key", "hex"].map(String::from).into();
    line.extend(words(key));
    let json: serde_json::Value = serde_json::from_str(&bpftool(&line)).unwrap();
    let bytes = json["value"].as_array().unwrap_or_else(|| panic!("{json}")).iter();
    bytes.map(|byte| u8::from_str_radix(&byte.as_str().unwrap()[2..], 16).unwrap()).collect()
}

/// A field of a struct: its notation, and a value as text and as the bytes that C would store.
fn field() -> BoxedStrategy<(String, String, Vec<u8>)> {
    macro_rules! number {
        ($type:ty, $notation:literal, $bytes:ident) => {
            any::<$type>().prop_map(|n| ($notation.into(), n.to_string(), n.$bytes().to_vec()))
        };
    }
    prop_oneof![
        number!(u8, "u8", to_ne_bytes),
        number!(i8, "i8", to_ne_bytes),
        number!(u16, "u16", to_ne_bytes),
        number!(i16, "i16", to_ne_bytes),
        number!(u32, "u32", to_ne_bytes),
        number!(i32, "i32", to_ne_bytes),
        number!(u64, "u64", to_ne_bytes),
        number!(i64, "i64", to_ne_bytes),
        number!(u16, "be16", to_be_bytes),
        number!(u32, "be32", to_be_bytes),
        number!(u64, "be64", to_be_bytes),
        any::<f64>().prop_filter("printed", |n| n.is_finite()).prop_map(|n| (
            "f64".into(),
            n.to_string(),
            n.to_ne_bytes().to_vec()
        )),
        any::<bool>().prop_map(|n| ("bool".into(), n.to_string(), vec![u8::from(n)])),
        any::<[u8; 4]>().prop_map(|ip| (
            "ip4".into(),
            std::net::Ipv4Addr::from(ip).to_string(),
            ip.into()
        )),
        any::<[u8; 16]>().prop_map(|ip| (
            "ip6".into(),
            std::net::Ipv6Addr::from(ip).to_string(),
            ip.into()
        )),
        any::<[u8; 6]>().prop_map(|mac| ("mac".into(), words(&mac).join(":"), mac.into())),
        "[a-z0-9]{0,5}".prop_map(|text| {
            let mut bytes = text.clone().into_bytes();
            bytes.resize(5, 0);
            ("char[5]".into(), format!("\"{text}\""), bytes)
        }),
        vec(any::<u8>(), 3).prop_map(|bytes| ("hex[3]".into(), words(&bytes).concat(), bytes)),
        any::<[u16; 3]>().prop_map(|numbers| {
            let bytes = numbers.iter().flat_map(|n| n.to_ne_bytes()).collect();
            ("u16[3]".into(), format!("[{},{},{}]", numbers[0], numbers[1], numbers[2]), bytes)
        }),
        (0u8..3).prop_map(|n| {
            let (name, number) = [("DROP", 0i32), ("PASS", 1), ("LOW", -2)][usize::from(n)];
            ("enum:i32{DROP=0, PASS=1, LOW=-2}".into(), name.into(), number.to_ne_bytes().into())
        }),
    ]
    .boxed()
}

#[test]
fn random_layouts_are_stored_as_in_c() {
    let lab = Lab::new();
    let mut runner =
        TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let case = std::cell::Cell::new(0);
    let all = runner.run(&(vec(field(), 1..7), vec(field(), 1..3)), |(value, key)| {
        let pin = format!("/sys/fs/bpf/m{}", case.get());
        case.set(case.get() + 1);
        let notation = |fields: &[(String, String, Vec<u8>)]| {
            let fields = fields.iter().enumerate();
            let fields: Vec<String> =
                fields.map(|(at, field)| format!("f{at}: {}", field.0)).collect();
            format!("packed struct{{{}}}", fields.join(", "))
        };
        let plain = |fields: &[(String, String, Vec<u8>)]| {
            let fields = fields.iter().enumerate();
            fields.map(|(at, field)| format!("f{at}={}", field.1)).collect::<Vec<_>>().join(" ")
        };
        let bytes = |fields: &[(String, String, Vec<u8>)]| -> Vec<u8> {
            fields.iter().flat_map(|field| field.2.clone()).collect()
        };
        let (key_bytes, value_bytes) = (bytes(&key), bytes(&value));
        let sizes = [key_bytes.len().to_string(), value_bytes.len().to_string()];
        bpftool(&[
            "map", "create", &pin, "type", "hash", "key", &sizes[0], "value", &sizes[1], "entries",
            "2", "name", "m",
        ]);
        let (key_layout, value_layout) = (notation(&key), notation(&value));
        let layouts = ["--key", &key_layout, "--value", &value_layout];
        let (key_text, value_text) = (plain(&key), plain(&value));
        // Ours is what bpftool reads,
        stdout_of(lab.map(["set", &pin, &key_text, &value_text]).args(layouts));
        prop_assert_eq!(
            read(&pin, &key_bytes),
            &value_bytes[..],
            "{} {}",
            value_layout,
            value_text
        );
        // bpftool's is what we read; a float's text may differ, its bytes may not.
        bpftool(
            &["map", "delete", "pinned", &pin, "key", "hex"]
                .iter()
                .map(|w| w.to_string())
                .chain(words(&key_bytes))
                .collect::<Vec<_>>(),
        );
        write(&pin, &key_bytes, &value_bytes);
        for json in [&[][..], &["--json"]] {
            let text = stdout_of(lab.map(["get", &pin, &key_text]).args(layouts).args(json));
            let text = text.trim_end_matches('\n');
            // Texts and floats can be written in more than one way.
            if json.is_empty() && !value_layout.contains("f64") && !value_layout.contains("char") {
                prop_assert_eq!(text, &value_text[..]);
            }
            stdout_of(lab.map(["set", &pin, &key_text, text]).args(layouts));
            prop_assert_eq!(read(&pin, &key_bytes), &value_bytes[..], "{} {}", value_layout, text);
        }
        // One field, and no other byte.
        let at = value.len() - 1;
        let (field, text) = (format!(".f{at}"), &value[at].1);
        stdout_of(lab.map(["set", &pin, &key_text, &field, text]).args(layouts));
        prop_assert_eq!(read(&pin, &key_bytes), &value_bytes[..]);
        std::fs::remove_file(&pin).unwrap();
        Ok(())
    });
    all.unwrap();
}

/// Maps of types.bpf.o: the sizes of key and value. Some have padding, which is noise like the rest.
const TYPED: &[(&str, usize, usize)] = &[
    ("t_u8", 1, 1),
    ("t_i64", 8, 8),
    ("t_typedef", 4, 4),
    ("t_enum", 4, 4),
    ("t_enum_signed", 4, 4),
    ("t_signs", 4, 32),
    ("t_packed", 15, 15),
];

#[test]
fn values_of_btf_types_agree_with_bpftool() {
    let lab = Lab::new();
    let object = fixture("types.bpf.o");
    bpftool(&[
        "prog",
        "loadall",
        &object,
        "/sys/fs/bpf/p",
        "type",
        "tc",
        "pinmaps",
        "/sys/fs/bpf/m",
    ]);
    for &(name, key_size, value_size) in TYPED {
        let pin = format!("/sys/fs/bpf/m/{name}");
        let mut runner =
            TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
        let bytes = |size: usize| vec(prop_oneof![any::<u8>(), Just(0), Just(0xff)], size);
        let all = runner.run(&(bytes(key_size), bytes(value_size)), |(key, value)| {
            let checked = check(&lab, name, &pin, &key, &value);
            // The map has room for 16.
            let mut delete =
                ["map", "delete", "pinned", &pin, "key", "hex"].map(String::from).to_vec();
            delete.extend(words(&key));
            bpftool(&delete);
            checked
        });
        all.unwrap();
    }
}

fn check(lab: &Lab, name: &str, pin: &str, key: &[u8], value: &[u8]) -> Result<(), TestCaseError> {
    write(pin, key, value);
    let hex: String = words(key).concat();
    let key_text = format!("hex:{hex}");
    for json in [&[][..], &["--json"]] {
        let text = stdout_of(lab.map(["get", pin, &key_text]).args(json));
        let text = text.trim_end_matches('\n');
        if json.is_empty() && name == "t_i64" {
            let number = i64::from_ne_bytes(value[..].try_into().unwrap());
            prop_assert_eq!(text, number.to_string());
        }
        write(pin, key, &vec![0x5a; value.len()]);
        stdout_of(&mut lab.map(["set", pin, &key_text, text]));
        prop_assert_eq!(read(pin, key), value, "{} {}", name, text);
    }
    if name == "t_signs" {
        // bpftool's own reading of the same BTF.
        let mut line: Vec<String> =
            ["-j", "map", "lookup", "pinned", pin, "key", "hex"].map(String::from).into();
        line.extend(words(key));
        let theirs: serde_json::Value = serde_json::from_str(&bpftool(&line)).unwrap();
        let ours = stdout_of(&mut lab.map(["get", pin, &key_text, "--json"]));
        let ours: serde_json::Value = serde_json::from_str(&ours).unwrap();
        for field in ["a", "c", "e", "g", "d", "f", "h"] {
            prop_assert_eq!(
                &ours[field],
                &theirs["formatted"]["value"][field],
                "{} {}",
                field,
                theirs
            );
        }
    }
    Ok(())
}
