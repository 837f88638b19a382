//! The sections and symbols of an ELF file of BPF programs, of this machine's byte order.

use super::error::ObjectError;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, Rel, SectionHeader, Sym};
use object::{NativeEndian, SectionIndex, SymbolIndex};

/// A section. Its position in the file is its index, which symbols refer to.
pub struct Section<'a> {
    pub name: &'a str,
    /// `SHT_*`.
    pub section_type: u32,
    /// Whether it contains instructions.
    pub is_code: bool,
    /// Bytes that it takes in memory.
    pub size: u64,
    /// Empty for a section that takes no bytes in the file.
    pub data: &'a [u8],
}

/// A named symbol.
pub struct Symbol<'a> {
    pub name: &'a str,
    /// The index of its section, if it is in one.
    pub section: Option<usize>,
    /// Bytes from the start of its section.
    pub value: u64,
    pub size: u64,
    /// `STT_*`.
    pub symbol_type: u8,
    /// Whether other files can refer to it.
    pub is_global: bool,
    /// Whether a linker hides a global symbol from other programs.
    pub is_hidden: bool,
}

/// A reference in a section to a symbol.
pub struct Relocation {
    /// Bytes from the start of the section that refers.
    pub offset: u64,
    /// The index among the symbols.
    pub symbol: usize,
}

/// An ELF file, with everything in it checked to be inside of the file.
pub struct Elf<'a> {
    pub sections: Vec<Section<'a>>,
    pub symbols: Vec<Symbol<'a>>,
    /// For each section that has some, its index and its relocations.
    pub relocations: Vec<(usize, Vec<Relocation>)>,
}

impl<'a> Elf<'a> {
    pub fn parse(data: &'a [u8]) -> Result<Elf<'a>, ObjectError> {
        check_identity(data)?;
        let e = NativeEndian;
        let header = FileHeader64::<NativeEndian>::parse(data)?;
        match (header.e_type(e), header.e_machine(e)) {
            // Compilers before LLVM 3.7 had no number for BPF.
            (elf::ET_REL, elf::EM_BPF | elf::EM_NONE) => {}
            (elf::ET_REL, machine) => return Err(ObjectError::Machine(machine)),
            _ => return Err(ObjectError::NotRelocatable),
        }
        let table = header.sections(e, data)?;
        let names = header.section_strings_index(e, data)?;
        let names = strings(table.section(names)?.data(e, data)?);
        let mut sections = Vec::with_capacity(table.len());
        for section in table.iter() {
            sections.push(Section {
                name: names(section.sh_name.get(e))?,
                section_type: section.sh_type(e),
                is_code: section.sh_flags(e) & u64::from(elf::SHF_EXECINSTR) != 0,
                size: section.sh_size(e),
                data: section.data(e, data)?,
            });
        }
        let found = table.symbols(e, data, elf::SHT_SYMTAB)?;
        let names = match found.string_section() {
            SectionIndex(0) => &[][..],
            index => table.section(index)?.data(e, data)?,
        };
        let names = strings(names);
        let mut symbols = Vec::with_capacity(found.len());
        for (index, symbol) in found.enumerate() {
            let section = found.symbol_section(e, symbol, index)?.map(|section| section.0);
            if section.is_some_and(|section| section >= sections.len()) {
                return Err(ObjectError::Elf("a symbol refers to a missing section".into()));
            }
            symbols.push(Symbol {
                name: names(symbol.st_name(e))?,
                section,
                value: symbol.st_value(e),
                size: symbol.st_size(e),
                symbol_type: symbol.st_type(),
                is_global: symbol.st_bind() != elf::STB_LOCAL,
                is_hidden: matches!(symbol.st_visibility(), elf::STV_HIDDEN | elf::STV_INTERNAL),
            });
        }
        let mut relocations = Vec::new();
        for section in table.iter() {
            let Some((rels, link)) = section.rel(e, data)? else { continue };
            // Skip relocations of another symbol table.
            if link != found.section() {
                continue;
            }
            let place = |rel: &elf::Rel64<NativeEndian>| {
                let symbol = SymbolIndex(rel.r_sym(e) as usize);
                found.symbol(symbol)?;
                Ok(Relocation { offset: rel.r_offset(e), symbol: symbol.0 })
            };
            let rels: Result<Vec<_>, ObjectError> = rels.iter().map(place).collect();
            relocations.push((section.sh_info(e) as usize, rels?));
        }
        Ok(Elf { sections, symbols, relocations })
    }

    /// The first section of this name, with its index.
    pub fn section(&self, name: &str) -> Option<(usize, &Section<'a>)> {
        self.sections.iter().enumerate().find(|(_, section)| section.name == name)
    }

    /// The symbols in a section, except the symbol of the section itself.
    pub fn symbols_in(&self, section: usize) -> impl Iterator<Item = &Symbol<'a>> {
        self.symbols.iter().filter(move |symbol| {
            symbol.section == Some(section) && symbol.symbol_type != elf::STT_SECTION
        })
    }
}

/// Checks the start of an ELF file; the errors identify other kinds of files.
fn check_identity(data: &[u8]) -> Result<(), ObjectError> {
    let [0x7f, b'E', b'L', b'F', class, order, ..] = data else {
        return Err(ObjectError::NotElf);
    };
    let native = if cfg!(target_endian = "little") { elf::ELFDATA2LSB } else { elf::ELFDATA2MSB };
    match (*class, *order) {
        (elf::ELFCLASS32, _) => Err(ObjectError::Narrow),
        (_, order) if order == native => Ok(()),
        (_, elf::ELFDATA2LSB) => Err(ObjectError::ByteOrder("little")),
        (_, elf::ELFDATA2MSB) => Err(ObjectError::ByteOrder("big")),
        _ => Err(ObjectError::Elf("unknown byte order".into())),
    }
}

/// Reads names of a section by their offsets. The crate `object` searches for their ends with memchr,
/// which executes CPUID at its first call: in a virtual machine, that takes longer than reading a file.
fn strings<'a>(section: &'a [u8]) -> impl Fn(u32) -> Result<&'a str, ObjectError> {
    let malformed = |cause: &str| ObjectError::Elf(cause.into());
    move |offset| {
        // A file without names has no section of names.
        if section.is_empty() && offset == 0 {
            return Ok("");
        }
        let from = section.get(offset as usize..).unwrap_or_default();
        let end = from.iter().position(|byte| *byte == 0);
        let name = end
            .map(|end| &from[..end])
            .ok_or_else(|| malformed("a name outside of its section"))?;
        std::str::from_utf8(name).map_err(|_| malformed("a name is not UTF-8"))
    }
}
