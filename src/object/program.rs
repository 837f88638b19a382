//! The programs of an object: functions in sections of instructions.

use super::elf::{Elf, Symbol};
use super::error::ObjectError;
use super::section::section_type;
use crate::text::quote;
use object::elf::{SHT_PROGBITS, STT_FUNC, STT_NOTYPE};
use std::ops::Range;

/// A function that can be loaded as a program.
#[derive(Clone, Debug)]
pub struct Program {
    pub name: String,
    pub section: String,
    /// Bytes of instructions.
    pub size: u64,
    /// The type, by the section's name, as the kernel's name in lower case.
    pub program_type: Option<&'static str>,
    /// The place of its function in the file.
    pub(super) place: FunctionPlace,
}

/// The section and the offset of a function, which identify it.
pub type FunctionPlace = (usize, u64);

/// A function, or a section of instructions without a named function.
pub struct Function<'a> {
    pub name: &'a str,
    pub section: usize,
    /// Bytes from the start of its section.
    pub bytes: Range<u64>,
}

/// The section of functions that programs call.
const TEXT: &str = ".text";

/// All functions, by their places.
pub fn functions<'a>(elf: &Elf<'a>) -> Vec<Function<'a>> {
    let mut found = Vec::new();
    for (index, section) in elf.sections.iter().enumerate() {
        if section.section_type != SHT_PROGBITS || !section.is_code || section.size == 0 {
            continue;
        }
        let mut symbols: Vec<&Symbol> = elf.symbols_in(index).filter(|s| is_function(s)).collect();
        symbols.sort_by_key(|symbol| symbol.value);
        symbols.dedup_by_key(|symbol| symbol.value);
        for (at, symbol) in symbols.iter().enumerate() {
            // Old compilers omit the size: a function ends at the start of the next one.
            let next = symbols.get(at + 1).map_or(section.size, |next| next.value);
            let end = match symbol.size {
                0 => next,
                size => symbol.value.saturating_add(size),
            };
            let bytes = symbol.value..end;
            found.push(Function { name: symbol.name, section: index, bytes });
        }
        if symbols.is_empty() && section.name != TEXT {
            found.push(Function { name: section.name, section: index, bytes: 0..section.size });
        }
    }
    found
}

/// All programs; functions in `.text` are called by programs, unless there are no others.
pub fn programs(elf: &Elf) -> Vec<Program> {
    let program = |function: Function| {
        let section = elf.sections[function.section].name;
        Program {
            name: function.name.into(),
            section: section.into(),
            size: function.bytes.end.saturating_sub(function.bytes.start),
            program_type: section_type(section).map(|section| section.program_type),
            place: (function.section, function.bytes.start),
        }
    };
    let mut found: Vec<Program> = functions(elf).into_iter().map(program).collect();
    if found.iter().any(|program| program.section != TEXT) {
        found.retain(|program| program.section != TEXT);
    }
    found
}

/// The program that is a function of this name, or the only one in a section of this name; without
/// a name, the only one of all.
pub fn select<'p>(programs: &'p [Program], name: Option<&str>) -> Result<&'p Program, ObjectError> {
    let list = |programs: &[&Program]| {
        let names = programs.iter().map(|program| quote(program.name.as_bytes()));
        names.collect::<Vec<_>>().join(", ")
    };
    let named = |by: fn(&Program) -> &str| -> Vec<&Program> {
        programs.iter().filter(|program| name.is_none_or(|name| by(program) == name)).collect()
    };
    let mut found = named(|program| &program.name);
    if found.is_empty() {
        found = named(|program| &program.section);
    }
    let all: Vec<&Program> = programs.iter().collect();
    match (&found[..], name) {
        ([program], _) => Ok(program),
        ([], _) if all.is_empty() => Err(ObjectError::Program("it has no program".into())),
        ([], Some(name)) => Err(ObjectError::Program(format!(
            "it has no program {}; programs: {}",
            quote(name.as_bytes()),
            list(&all)
        ))),
        (several, Some(name)) => Err(ObjectError::Program(format!(
            "several programs are {}: {}",
            quote(name.as_bytes()),
            list(several)
        ))),
        (several, None) => Err(ObjectError::Program(format!(
            "it has several programs: FILE#NAME chooses one of {}",
            list(several)
        ))),
    }
}

/// Old compilers give functions no type, but then they are global, and labels are not.
fn is_function(symbol: &Symbol) -> bool {
    match symbol.symbol_type {
        STT_FUNC => !symbol.name.is_empty(),
        STT_NOTYPE => symbol.is_global && !symbol.name.is_empty(),
        _ => false,
    }
}
