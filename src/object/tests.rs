//! Real objects, and real objects with damage.

use super::{Declaration, InnerMap, Linked, Object, Pinning, Slot, link, select};
use bpf_layout::Btf;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/fixtures/", $name, ".bpf.o"))
    };
}

const DECLARED: &[u8] = fixture!("declared");
const LEGACY: &[u8] = fixture!("legacy");
const SECTIONS: &[u8] = fixture!("sections");
const PROGRAMS: &[u8] = fixture!("programs");
const REFUSED: &[u8] = fixture!("refused");

/// A map in a line: name, type, sizes, entries, flags, layout.
fn line(map: &Declaration, btf: &Btf) -> String {
    let layout = map.layout(btf).map_or("untyped".into(), |layout| layout.to_string());
    let Declaration { name, map_type, key_size, value_size, max_entries, flags, .. } = map;
    format!("{name} {map_type} {key_size} {value_size} {max_entries} {flags:#x} {layout}")
}

fn lines(object: &Object) -> Vec<String> {
    let btf = Btf::parse(object.btf.as_deref().expect("a fixture has BTF")).expect("completed");
    object.maps.iter().map(|map| line(map, &btf)).collect()
}

fn map<'o>(object: &'o Object, name: &str) -> &'o Declaration {
    object.maps.iter().find(|map| map.name == name).expect(name)
}

#[test]
fn btf_maps_have_every_attribute() {
    let object = Object::parse(DECLARED, "declared").expect("clang's own");
    let counters = "struct{packets: u64, bytes: u64}";
    let verdict = "enum{DROP, PASS, REDIRECT=7}";
    let want = [
        "first array 4 8 2 0x0 u32 -> u64".to_owned(),
        "second array 4 8 2 0x0 u32 -> u64".into(),
        format!(
            "flows hash 12 16 64 0x1 struct{{source: be32, destination: be32, port: be16, \
             protocol: u8, pad: u8}} -> {counters}"
        ),
        format!("per_protocol_statistics percpu_array 4 16 4 0x0 u32 -> {counters}"),
        "sizes_only array 4 12 8 0x0 untyped".into(),
        format!("verdicts array 4 4 8 0x404 u32 -> {verdict}"),
        "seen bloom_filter 0 4 100 0x0 -> u32".into(),
        "blocked lpm_trie 8 1 16 0x1 lpm{ip4} -> u8".into(),
        "events perf_event_array 4 4 0 0x0 u32 -> u32".into(),
        "stacks stack_trace 4 1016 16 0x0 u32 -> u64[127]".into(),
        "waiting queue 0 8 16 0x0 -> u64".into(),
        "records ringbuf 0 0 5000 0x0 untyped".into(),
        format!("tasks task_storage 4 16 0 0x1 i32 -> {counters}"),
        "tables array_of_maps 4 4 4 0x0 untyped".into(),
        "rooms hash_of_maps 4 4 4 0x0 untyped".into(),
        "declared.bss array 4 12 1 0x400 u32 -> packed struct{hits: u64, last: u32}".into(),
        "declared.data array 4 4 1 0x400 u32 -> struct{level: i32}".into(),
        format!(".data.totals array 4 16 1 0x400 u32 -> struct{{total: {counters}}}"),
        format!(
            "declared.rodata array 4 20 1 0x480 u32 -> struct{{enabled: bool, mode: char[8], \
             config: struct{{limit: u32, otherwise: {verdict}}}}}"
        ),
    ];
    let mut found = lines(&object);
    found.sort_unstable();
    let mut want = want.to_vec();
    want.sort_unstable();
    assert_eq!(found, want);
    assert_eq!(map(&object, "seen").extra, 3);

    let place = |name: &str| object.maps.iter().position(|map| map.name == name);
    let tables = map(&object, "tables");
    let slots = [(1, place("second")), (3, place("first"))];
    let slots = slots.map(|(slot, map)| (slot, Slot::Map(map.expect("declared"))));
    assert_eq!(tables.slots, slots);
    let Some(InnerMap::Definition(inner)) = &map(&object, "rooms").inner else { panic!() };
    assert_eq!((&*inner.name, inner.max_entries, inner.value_size), ("rooms.inner", 8, 4));

    let rodata = map(&object, "declared.rodata").data.as_ref().expect("variables");
    let bytes = rodata.bytes.as_deref().expect("filled");
    assert_eq!((rodata.read_only, &bytes[..9]), (true, &b"\x01fast\0\0\0\0"[..]));
    assert_eq!(map(&object, "declared.bss").data.as_ref().expect("variables").bytes, None);

    let programs: Vec<_> = object
        .programs
        .iter()
        .map(|p| (&*p.name, &*p.section, p.program_type, p.size % 8))
        .collect();
    let want = [("counted", "tc", Some("sched_cls"), 0), ("passed", "xdp", Some("xdp"), 0)];
    assert_eq!(programs, want);
}

