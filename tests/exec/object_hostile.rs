//! Object files that no compiler writes: each is used, or refused with one line and nothing left behind.

use crate::common::elf::*;
use crate::common::*;

/// A legacy map: type, key size, value size, entries and flags.
fn legacy_map(map_type: u32) -> Vec<u8> {
    [map_type, 4, 4, 1, 0].map(u32::to_ne_bytes).concat()
}

/// An object with a map `m` in `.maps`, whose struct is type 1 of `types`.
fn with_btf(types: &[u32], names: &[u8]) -> Vec<u8> {
    let mut file = ElfFile::default();
    let maps = file.section(".maps", 3, [0; 32]);
    file.symbol("m", OBJECT, maps, 0, 32);
    file.section(".BTF", 0, btf(types, names));
    file.build()
}

/// Names that start at 1 (`m`), 3 (`.maps`), 9 (`type`) and 14 (`key`).
const NAMES: &[u8] = b"\0m\0.maps\0type\0key\0";

/// An object with one program, `f` in the section `tc`.
fn with_program(code: &[u8]) -> ElfFile {
    let mut file = ElfFile::default();
    let section = file.section("tc", CODE, code);
    file.symbol("f", FUNCTION, section, 0, code.len() as u64);
    file
}

/// Writes a file, and runs bpf-exec with words in which it is `x.o`.
fn exec_with(lab: &Lab, file: &[u8], words: &[&str]) -> Run {
    std::fs::write(lab.path("x.o"), file).unwrap();
    run(&mut lab.exec([words, &["--", "true"]].concat()))
}

#[test]
fn ten_thousand_maps_are_created_or_refused() {
    let lab = Lab::new();
    let mut file = ElfFile::default();
    let one = legacy_map(2);
    let maps = file.section("maps", 3, one.repeat(10_000));
    for n in 0..10_000 {
        file.symbol(&format!("map{n}"), OBJECT, maps, n * 20, 20);
    }
    std::fs::write(lab.path("x.o"), file.build()).unwrap();
    let list = stdout_of(&mut lab.map(["object", "x.o"]));
    assert_eq!(list.lines().filter(|line| line.contains("  array  ")).count(), 10_000);
    let command = lab.exec(["--object", "x.o", "--", "touch", "ran"]);
    let few = wrapped(&["prlimit", "--nofile=1000"], &command);
    let run = run(&mut { few });
    assert_eq!((run.status, run.stderr.lines().count()), (125, 1), "{}", run.stderr);
    assert!(run.stderr.ends_with(": create map: too many open files\n"), "{}", run.stderr);
    assert!(!lab.path("ran").exists());
    let words = ["--object", "x.o#map9999,map0", "--", "sh", "-c", "bpf-map set map9999 0 1"];
    assert_eq!(stdout_of(&mut lab.exec(words)), "");
}

