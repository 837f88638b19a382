//! Links a program: its function, followed by all functions that it calls, with the references to maps
//! and variables resolved.

use super::elf::{Elf, Relocation, Symbol};
use super::error::ObjectError;
use super::ext::Extension;
use super::instruction::{INSTRUCTION, RawInstruction};
use super::linked::Linked;
use super::object_file::Object;
use super::program::{Function, Program, functions};
use crate::text::quote;
use aya_obj::generated::{
    BPF_PSEUDO_CALL, BPF_PSEUDO_FUNC, BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE,
};
use bpf_layout::Btf;
use object::elf::STT_SECTION;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::CString;

/// More than the kernel verifies, but limited, so that a hostile file cannot fill the memory.
const MAX_INSTRUCTIONS: usize = 1 << 20;
/// The way to load a program that is refused here.
const HINT: &str = "load it with bpftool prog load, and use its pin";

/// Links a program of `object`, which was read from `file`.
pub fn link(file: &[u8], object: &Object, program: &Program) -> Result<Linked, ObjectError> {
    let elf = Elf::parse(file)?;
    let btf = object.btf.as_deref().map(Btf::parse).transpose()?;
    let extension = match (elf.section(".BTF.ext"), &btf) {
        (Some((_, section)), Some(btf)) => Extension::parse(section.data, btf)?,
        _ => Extension::default(),
    };
    let functions = functions(&elf);
    let place = |function: &Function| (function.section, function.bytes.start);
    let by_place = functions.iter().enumerate().map(|(index, f)| (place(f), index)).collect();
    let mut relocations: BTreeMap<(usize, u64), &Relocation> = BTreeMap::new();
    for (section, list) in &elf.relocations {
        relocations
            .extend(list.iter().map(|relocation| ((*section, relocation.offset), relocation)));
    }
    let license = elf.section("license").map_or(&[][..], |(_, section)| section.data);
    let license = license.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut linker = Linker {
        elf: &elf,
        object,
        functions: &functions,
        by_place,
        relocations,
        starts: BTreeMap::new(),
        unlinked: VecDeque::new(),
        code: Vec::new(),
        calls: Vec::new(),
        maps: Vec::new(),
    };
    let order = linker.link(program.place)?;
    let mut linked = Linked {
        instructions: linker.code,
        maps: linker.maps,
        core: Vec::new(),
        license: CString::new(license).unwrap_or_default(),
        functions: Vec::new(),
        lines: Vec::new(),
    };
    for (index, start) in order {
        linked.add_types(&elf, &functions[index], start, &extension, btf.as_ref());
    }
    linked.drop_partial_types(linker.starts.len());
    Ok(linked)
}

struct Linker<'e, 'a> {
    elf: &'e Elf<'a>,
    object: &'e Object,
    functions: &'e [Function<'a>],
    /// By section and offset.
    by_place: BTreeMap<(usize, u64), usize>,
    relocations: BTreeMap<(usize, u64), &'e Relocation>,
    /// The first instruction of each function that is linked.
    starts: BTreeMap<usize, usize>,
    /// Called functions that are not linked yet.
    unlinked: VecDeque<usize>,
    code: Vec<RawInstruction>,
    /// Instructions that refer to a function by its distance, and the function.
    calls: Vec<(usize, usize)>,
    maps: Vec<(usize, usize)>,
}

impl Linker<'_, '_> {
    /// Links the function at a place, and all functions that it calls. Returns the functions, each with
    /// its first instruction.
    fn link(&mut self, place: (usize, u64)) -> Result<Vec<(usize, usize)>, ObjectError> {
        let main = self.by_place.get(&place).copied();
        let main = main.ok_or_else(|| {
            ObjectError::Elf("a program that is not a function of the file".into())
        })?;
        let mut order = Vec::new();
        self.unlinked.push_back(main);
        while let Some(index) = self.unlinked.pop_front() {
            if self.starts.contains_key(&index) {
                continue;
            }
            let start = self.code.len();
            self.starts.insert(index, start);
            order.push((index, start));
            self.append(&self.functions[index], start)?;
        }
        for (at, function) in std::mem::take(&mut self.calls) {
            let distance = self.starts[&function] as i64 - at as i64 - 1;
            // Both are below MAX_INSTRUCTIONS.
            self.code[at].set_immediate(distance as i32);
        }
        Ok(order)
    }

