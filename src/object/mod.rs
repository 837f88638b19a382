//! Object files of BPF programs: the maps that they declare, and their programs. Pure: it reads
//! bytes, and refuses files that are inconsistent.

mod btf_maps;
mod data;
mod elf;
mod legacy;
mod program;

pub use data::Data;
pub use program::Program;

use crate::text::quote;
use bpf_inherit::MapType;
use bpf_inherit::map_type::Size;
use bpf_layout::{Btf, BtfError, DataPlaces, Layout, Type, to_lpm_key};
use elf::Elf;
use std::collections::{BTreeMap, BTreeSet};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("not an ELF file")]
    NotElf,
    #[error("a 32-bit ELF file: BPF objects have 64 bits")]
    Narrow,
    #[error("compiled for {0}-endian machines, which this one is not")]
    ByteOrder(&'static str),
    #[error("an ELF file of another machine ({0}), not of BPF")]
    Machine(u16),
    #[error("an ELF file that is not relocatable: an object file of BPF programs is needed")]
    NotRelocatable,
    #[error("malformed ELF file: {0}")]
    Elf(String),
    #[error("{0}")]
    Btf(#[from] BtfError),
    #[error("maps in .maps, but no BTF that declares them")]
    NoBtf,
    /// The section or map, quoted, and what is wrong with it.
    #[error("{0}: {1}")]
    Refused(String, String),
}

impl From<object::Error> for ObjectError {
    fn from(error: object::Error) -> ObjectError {
        let mut text = error.to_string();
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        ObjectError::Elf(text)
    }
}

impl ObjectError {
    fn refused(name: &str, cause: impl Into<String>) -> ObjectError {
        ObjectError::Refused(quote(name.as_bytes()), cause.into())
    }
}

/// What an object file declares.
#[derive(Debug)]
pub struct Object {
    /// In the order of sections, and in each of them in the order of places.
    pub maps: Vec<Declaration>,
    pub programs: Vec<Program>,
    /// BTF as the kernel takes it; None if the file has none that can be read.
    pub btf: Option<Vec<u8>>,
    /// What the file declares and what is left out, in sentences.
    pub omitted: Vec<String>,
}

/// A map as an object file declares it.
#[derive(Debug, Default)]
pub struct Declaration {
    pub name: String,
    pub section: String,
    pub map_type: MapType,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: u32,
    pub numa_node: u32,
    pub extra: u64,
    /// The type ids of key and value in the object's BTF; 0 for none.
    pub key_type: u32,
    pub value_type: u32,
    pub pinning: Pinning,
    /// The id that tc's loader exports the map with.
    pub id: Option<u32>,
    /// The map that the inner maps of a map of maps are like.
    pub inner: Option<Inner>,
    /// What the slots of a map of maps or programs contain at first.
    pub slots: Vec<(u32, Slot)>,
    /// The variables of a data section; None for other maps.
    pub data: Option<Data>,
}

/// Where a declaration asks for the map to be pinned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pinning {
    #[default]
    None,
    /// Below the root of the bpf file system, as libbpf does.
    Name,
    /// As tc does: 1 for the object's own directory, 2 for the global one, others by configuration.
    Tc(u32),
}

/// The map that inner maps are like.
#[derive(Debug)]
pub enum Inner {
    Definition(Box<Declaration>),
    /// Another map of the object, by its place.
    Map(usize),
}

/// What a slot contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A map of the object, by its place.
    Map(usize),
    /// A program, by its name.
    Program(String),
}

impl Object {
    /// Reads a file. `name` is the object's name, with which those of its data sections begin.
    pub fn parse(file: &[u8], name: &str) -> Result<Object, ObjectError> {
        let elf = Elf::parse(file)?;
        let mut omitted = Vec::new();
        let btf = match elf.section(".BTF") {
            None => None,
            Some((_, section)) => match complete(section.data, &elf) {
                Ok(blob) => Some(blob),
                Err(error) if elf.section(".maps").is_some() => return Err(error.into()),
                Err(error) => {
                    omitted.push(format!("types: {error}"));
                    None
                }
            },
        };
        let types = btf.as_deref().map(Btf::parse).transpose()?;
        let mut maps = legacy::maps(&elf, types.as_ref())?;
        btf_maps::read(&elf, types.as_ref(), &mut maps)?;
        maps.iter_mut().for_each(Declaration::settle_sizes);
        check_names(&maps)?;
        data::maps(&elf, types.as_ref(), name, &mut maps)?;
        omitted.extend(left_out(&elf));
        let programs = program::programs(&elf);
        Ok(Object { maps, programs, btf, omitted })
    }
}