#[test]
fn tc_maps_have_ids_pinning_and_inner_maps() {
    let object = Object::parse(LEGACY, "legacy").expect("clang's own");
    let want = [
        "shared hash 4 8 16 0x0 u32 -> struct{left: u32, right: u32}",
        "own array 4 4 2 0x0 untyped",
        "inner array 4 4 1 0x0 untyped",
        "outer array_of_maps 4 4 4 0x0 untyped",
    ];
    assert_eq!(lines(&object), want);
    let declared: Vec<_> = object.maps.iter().map(|map| (map.id, map.pinning)).collect();
    let want = [
        (Some(7), Pinning::Tc(2)),
        (Some(3), Pinning::Tc(1)),
        (Some(42), Pinning::None),
        (None, Pinning::None),
    ];
    assert_eq!(declared, want);
    let outer = map(&object, "outer");
    assert!(matches!(outer.inner, Some(InnerMap::Map(2))));
    assert_eq!(outer.slots, [(1, Slot::Map(2))]);
}

#[test]
fn short_structs_and_sections_for_each_map_are_read() {
    let object = Object::parse(SECTIONS, "sections").expect("clang's own");
    let want = [
        "hashed hash 4 8 16 0x1 untyped",
        "listed array 4 4 2 0x0 untyped",
        "tcp_event array 4 16 3 0x0 untyped",
    ];
    assert_eq!(lines(&object), want);
    assert!(object.maps.iter().all(|map| map.id.is_none() && map.pinning == Pinning::None));
}

/// A number in a file, of `N` bytes.
fn number<const N: usize>(file: &[u8], at: usize) -> usize {
    let mut bytes = [0; 8];
    bytes[..N].copy_from_slice(&file[at..at + N]);
    u64::from_le_bytes(bytes) as usize
}

/// Where the header of the section `name` is.
fn header(file: &[u8], name: &str) -> usize {
    let (table, strings) = (number::<8>(file, 0x28), number::<2>(file, 0x3e));
    let names = number::<8>(file, table + strings * 64 + 24);
    let sections = (0..number::<2>(file, 0x3c)).map(|index| table + index * 64);
    let named = |at: &usize| {
        let from = names + number::<4>(file, *at);
        file[from..].starts_with(format!("{name}\0").as_bytes())
    };
    sections.into_iter().find(named).expect(name)
}

