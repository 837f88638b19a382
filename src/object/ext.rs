//! The section `.BTF.ext`: the types of functions, the lines of their source, and the instructions that
//! depend on a type of the running kernel.

use super::error::ObjectError;
use bpf_layout::Btf;
use std::collections::BTreeMap;

/// Magic, version, flags and the length of the header.
const FIXED: usize = 8;
const MAGIC: u16 = 0xeb9f;

/// Records of `N` words, the first of which is an offset; sorted, by the section of instructions.
type Records<'a, const N: usize> = BTreeMap<&'a str, Vec<[u32; N]>>;

/// The content of the section; empty if the file does not have the section.
#[derive(Default)]
pub struct Extension<'a> {
    /// `struct bpf_func_info` with offsets in bytes: offset, type.
    functions: Records<'a, 2>,
    /// `struct bpf_line_info`: offset, file name, text, line and column.
    lines: Records<'a, 4>,
    /// `struct bpf_core_relo`: offset, type, access, kind.
    core: Records<'a, 4>,
}

impl<'a> Extension<'a> {
    pub fn parse(data: &[u8], btf: &Btf<'a>) -> Result<Extension<'a>, ObjectError> {
        let malformed = || ObjectError::Elf("inconsistent .BTF.ext".into());
        let header_len = word(data, 4).ok_or_else(malformed)? as usize;
        let magic = data.first_chunk::<2>().map(|bytes| u16::from_ne_bytes(*bytes));
        if magic != Some(MAGIC) || header_len < FIXED + 16 {
            return Err(malformed());
        }
        let part = |at: usize| -> Option<&[u8]> {
            // Compilers before LLVM 10 do not write the third part.
            if at + 8 > header_len {
                return Some(&[]);
            }
            let from = header_len.checked_add(word(data, at)? as usize)?;
            data.get(from..from.checked_add(word(data, at + 4)? as usize)?)
        };
        let parts = [FIXED, FIXED + 8, FIXED + 16].map(part);
        let [Some(functions), Some(lines), Some(core)] = parts else { return Err(malformed()) };
        let read = || {
            Some(Extension {
                functions: records(functions, btf)?,
                lines: records(lines, btf)?,
                core: records(core, btf)?,
            })
        };
        read().ok_or_else(malformed)
    }

    /// The type of the function at `start`.
    pub fn function_type(&self, section: &str, start: u32) -> Option<u32> {
        between(&self.functions, section, start, start.saturating_add(1)).next().map(|[_, id]| id)
    }

    /// The lines from `start` to before `end`, in bytes.
    pub fn lines(&self, section: &str, start: u32, end: u32) -> impl Iterator<Item = [u32; 4]> {
        between(&self.lines, section, start, end)
    }

    /// The relocations against the kernel from `start` to before `end`, in bytes.
    pub fn core(&self, section: &str, start: u32, end: u32) -> impl Iterator<Item = [u32; 4]> {
        between(&self.core, section, start, end)
    }
}

fn between<const N: usize>(
    records: &Records<'_, N>,
    section: &str,
    start: u32,
    end: u32,
) -> impl Iterator<Item = [u32; N]> {
    let records = records.get(section).map_or(&[][..], |records| records);
    let from = records.partition_point(|record| record[0] < start);
    records[from..].iter().copied().take_while(move |record| record[0] < end)
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// Reads the size of a record, and for each section its name, the number of records, and the records.
fn records<'a, const N: usize>(mut data: &[u8], btf: &Btf<'a>) -> Option<Records<'a, N>> {
    let mut found = Records::new();
    if data.is_empty() {
        return Some(found);
    }
    let size = word(data, 0)? as usize;
    if size < N * 4 || !size.is_multiple_of(4) {
        return None;
    }
    data = &data[4..];
    while !data.is_empty() {
        let (name, count) = (word(data, 0)?, word(data, 4)? as usize);
        let bytes = data.get(8..)?.get(..count.checked_mul(size)?)?;
        let record = |record: &[u8]| {
            std::array::from_fn(|index| word(record, index * 4).unwrap_or_default())
        };
        let records = found.entry(btf.string_at(name)).or_default();
        records.extend(bytes.chunks_exact(size).map(record));
        data = &data[8 + bytes.len()..];
    }
    found.values_mut().for_each(|records| records.sort_by_key(|record| record[0]));
    Some(found)
}
