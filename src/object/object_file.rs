//! An object file as a whole: the declarations in it, checked.

use super::declaration::Declaration;
use super::elf::{Elf, Section};
use super::error::ObjectError;
use super::program::{Program, programs};
use super::{btf_maps, data, legacy};
use bpf_layout::{Btf, BtfError, DataPlaces};
use std::collections::{BTreeMap, BTreeSet};

/// The declarations of an object file.
#[derive(Debug)]
pub struct Object {
    /// In the order of sections, and within a section in the order of offsets.
    pub maps: Vec<Declaration>,
    pub programs: Vec<Program>,
    /// BTF in the form that the kernel accepts; None if the file has no readable BTF.
    pub btf: Option<Vec<u8>>,
    /// Declarations that are omitted, in sentences.
    pub omitted: Vec<String>,
}

impl Object {
    /// Reads a file. `name` is the object's name, with which the names of its data sections begin.
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
        let programs = programs(&elf);
        Ok(Object { maps, programs, btf, omitted })
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

/// The offsets of variables, for BTF that has not been linked.
struct Places<'a> {
    sizes: BTreeMap<&'a str, u32>,
    variables: BTreeMap<(&'a str, &'a str), u32>,
    hidden: BTreeSet<&'a str>,
}

impl DataPlaces for Places<'_> {
    fn section_size(&self, section: &str) -> Option<u32> {
        self.sizes.get(section).copied()
    }

    fn variable_offset(&self, section: &str, variable: &str) -> Option<u32> {
        self.variables.get(&(section, variable)).copied()
    }

    fn is_hidden(&self, function: &str) -> bool {
        self.hidden.contains(function)
    }
}

fn complete(blob: &[u8], elf: &Elf) -> Result<Vec<u8>, BtfError> {
    let sized = |section: &Section| u32::try_from(section.size).ok();
    let sizes = elf.sections.iter().filter_map(|s| Some((s.name, sized(s)?))).collect();
    let global = elf.symbols.iter().filter(|symbol| symbol.is_global);
    let variables = global.filter_map(|symbol| {
        let section = elf.sections.get(symbol.section?)?;
        Some(((section.name, symbol.name), u32::try_from(symbol.value).ok()?))
    });
    let variables = variables.collect();
    let hidden = elf.symbols.iter().filter(|symbol| symbol.is_global && symbol.is_hidden);
    let hidden = hidden.map(|symbol| symbol.name).collect();
    Btf::parse(blob)?.complete(&Places { sizes, variables, hidden })
}