#[test]
fn odd_map_sections_are_refused() {
    let lab = Lab::new();
    type Symbols<'a> = &'a [(&'a str, u64, u64)];
    let table: [(usize, Symbols, &str); 6] = [
        (20, &[("a", 0, 24)], "\"a\": larger than its section"),
        (20, &[("a", u64::MAX, 20)], "\"a\": larger than its section"),
        (20, &[("a", 0, u64::MAX)], "\"a\": larger than its section"),
        (21, &[("a", 0, 21)], "\"a\": 21 bytes are not a map"),
        (12, &[("a", 0, 12)], "\"a\": 12 bytes are not a map"),
        (40, &[("a", 0, 20), ("a", 20, 20)], "\"a\": two maps have this name"),
    ];
    for (size, symbols, cause) in table {
        let mut file = ElfFile::default();
        let mut content = legacy_map(2).repeat(3);
        content.resize(size, 0);
        let maps = file.section("maps", 3, content);
        for (name, value, size) in symbols {
            file.symbol(name, OBJECT, maps, *value, *size);
        }
        let run = exec_with(&lab, &file.build(), &["--object", "x.o"]);
        let line = format!("bpf-exec: x.o: read object: {cause}\n");
        assert_eq!((run.status, run.stderr), (125, line));
    }
}

#[test]
fn types_in_loops_and_in_thousands_are_refused() {
    let lab = Lab::new();
    // 2: the variable, 3: the section, then the types that the member of the struct refers to.
    let declared = |member: u32, more: &[u32]| {
        let fixed = [
            &[1, info(4, 1), 8, 9, member, 0][..],
            &[1, info(14, 0), 1, 1],
            &[3, info(15, 1), 32, 2, 0, 32],
        ];
        [&fixed.concat(), more].concat()
    };
    let typedef = |to: u32| [0, info(8, 0), to];
    let chain: Vec<u32> = (5..10_005).flat_map(typedef).collect();
    let pointers: Vec<u32> = (5..10_005).flat_map(|to| [0, info(2, 0), to]).collect();
    for (what, types) in [
        ("a typedef of itself", declared(4, &typedef(4))),
        ("typedefs of each other", declared(4, &[typedef(5), typedef(4)].concat())),
        ("10,000 typedefs", declared(4, &chain)),
        ("10,000 pointers", declared(4, &pointers)),
        ("the struct itself", declared(1, &[])),
        ("an array of itself", declared(4, &[0, info(3, 0), 0, 4, 4, 1 << 31])),
        ("a missing type", declared(77, &[])),
    ] {
        let run = exec_with(&lab, &with_btf(&types, NAMES), &["--object", "x.o"]);
        assert_eq!((run.status, run.stderr.lines().count()), (125, 1), "{what}: {}", run.stderr);
        assert!(run.stderr.starts_with("bpf-exec: x.o: read object: \"m\": "), "{}", run.stderr);
    }
}

#[test]
fn programs_of_any_instructions_are_loaded_or_refused() {
    let lab = Lab::new();
    let call = |distance: i32| {
        let mut code = vec![0x85, 0x10, 0, 0];
        code.extend(distance.to_ne_bytes());
        [&code[..], &RETURN_ZERO].concat()
    };
    let load: [u8; 8] = [0x18, 1, 0, 0, 0, 0, 0, 0];
    let mut recursive = with_program(&call(-1));
    recursive.section("license", 3, *b"GPL\0");
    let mut external = with_program(&[&load[..], &[0; 8], &RETURN_ZERO].concat());
    let symbol = external.symbol("CONFIG_X", 0x10, 0, 0, 0);
    external.relocations(1, &[(0, symbol)]);
    let mut data = with_program(&[&load[..], &[0; 8], &RETURN_ZERO].concat());
    let license = data.section("license", 3, *b"GPL\0");
    let symbol = data.symbol("_license", OBJECT, license, 0, 4);
    data.relocations(1, &[(0, symbol)]);
    let mut plain = with_program(&RETURN_ZERO);
    let symbol = plain.symbol("x", 0x10, 0, 0, 0);
    plain.relocations(1, &[(0, symbol), (1 << 40, symbol)]);
    let mut long = ElfFile::default();
    let section = long.section("tc", CODE, RETURN_ZERO);
    long.symbol("f", FUNCTION, section, 0, 24);
    let mut deep = ElfFile::default();
    let section = deep.section("tc", CODE, call(2).repeat(3000));
    for n in 0..3000 {
        deep.symbol(
            &if n == 0 { "f".into() } else { format!("f{n}") },
            FUNCTION,
            section,
            n * 24,
            24,
        );
    }
    let cases: [(&str, ElfFile, &str); 11] = [
        ("no instructions", with_program(&[]), "it has no program"),
        ("half an instruction", with_program(&RETURN_ZERO[..12]), "\"f\": not whole instructions"),
        ("half a load", with_program(&load), "\"f\": ends within an instruction"),
        ("longer than its section", long, "\"f\": larger than its section"),
        ("recursion", recursive, "f: load program: "),
        (
            "a call into the middle",
            with_program(&call(0)),
            "calls an address in \"tc\" at which no function begins",
        ),
        (
            "a call far away",
            with_program(&call(i32::MIN)),
            "calls an address in \"tc\" at which no function begins",
        ),
        (
            "an external variable",
            external,
            "\"f\": refers to the external \"CONFIG_X\" (load it with bpftool prog load",
        ),
        (
            "the license",
            data,
            "\"f\": refers to \"license\", which is not a section of maps or variables",
        ),
        ("a relocation of a number", plain, "\"f\": refers to the external \"x\""),
        (
            "a call past the last function",
            deep,
            "calls an address in \"tc\" at which no function begins",
        ),
    ];
    for (what, file, cause) in cases {
        let run = exec_with(&lab, &file.build(), &["--prog", "x.o#f"]);
        assert_eq!((run.status, run.stderr.lines().count()), (125, 1), "{what}: {}", run.stderr);
        assert!(run.stderr.contains(cause), "{what}: {}", run.stderr);
    }
    // Without BTF and a license.
    let good = exec_with(&lab, &with_program(&RETURN_ZERO).build(), &["--prog", "x.o#f"]);
    assert_eq!((good.status, good.stderr.as_str()), (0, ""));
    // A section without a name for its program.
    let mut nameless = ElfFile::default();
    nameless.section("classifier", CODE, RETURN_ZERO);
    nameless.section("license", 3, [0xff; 5]);
    nameless.symbol("x", 0x10, 0, 0, 0);
    let good = exec_with(&lab, &nameless.build(), &["--prog", "x.o#classifier"]);
    assert_eq!((good.status, good.stderr.as_str()), (0, ""));
}
