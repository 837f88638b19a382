//! Builds object files that no compiler writes.

/// `SHT_PROGBITS`.
pub const PROGBITS: u32 = 1;
/// `SHF_ALLOC | SHF_EXECINSTR`.
pub const CODE: u64 = 6;
/// `STB_GLOBAL` and `STT_OBJECT`, or `STT_FUNC`.
pub const OBJECT: u8 = 0x11;
pub const FUNCTION: u8 = 0x12;
/// `r0 = 0; exit`.
pub const RETURN_ZERO: [u8; 16] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

/// A relocatable ELF file for BPF.
#[derive(Default)]
pub struct ElfFile {
    /// Name, type, flags, content, link and info of each section after the first, which is empty.
    sections: Vec<(String, u32, u64, Vec<u8>, u32, u32)>,
    symbols: Vec<u8>,
    names: Vec<u8>,
}

impl ElfFile {
    /// Adds a section; returns its index.
    pub fn section(&mut self, name: &str, flags: u64, content: impl Into<Vec<u8>>) -> u16 {
        self.sections.push((name.into(), PROGBITS, flags, content.into(), 0, 0));
        self.sections.len() as u16
    }

    /// Adds a symbol; returns its number.
    pub fn symbol(&mut self, name: &str, info: u8, section: u16, value: u64, size: u64) -> u64 {
        if self.symbols.is_empty() {
            self.symbols = vec![0; 24];
            self.names.push(0);
        }
        self.symbols.extend((self.names.len() as u32).to_ne_bytes());
        self.symbols.extend([info, 0]);
        self.symbols.extend(section.to_ne_bytes());
        self.symbols.extend([value, size].map(u64::to_ne_bytes).concat());
        self.names.extend(name.bytes().chain([0]));
        self.symbols.len() as u64 / 24 - 1
    }

    /// Adds relocations of a section: offset and symbol each.
    pub fn relocations(&mut self, section: u16, relocations: &[(u64, u64)]) {
        const RELOCATION: u64 = 1;
        let words = relocations.iter().flat_map(|(at, symbol)| [*at, symbol << 32 | RELOCATION]);
        let content = words.flat_map(u64::to_ne_bytes).collect();
        // The section of symbols follows all others.
        self.sections.push((".rel".into(), 9, 0, content, u32::MAX, section.into()));
    }

    /// The bytes of the file.
    pub fn build(mut self) -> Vec<u8> {
        let symbols = self.sections.len() as u32 + 1;
        self.sections.push((".symtab".into(), 2, 0, self.symbols, symbols + 1, 1));
        self.sections.push((".strtab".into(), 3, 0, self.names, 0, 0));
        let mut names = vec![0];
        let mut offsets = Vec::new();
        for (name, ..) in &self.sections {
            offsets.push(names.len() as u32);
            names.extend(name.bytes().chain([0]));
        }
        offsets.push(names.len() as u32);
        names.extend(b".shstrtab\0");
        self.sections.push((".shstrtab".into(), 3, 0, names, 0, 0));
        let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let count = self.sections.len() as u16 + 1;
        file.extend([1u16, 247].map(u16::to_ne_bytes).concat());
        file.extend(1u32.to_ne_bytes());
        let start = 64 + self.sections.iter().map(|section| section.3.len() as u64).sum::<u64>();
        file.extend([0, 0, start].map(u64::to_ne_bytes).concat());
        file.extend(0u32.to_ne_bytes());
        file.extend([64, 0, 0, 64, count, count - 1].map(u16::to_ne_bytes).concat());
        let mut table = vec![0; 64];
        for ((_, kind, flags, content, link, info), name) in self.sections.iter().zip(offsets) {
            let link = if *link == u32::MAX { symbols } else { *link };
            let entry: u64 = match kind {
                2 => 24,
                9 => 16,
                _ => 0,
            };
            table.extend([name, *kind].map(u32::to_ne_bytes).concat());
            table.extend([*flags, 0, file.len() as u64].map(u64::to_ne_bytes).concat());
            table.extend((content.len() as u64).to_ne_bytes());
            table.extend([link, *info].map(u32::to_ne_bytes).concat());
            table.extend([1, entry].map(u64::to_ne_bytes).concat());
            file.extend(content);
        }
        file.extend(table);
        file
    }
}

/// BTF of types, as 32-bit words, and names.
pub fn btf(types: &[u32], names: &[u8]) -> Vec<u8> {
    let (types_len, names_len) = (types.len() as u32 * 4, names.len() as u32);
    let header = [0x1_eb9f, 24, 0, types_len, types_len, names_len];
    let mut bytes: Vec<u8> =
        header.iter().chain(types).flat_map(|word: &u32| word.to_ne_bytes()).collect();
    bytes.extend(names);
    bytes
}

/// The second word of a type.
pub fn info(kind: u32, len: u32) -> u32 {
    kind << 24 | len
}
