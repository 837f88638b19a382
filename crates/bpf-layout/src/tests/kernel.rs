//! Real BTF: that of the running kernel, and that of a program with unusual types.

use crate::{Btf, BtfError, Shape, Type, to_lpm_key};

const NASTY: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/nasty.btf"));

fn nasty(name: &str) -> Type {
    let btf = Btf::parse(NASTY).expect("BTF of clang");
    let id = btf.find(name).unwrap_or_else(|| panic!("no type {name}"));
    btf.layout(id).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn c_types_resolve_to_their_notation() {
    let verdict = "enum{ABORTED, DROP, PASS, TX=7}";
    let table = [
        ("counters", "struct{packets: u64, bytes: u64}", 16),
        (
            "bits",
            &format!(
                "struct{{a: u32:3, b: u32:5, c: i32:7, pad:1, pad[6], d: u64:33, e: bool:1, f: {verdict}:4, tail: u8}}"
            ),
            16,
        ),
        ("straddle", "struct{a: u16:9, b: u16:9, c: u32:20}", 8),
        ("packed_bits", "packed struct{head: u8, a: u32:3, b: u32:30, c: u64:40, tail: u16}", 13),
        ("packed", "packed struct{a: u8, b: u32, c: u64}", 13),
        ("aligned", "struct{a: u8, pad[15], b: u32, c: u8, pad[11]}", 32),
        ("holes", "struct{a: u8, b: u64, c: u8}", 24),
        ("misfit", "struct{a: u8, b: packed struct{a: u8, b: u32, c: u64}, c: u32, pad[44]}", 64),
        (
            "nameless",
            "struct{kind: u8, union{v4: u32, struct{port: u16, proto: u16}, raw: u8[12]}, tail: u32}",
            20,
        ),
        ("flexible", "struct{len: u32, data: char[0]}", 4),
        (
            "nested",
            "struct{grid: struct{packets: u64, bytes: u64}[2][3], names: char[2][8], bytes: u8[3]}",
            120,
        ),
        (
            "kernel",
            "struct{lock: struct{pad[4]}, pad[4], timer: struct{pad[16]}, ptr: ptr, other: ptr, n: u32}",
            48,
        ),
        ("net", "struct{v4: ip4, v6: ip6, port: be16, word: be32, wide: be64}", 40),
        (
            "scalars",
            "struct{c: i8, sc: i8, s: i16, ll: i64, f: f32, d: f64, flag: bool, i: i32, cv: u32}",
            48,
        ),
        ("wide", "struct{a: u8, b: u128, c: i128}", 48),
        // clang 14 truncates the values of the last enum, so its names are omitted.
        (
            "enums",
            &format!(
                "struct{{v: {verdict}, n: enum:i32{{NONE=-1, SOME}}, s: enum:u8{{LOW, HIGH=255}}, h: u64}}"
            ),
            24,
        ),
        ("holder", "struct{e: struct{}, x: u32, f: struct{}[0]}", 4),
        (".bss", "packed struct{prog_calls: u32, last: u8, pad[3], hits: u64, limit: u32}", 20),
        (".rodata", "struct{start: struct{packets: u64, bytes: u64}}", 16),
        ("license", "struct{LICENSE: char[13]}", 13),
        ("bpf_spin_lock", "struct{pad[4]}", 4),
    ];
    for (name, notation, size) in table {
        let ty = nasty(name);
        assert_eq!((ty.to_string().as_str(), ty.size()), (notation, size), "{name}");
        assert_eq!(notation.parse::<Type>(), Ok(ty), "{name}");
    }
}

#[test]
fn lpm_key_types_are_recognised_by_size_and_shape() {
    let table = [
        (nasty("lpm4"), "lpm{ip4}"),
        (nasty("lpm6"), "lpm{ip6}"),
        (
            nasty("lpm_rich"),
            "lpm{packed struct{cluster: u16, pad: u8, family: u8, union{v4: be32, v6: u64[2]}}}",
        ),
        (Type::of_size(8), "lpm{ip4}"),
        (Type::of_size(20), "lpm{ip6}"),
        (Type::of_size(10), "lpm{hex[6]}"),
        // Types without data, or of another form, are unchanged.
        (Type::of_size(4), "u32"),
        (nasty("bpf_lpm_trie_key"), "struct{prefixlen: u32, data: u8[0]}"),
        (nasty("holes"), "struct{a: u8, b: u64, c: u8}"),
        (super::ty("lpm{ip4}"), "lpm{ip4}"),
        (super::ty("struct{prefixlen: u32, a: mac, b: u16}"), "lpm{struct{a: mac, b: u16}}"),
    ];
    for (ty, expected) in table {
        let size = ty.size();
        let key = to_lpm_key(ty);
        assert_eq!((key.to_string().as_str(), key.size()), (expected, size));
    }
}

#[test]
fn functions_and_void_have_no_size() {
    let btf = Btf::parse(NASTY).expect("BTF of clang");
    assert_eq!(btf.layout(0).unwrap_err().to_string(), "btf type 0 (\"void\") has no size");
    let prog = btf.find("prog").expect("the program");
    assert_eq!(
        btf.layout(prog).unwrap_err().to_string(),
        format!("btf type {prog} (\"prog\") has no size")
    );
    assert_eq!(btf.layout(9999).unwrap_err().to_string(), "btf has no type 9999");
}

#[test]
fn malformed_btf_header_is_refused() {
    assert_eq!(
        Btf::parse(b"").err().map(|e| e.to_string()).as_deref(),
        Some("btf is truncated at byte 0")
    );
    let mut other = NASTY.to_vec();
    other.swap(0, 1);
    assert!(
        Btf::parse(&other)
            .is_err_and(|error| error.to_string().starts_with("not btf in this machine's"))
    );
    let mut other = NASTY.to_vec();
    other[2] = 2;
    assert!(
        Btf::parse(&other).is_err_and(|error| error.to_string() == "unsupported btf version 2")
    );
    assert!(Btf::parse(&NASTY[..NASTY.len() - 1]).is_err());
}

/// Decodes the types independently of the crate: id, kind and offset.
fn walk(blob: &[u8]) -> Vec<(u32, u32, usize)> {
    let word = |at: usize| u32::from_ne_bytes(blob[at..at + 4].try_into().expect("four bytes"));
    let (mut at, mut types) = (word(4) as usize + word(8) as usize, Vec::new());
    let end = at + word(12) as usize;
    while at < end {
        let info = word(at + 4);
        let (kind, vlen) = (info >> 24 & 31, (info & 0xffff) as usize);
        types.push((types.len() as u32 + 1, kind, at));
        at += 12
            + match kind {
                1 | 14 | 17 => 4,
                3 => 12,
                4 | 5 | 15 | 19 => vlen * 12,
                6 | 13 => vlen * 8,
                _ => 0,
            };
    }
    types
}

/// Returns the sizes of integers, structs, unions, enums, sections and floats.
fn sizes(blob: &[u8]) -> Vec<(u32, usize)> {
    let size =
        |at: usize| u32::from_ne_bytes(blob[at + 8..at + 12].try_into().expect("four bytes"));
    let types = walk(blob).into_iter();
    let sized = types.filter(|(_, kind, _)| matches!(kind, 1 | 4 | 5 | 6 | 15 | 16 | 19));
    sized.map(|(id, _, at)| (id, size(at) as usize)).collect()
}

/// Returns ids and offsets of structs and unions.
fn records(blob: &[u8]) -> impl Iterator<Item = (u32, usize)> {
    let types = walk(blob).into_iter().filter(|(_, kind, _)| matches!(kind, 4 | 5));
    types.map(|(id, _, at)| (id, at))
}

#[test]
fn kernel_types_keep_size_and_notation() {
    let path = "/sys/kernel/btf/vmlinux";
    let blob = std::fs::read(path)
        .unwrap_or_else(|error| panic!("{path}: {error}; needs CONFIG_DEBUG_INFO_BTF"));
    let btf = Btf::parse(&blob).expect("BTF of the kernel");
    let sizes = sizes(&blob);
    assert!(sizes.len() > 5_000, "{}", sizes.len());
    for (id, size) in sizes {
        let ty = btf.layout(id).unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(ty.size(), size, "{id} {:?}", btf.name(id));
        let text = ty.to_string();
        assert_eq!(text.parse::<Type>().as_ref(), Ok(&ty), "{id} {text}");
    }
}

/// The name, the first bit and the width (0 for non-bitfields) of a member.
type DecodedMember = (String, u32, u32);

/// Decodes structs, unions and their members independently of the crate.
fn members(blob: &[u8]) -> Vec<(u32, Vec<DecodedMember>)> {
    let word = |at: usize| u32::from_ne_bytes(blob[at..at + 4].try_into().expect("four bytes"));
    let strings = word(4) as usize + word(16) as usize;
    let name = |offset: u32| {
        let text = &blob[strings + offset as usize..];
        let end = text.iter().position(|byte| *byte == 0).expect("a terminated string");
        String::from_utf8_lossy(&text[..end]).into_owned()
    };
    let mut all = Vec::new();
    for (id, at) in records(blob) {
        let flag = word(at + 4) >> 31 == 1;
        let member = |index: usize| {
            let (at, cut) = (at + 12 + index * 12, if flag { 24 } else { 31 });
            let offset = word(at + 8);
            (name(word(at)), offset & ((1 << cut) - 1), if flag { offset >> cut } else { 0 })
        };
        all.push((id, (0..(word(at + 4) & 0xffff) as usize).map(member).collect()));
    }
    all
}

#[test]
fn kernel_members_keep_their_bit_offsets() {
    let path = "/sys/kernel/btf/vmlinux";
    let blob = std::fs::read(path)
        .unwrap_or_else(|error| panic!("{path}: {error}; needs CONFIG_DEBUG_INFO_BTF"));
    let btf = Btf::parse(&blob).expect("BTF of the kernel");
    let (mut checked, mut raw) = (0, 0);
    for (id, members) in members(&blob) {
        let ty = btf.layout(id).unwrap_or_else(|error| panic!("{id}: {error}"));
        // Structs that belong to the kernel, such as locks, are padding.
        let fields =
            ty.as_record().filter(|record| !record.fields().is_empty() || members.is_empty());
        let Some(record) = fields else {
            raw += 1;
            continue;
        };
        for (name, bit, width) in members.iter().filter(|member| !member.0.is_empty()) {
            let field = record.fields().iter().find(|field| *field.name == **name);
            let found = field.map(|field| (field.bit, field.width.unwrap_or(0)));
            assert_eq!(found, Some((u64::from(*bit), *width as u8)), "{id} {name} {ty}");
            checked += 1;
        }
    }
    // Only structs of the kernel and addresses are skipped.
    assert!(checked > 50_000 && raw < 100, "{checked} {raw}");
}

#[test]
fn declarations_have_the_shapes_of_their_c_types() {
    let btf = Btf::parse(NASTY).expect("clang's own");
    let shape = |name: &str| btf.shape(btf.find(name).expect(name)).expect(name);
    let Shape::Struct { size: 24, members } = shape("lpm_rich") else { panic!() };
    let places: Vec<_> = members.iter().map(|member| (member.name, member.bit)).collect();
    let want = [("prefixlen", 0), ("cluster", 32), ("pad", 48), ("family", 56), ("", 64)];
    assert_eq!(places, want);
    let Shape::Struct { members, .. } = shape("kernel") else { panic!() };
    assert!(matches!(btf.shape(members[2].type_id), Ok(Shape::Pointer(0))));
    let Shape::Struct { members, .. } = shape("nested") else { panic!() };
    let Ok(Shape::Array { elem, len: 2 }) = btf.shape(members[0].type_id) else { panic!() };
    assert_eq!((btf.size(elem), btf.size(members[0].type_id)), (Ok(48), Ok(96)));
    assert_eq!(shape("verdict"), Shape::Enum(vec![0, 1, 2, 7]));
    assert_eq!(shape("_Bool"), Shape::Other);
    assert!(matches!(btf.shape(0), Err(BtfError::NoSize { id: 0, .. })));

    let section = btf.data_section(".bss").expect("a section");
    let variables: Vec<_> =
        section.variables.iter().map(|v| (v.name, v.is_global, v.offset, v.size)).collect();
    let want = [
        ("prog.calls", false, 0, 4),
        ("last", false, 4, 1),
        ("hits", true, 8, 8),
        ("limit", true, 16, 4),
    ];
    assert_eq!(variables, want);
    assert_eq!(btf.data_section(".data"), None);
}
