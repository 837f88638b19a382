//! Maps that structs of numbers declare: the section `maps` of tc and of libbpf before 1.0, and the
//! sections `maps/NAME` of gobpf.
//!
//! All begin with type, key size, value size and number of entries. Flags follow, and in tc's
//! `struct bpf_elf_map` the id, the pinning, and the id and the index of an inner map. Fields
//! that a shorter struct lacks are 0, as for tc.

use super::declaration::{Declaration, InnerMap, Pinning, Slot};
use super::elf::{Elf, Section};
use super::error::ObjectError;
use bpf_inherit::MapType;
use bpf_layout::{Btf, Shape};
use object::elf::{STT_NOTYPE, STT_OBJECT};
use std::collections::BTreeMap;

/// The prefix of BPF_ANNOTATE_KV_PAIR before a map's name, for the struct of its key and value.
const ANNOTATION: &str = "____btf_map_";
/// The size of the shortest struct, and of tc's struct.
const SHORTEST: usize = 16;
const TC: usize = 36;
/// `inner_idx` of a map that is in no slot.
const NO_SLOT: u32 = u32::MAX;

/// The numbers of a struct.
struct Definition<'a> {
    name: &'a str,
    section: &'a str,
    words: [u32; 9],
}

/// All maps that structs declare.
pub fn maps(elf: &Elf, btf: Option<&Btf>) -> Result<Vec<Declaration>, ObjectError> {
    let (mut tc, mut named) = (Vec::new(), Vec::new());
    for (index, section) in elf.sections.iter().enumerate() {
        if section.name == "maps" && section.size > 0 {
            tc.extend(definitions(elf, index, section)?);
        } else if let Some(name) = section.name.strip_prefix("maps/")
            && !section.data.is_empty()
        {
            let words = words(section.data).map_err(|e| ObjectError::refused(section.name, e))?;
            named.push(Definition { name, section: section.name, words });
        }
    }
    let annotations = annotations(btf);
    let mut maps: Vec<_> = tc.iter().chain(&named).map(Definition::declaration).collect();
    for map in &mut maps {
        if let Some((key, value)) = annotations.get(map.name.as_str()) {
            (map.key_type, map.value_type) = (*key, *value);
        }
    }
    fill_slots(&tc, &mut maps)?;
    Ok(maps)
}

/// The structs in the section `maps`, each with the symbol at its offset.
fn definitions<'a>(
    elf: &Elf<'a>,
    index: usize,
    section: &Section<'a>,
) -> Result<Vec<Definition<'a>>, ObjectError> {
    let refused = |cause: &str| ObjectError::refused(section.name, cause);
    let mut symbols: Vec<_> = elf
        .symbols_in(index)
        .filter(|symbol| matches!(symbol.symbol_type, STT_NOTYPE | STT_OBJECT))
        .filter(|symbol| !symbol.name.is_empty())
        .collect();
    symbols.sort_by_key(|symbol| symbol.value);
    if symbols.is_empty() {
        return Err(refused("no map has a name"));
    }
    // Linkers drop symbols of duplicates and leave their bytes, but give sizes to the others.
    let sized = symbols.iter().all(|symbol| symbol.size > 0);
    let stride = section.data.len() as u64 / symbols.len() as u64;
    let mut found = Vec::new();
    for (symbol, at) in symbols.iter().zip(0..) {
        if !sized && symbol.value != at * stride {
            return Err(refused("maps of different sizes"));
        }
        let from = usize::try_from(symbol.value).unwrap_or(usize::MAX);
        let size = usize::try_from(if sized { symbol.size } else { stride }).unwrap_or(usize::MAX);
        let bytes = section.data.get(from..).and_then(|data| data.get(..size));
        let Some(bytes) = bytes else {
            return Err(ObjectError::refused(symbol.name, "larger than its section"));
        };
        let words = words(bytes).map_err(|e| ObjectError::refused(symbol.name, e))?;
        if bytes.iter().skip(TC).any(|byte| *byte != 0) {
            let cause = "unknown attributes after the first 36 bytes";
            return Err(ObjectError::refused(symbol.name, cause));
        }
        found.push(Definition { name: symbol.name, section: section.name, words });
    }
    Ok(found)
}

/// The numbers of a struct; numbers that it lacks are 0.
fn words(bytes: &[u8]) -> Result<[u32; 9], String> {
    if bytes.len() < SHORTEST || !bytes.len().is_multiple_of(4) {
        return Err(format!("{} bytes are not a map", bytes.len()));
    }
    let mut words = [0; 9];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    Ok(words)
}

impl Definition<'_> {
    fn declaration(&self) -> Declaration {
        let [map_type, key_size, value_size, max_entries, flags, id, pinning, ..] = self.words;
        // In a section `maps/NAME`, the fields after the flags have the meaning of gobpf.
        let tc = self.section == "maps";
        Declaration {
            name: self.name.into(),
            section: self.section.into(),
            map_type: MapType(map_type),
            key_size,
            value_size,
            max_entries,
            flags,
            pinning: if tc && pinning != 0 { Pinning::Tc(pinning) } else { Pinning::None },
            id: Some(id).filter(|id| tc && *id != 0),
            ..Declaration::default()
        }
    }

    fn inner_id(&self) -> u32 {
        self.words[7]
    }
}

/// Puts the maps that have an index into the maps of maps that name their id.
fn fill_slots(definitions: &[Definition], maps: &mut [Declaration]) -> Result<(), ObjectError> {
    let mut by_id: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (at, map) in maps.iter().enumerate() {
        by_id.entry(map.id.unwrap_or_default()).or_default().push(at);
    }
    for (at, definition) in definitions.iter().enumerate() {
        if !maps[at].map_type.holds_maps() {
            continue;
        }
        let inner: &[usize] = match definition.inner_id() {
            0 => &[],
            id => by_id.get(&id).map_or(&[], |found| found),
        };
        // The first with the id that can be an inner map itself.
        let usable = || inner.iter().copied().filter(|at| !maps[*at].map_type.holds_maps());
        let Some(first) = usable().next() else {
            return Err(ObjectError::refused(definition.name, "no inner map has its inner id"));
        };
        let slots = usable().filter_map(|inner| {
            let index = definitions.get(inner)?.words[8];
            (index != NO_SLOT).then_some((index, Slot::Map(inner)))
        });
        let slots = slots.collect();
        maps[at].slots = slots;
        maps[at].inner = Some(InnerMap::Map(first));
    }
    Ok(())
}

/// The type ids of key and value that annotations give, by the map's name.
fn annotations<'a>(btf: Option<&Btf<'a>>) -> BTreeMap<&'a str, (u32, u32)> {
    let mut found = BTreeMap::new();
    let Some(btf) = btf else { return found };
    for id in 1..=btf.len() {
        if let Some(name) = btf.name(id).and_then(|name| name.strip_prefix(ANNOTATION))
            && let Ok(Shape::Struct { members, .. }) = btf.shape(id)
            && let [key, value] = members[..]
            && (key.name, value.name) == ("key", "value")
        {
            found.insert(name, (key.type_id, value.type_id));
        }
    }
    found
}