/// A change of a file, and the error that it causes.
type Damage = (fn(&mut Vec<u8>), &'static str);

#[test]
fn damaged_objects_are_refused_with_one_line() {
    fn maps(file: &mut [u8]) -> usize {
        number::<8>(file, header(file, "maps") + 24)
    }
    let table: [Damage; 12] = [
        (|file| file.clear(), "not an ELF file"),
        (|file| file[4] = 1, "a 32-bit ELF file: BPF objects have 64 bits"),
        (|file| file[5] = 2, "compiled for big-endian machines, unlike this machine"),
        (|file| file[5] = 3, "malformed ELF file: unknown byte order"),
        (|file| file[18] = 62, "an ELF file of another machine (62), not of BPF"),
        (
            |file| file[16] = 2,
            "an ELF file that is not relocatable: an object file of BPF programs is needed",
        ),
        (
            |file| {
                let at = header(file, "license");
                file[at + 24..at + 32].fill(0x7f);
            },
            "malformed ELF file: invalid ELF section size or offset",
        ),
        (
            |file| {
                let at = header(file, "maps");
                file[at + 32] -= 2;
            },
            "\"outer\": larger than its section",
        ),
        (
            |file| {
                let at = header(file, "maps");
                file[at + 32] = 40;
            },
            "\"own\": larger than its section",
        ),
        (
            |file| {
                let at = maps(file) + 3 * 36 + 28;
                file[at] = 9;
            },
            "\"outer\": no inner map has its inner id",
        ),
        (
            |file| {
                let at = number::<8>(file, header(file, ".BTF") + 24);
                file[at] = 0;
            },
            "",
        ),
        (
            |file| {
                let at = header(file, ".strtab");
                let strings = number::<8>(file, at + 24);
                let size = number::<8>(file, at + 32);
                let name = file[strings..strings + size].windows(7).position(|w| w == b"\0outer\0");
                let name = strings + name.expect("a symbol");
                file[name + 1..name + 6].copy_from_slice(b"inner");
            },
            "\"inner\": two maps have this name",
        ),
    ];
    for (damage, want) in table {
        let mut file = LEGACY.to_vec();
        damage(&mut file);
        let refused = Object::parse(&file, "legacy").map_err(|error| error.to_string());
        match want {
            // Legacy maps do without BTF.
            "" => assert_eq!(
                refused.expect("legacy maps").omitted,
                ["types: not btf in this machine's byte order: magic 0xeb00"]
            ),
            want => assert_eq!(refused.expect_err(want), want),
        }
    }
}

#[test]
fn objects_of_any_damage_are_read_or_refused() {
    let kernel = Object::parse(PROGRAMS, "kernel").expect("clang's own").btf.expect("types");
    let kernel = Btf::parse(&kernel).expect("completed");
    for file in [DECLARED, LEGACY, SECTIONS, PROGRAMS, REFUSED] {
        for len in (0..file.len()).step_by(64) {
            // The section headers are at the end.
            Object::parse(&file[..len], "x").expect_err("truncated");
        }
        let mut random = 1u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        for _ in 0..1000 {
            let mut damaged = file.to_vec();
            for _ in 0..=next(4) {
                let at = next(damaged.len());
                damaged[at] = [0, 1, 0x7f, 0xff, next(256) as u8][next(5)];
            }
            let linked = Object::parse(&damaged, "x").and_then(|object| {
                object.programs.iter().try_for_each(|program| {
                    let mut linked = link(&damaged, &object, program)?;
                    let own = object.btf.as_deref().map(Btf::parse).transpose()?;
                    own.map_or(Ok(()), |own| linked.relocate(&own, &kernel))
                })
            });
            if let Err(error) = linked {
                assert!(!error.to_string().contains('\n'), "{error}");
            }
        }
    }
}

#[test]
fn functions_without_a_type_are_programs_if_they_are_global() {
    let mut file = LEGACY.to_vec();
    let at = header(&file, ".symtab");
    let (symbols, size) = (number::<8>(&file, at + 24), number::<8>(&file, at + 32));
    for symbol in (symbols..symbols + size).step_by(24) {
        // STB_GLOBAL and STT_FUNC become STT_NOTYPE, without a size.
        if file[symbol + 4] == 0x12 {
            file[symbol + 4] = 0x10;
            file[symbol + 16..symbol + 24].fill(0);
        }
    }
    let object = Object::parse(&file, "legacy").expect("as of an old compiler");
    let programs: Vec<_> = object.programs.iter().map(|p| (&*p.name, p.size)).collect();
    assert_eq!(programs, [("counted", 104)]);
}

/// A program of a fixture, linked.
fn linked(file: &[u8], name: &str) -> Result<Linked, String> {
    let object = Object::parse(file, "x").expect("clang's own");
    let program = select(&object.programs, Some(name)).map_err(|error| error.to_string())?;
    link(file, &object, program).map_err(|error| error.to_string())
}

#[test]
fn program_is_linked_with_the_functions_that_it_calls() {
    let object = Object::parse(PROGRAMS, "programs").expect("clang's own");
    let uses = linked(PROGRAMS, "uses").expect("linked");
    let mut maps: Vec<_> =
        uses.maps.iter().map(|(_, map)| object.maps[*map].name.as_str()).collect();
    maps.sort_unstable();
    maps.dedup();
    let want = ["filled", "marks", "programs.bss", "programs.data", "programs.rodata"];
    assert_eq!(maps, want);
    // The program, add, twice, hidden and each, with types and lines for all.
    assert_eq!(
        (uses.functions.len(), uses.functions[0][0], uses.license.to_str()),
        (5, 0, Ok("GPL"))
    );
    assert!(uses.functions.iter().all(|[at, _]| uses.lines.iter().any(|line| line[0] == *at)));
    assert!(uses.core.is_empty());
    let chosen = linked(PROGRAMS, "chosen").expect("linked");
    assert!(chosen.instructions.len() < uses.instructions.len() && chosen.functions.len() == 1);
    assert!(linked(PROGRAMS, "reads").expect("linked").core.len() >= 10);
}

#[test]
fn programs_are_chosen_by_function_else_by_section() {
    for (name, want) in [
        ("reads", Ok("reads")),
        ("raw_tp/sys_enter", Ok("reads")),
        ("tc", Err("several programs are \"tc\": \"chosen\", \"uses\"")),
        ("no\n", Err("it has no program \"no\\n\"; programs: \"chosen\", \"uses\", \"reads\"")),
    ] {
        let object = Object::parse(PROGRAMS, "programs").expect("clang's own");
        let found = select(&object.programs, Some(name)).map(|program| program.name.as_str());
        assert_eq!(found.map_err(|error| error.to_string()), want.map_err(String::from), "{name}");
    }
    let object = Object::parse(LEGACY, "legacy").expect("clang's own");
    assert_eq!(select(&object.programs, None).expect("the only one").name, "counted");
}

#[test]
fn external_declarations_are_refused_by_name() {
    let error = linked(fixture!("awkward"), "known").expect_err("a kfunc");
    let want = "\"known\": refers to the external \"bpf_rcu_read_lock\" \
                (load it with bpftool prog load, and use its pin)";
    assert_eq!(error, want);
    linked(fixture!("awkward"), "unknown").expect("it refers to none");
}