impl Declaration {
    /// Fills in sizes that loaders know, and drops those that the type does not have: some objects
    /// declare the records of a ring buffer, or of perf events, as its values.
    fn settle_sizes(&mut self) {
        let settle = |size: &mut u32, of_type| match of_type {
            Size::Zero => *size = 0,
            Size::Default(bytes) if *size == 0 => *size = bytes,
            Size::Default(_) | Size::Given => {}
        };
        if let Some([key, value]) = self.map_type.entry_sizes() {
            settle(&mut self.key_size, key);
            settle(&mut self.value_size, value);
        }
        if self.map_type == MapType::PERF_EVENT_ARRAY {
            self.value_size = 4;
        }
        if let Some(Inner::Definition(inner)) = &mut self.inner {
            inner.settle_sizes();
        }
    }

    /// The layout of key and value, if BTF has both.
    pub fn layout(&self, btf: &Btf) -> Option<Layout> {
        let value = btf.layout(self.value_type).ok()?;
        let key = match self.key_size {
            0 => None,
            size if self.key_type == 0 => Some(Type::of_size(size)),
            _ => Some(btf.layout(self.key_type).ok()?),
        };
        let key = if self.map_type == MapType::LPM_TRIE { key.map(to_lpm_key) } else { key };
        let fits = key.as_ref().map_or(0, Type::size) == self.key_size as usize
            && value.size() == self.value_size as usize;
        fits.then_some(Layout { key, value })
    }
}

fn check_names(maps: &[Declaration]) -> Result<(), ObjectError> {
    let mut names = BTreeSet::new();
    match maps.iter().find(|map| !names.insert(&map.name)) {
        Some(map) => Err(ObjectError::refused(&map.name, "two maps have this name")),
        None => Ok(()),
    }
}

/// The parts of a file that are of use only with its programs.
fn left_out(elf: &Elf) -> Vec<String> {
    let has = |name: &str| elf.section(name).is_some_and(|(_, section)| section.size > 0);
    let mut found = Vec::new();
    let operations = [".struct_ops", ".struct_ops.link", "?.struct_ops", "?.struct_ops.link"];
    if operations.into_iter().any(has) {
        found.push("maps of struct_ops: they are created with their programs".into());
    }
    if has(".addr_space.1") {
        found.push("variables in an arena: they are stored with its programs".into());
    }
    found
}

/// The places of variables, for BTF that has not been linked.
struct Places<'a> {
    sizes: BTreeMap<&'a str, u32>,
    variables: BTreeMap<(&'a str, &'a str), u32>,
}

impl DataPlaces for Places<'_> {
    fn section_size(&self, section: &str) -> Option<u32> {
        self.sizes.get(section).copied()
    }

    fn variable_offset(&self, section: &str, variable: &str) -> Option<u32> {
        self.variables.get(&(section, variable)).copied()
    }
}

fn complete(blob: &[u8], elf: &Elf) -> Result<Vec<u8>, BtfError> {
    let sized = |section: &elf::Section| u32::try_from(section.size).ok();
    let sizes = elf.sections.iter().filter_map(|s| Some((s.name, sized(s)?))).collect();
    let global = elf.symbols.iter().filter(|symbol| symbol.is_global);
    let variables = global.filter_map(|symbol| {
        let section = elf.sections.get(symbol.section?)?;
        Some(((section.name, symbol.name), u32::try_from(symbol.value).ok()?))
    });
    let variables = variables.collect();
    Btf::parse(blob)?.complete(&Places { sizes, variables })
}

#[cfg(test)]
mod tests;
