//! A linked program, and the types of its functions.

use super::elf::Elf;
use super::ext::Extension;
use super::instruction::{INSTRUCTION, RawInstruction};
use super::program::Function;
use bpf_layout::{Btf, CoreRelocation};
use std::ffi::CString;

/// A program in the form that the kernel loads, without the file descriptors of its maps.
#[derive(Debug)]
pub struct Linked {
    pub instructions: Vec<RawInstruction>,
    /// The instructions that refer to maps of the object, with the positions of the maps.
    pub maps: Vec<(usize, usize)>,
    /// The instructions that depend on types of the kernel.
    pub core: Vec<(usize, CoreRelocation)>,
    pub license: CString,
    /// `struct bpf_func_info`, for all functions or none.
    pub functions: Vec<[u32; 2]>,
    /// `struct bpf_line_info`, for all functions or none.
    pub lines: Vec<[u32; 4]>,
}

impl Linked {
    /// Adds the types, lines and relocations of a function whose first instruction is now `start`.
    pub fn add_types(
        &mut self,
        elf: &Elf,
        function: &Function,
        start: usize,
        extension: &Extension,
        btf: Option<&Btf>,
    ) {
        let section = elf.sections[function.section].name;
        let bytes = &function.bytes;
        let (from, to) = (clamp(bytes.start), clamp(bytes.end));
        let moved = |offset: u32| (offset - from) / INSTRUCTION as u32 + start as u32;
        if let Some(id) = extension.function_type(section, from) {
            self.functions.push([start as u32, id]);
        }
        let lines = extension.lines(section, from, to);
        self.lines.extend(lines.map(|[offset, rest @ ..]| {
            let [file, text, place] = rest;
            [moved(offset), file, text, place]
        }));
        for [offset, type_id, access, kind] in extension.core(section, from, to) {
            let access = btf.map_or("", |btf| btf.string_at(access)).to_owned();
            let relocation = CoreRelocation { type_id, access, kind };
            self.core.push((moved(offset) as usize, relocation));
        }
    }

    /// Drops types if a function has none, and lines if a function does not begin with one: the kernel
    /// refuses both.
    pub fn drop_partial_types(&mut self, functions: usize) {
        if self.functions.len() != functions {
            self.functions.clear();
        }
        let begins =
            |[start, _]: &[u32; 2]| self.lines.binary_search_by_key(start, |line| line[0]).is_ok();
        if self.functions.is_empty() || !self.functions.iter().all(begins) {
            self.lines.clear();
        }
    }
}

fn clamp(offset: u64) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}