    /// Appends a function, and resolves its references.
    fn append(&mut self, function: &Function, start: usize) -> Result<(), ObjectError> {
        let refused = |cause: &str| ObjectError::refused(function.name, cause);
        let section = &self.elf.sections[function.section];
        let range = usize::try_from(function.bytes.start)
            .ok()
            .zip(usize::try_from(function.bytes.end).ok());
        let bytes = range.and_then(|(start, end)| section.data.get(start..end));
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
            return Err(refused("larger than its section"));
        };
        if !bytes.len().is_multiple_of(INSTRUCTION as usize)
            || !function.bytes.start.is_multiple_of(INSTRUCTION)
        {
            return Err(refused("not whole instructions"));
        }
        self.code.extend(RawInstruction::all(bytes));
        if self.code.len() > MAX_INSTRUCTIONS {
            return Err(refused("more instructions than the kernel verifies"));
        }
        let mut at = start;
        while at < self.code.len() {
            let wide = self.code[at].is_wide_load();
            if wide && at + 1 == self.code.len() {
                return Err(refused("ends within an instruction"));
            }
            let offset = function.bytes.start + (at - start) as u64 * INSTRUCTION;
            let relocation = self.relocations.get(&(function.section, offset)).copied();
            self.resolve(at, function, offset, relocation)
                .map_err(|cause| ObjectError::refused(function.name, cause))?;
            at += if wide { 2 } else { 1 };
        }
        Ok(())
    }

    /// Resolves the reference of the instruction `at`, if it has one; `offset` is its position in the
    /// section of its function.
    fn resolve(
        &mut self,
        at: usize,
        function: &Function,
        offset: u64,
        relocation: Option<&Relocation>,
    ) -> Result<(), String> {
        let instruction = self.code[at];
        let source = u32::from(instruction.source());
        let calls = instruction.is_call() && source == BPF_PSEUDO_CALL;
        let Some(relocation) = relocation else {
            // Within a section, compilers fill in the distance.
            if calls || instruction.is_wide_load() && source == BPF_PSEUDO_FUNC {
                let distance = (i64::from(instruction.immediate()) + 1) * INSTRUCTION as i64;
                let target = offset.checked_add_signed(distance);
                return self.call(at, function.section, target);
            }
            return Ok(());
        };
        let symbol = &self.elf.symbols[relocation.symbol];
        let Some(section) = symbol.section else {
            return Err(format!(
                "refers to the external {} ({HINT})",
                quote(symbol.name.as_bytes())
            ));
        };
        if instruction.is_call() {
            if !calls {
                return Err(format!("calls {} in an unknown way", quote(symbol.name.as_bytes())));
            }
            // The symbol is that of the function, or of its section.
            let distance = (i64::from(instruction.immediate()) + 1) * INSTRUCTION as i64;
            return self.call(at, section, symbol.value.checked_add_signed(distance));
        }
        if !instruction.is_wide_load() {
            return Err("a relocation of an instruction that has no address".into());
        }
        if self.elf.sections[section].is_code {
            self.code[at].set_source(BPF_PSEUDO_FUNC as u8);
            let target = symbol.value.checked_add_signed(instruction.immediate().into());
            return self.call(at, section, target);
        }
        self.refer(at, section, symbol)
    }

    fn call(&mut self, at: usize, section: usize, target: Option<u64>) -> Result<(), String> {
        let function = target.and_then(|target| self.by_place.get(&(section, target)).copied());
        let Some(function) = function else {
            let section = quote(self.elf.sections[section].name.as_bytes());
            return Err(format!("calls an address in {section} at which no function begins"));
        };
        self.calls.push((at, function));
        self.unlinked.push_back(function);
        Ok(())
    }

    /// Resolves the load of the address of a map, or of a variable in a map.
    fn refer(&mut self, at: usize, section: usize, symbol: &Symbol) -> Result<(), String> {
        let name = self.elf.sections[section].name;
        let immediate = self.code[at].immediate();
        let maps = self.object.maps.iter().enumerate().filter(|(_, map)| map.section == name);
        let mut maps: Vec<_> = maps.collect();
        if let [(index, map)] = maps[..]
            && map.data.is_some()
        {
            let offset = symbol.value.checked_add_signed(immediate.into());
            let offset = offset.and_then(|offset| i32::try_from(offset).ok());
            let offset = offset.ok_or_else(|| {
                format!("refers to an address outside of {}", quote(name.as_bytes()))
            })?;
            self.code[at].set_source(BPF_PSEUDO_MAP_VALUE as u8);
            self.code[at].set_immediate(0);
            self.code[at + 1].set_immediate(offset);
            self.maps.push((at, index));
            return Ok(());
        }
        // A symbol without a name is the symbol of the section: the instruction contains the offset.
        let named = match symbol.symbol_type {
            STT_SECTION => {
                let is_there = |other: &&Symbol| Some(other.value) == u64::try_from(immediate).ok();
                self.elf.symbols_in(section).find(is_there).map_or("", |symbol| symbol.name)
            }
            _ => symbol.name,
        };
        maps.retain(|(_, map)| map.name == named || map.section == format!("maps/{}", map.name));
        let Some((index, _)) = maps.first() else {
            let name = quote(name.as_bytes());
            return Err(format!("refers to {name}, which is not a section of maps or variables"));
        };
        self.code[at].set_source(BPF_PSEUDO_MAP_FD as u8);
        self.code[at].set_immediate(0);
        self.code[at + 1].set_immediate(0);
        self.maps.push((at, *index));
        Ok(())
    }
}
