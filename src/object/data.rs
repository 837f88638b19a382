//! Global variables: sections that become arrays with one entry, as libbpf makes them.

use super::declaration::{Data, Declaration};
use super::elf::{Elf, Section};
use super::error::ObjectError;
use aya_obj::generated::{BPF_F_MMAPABLE, BPF_F_RDONLY_PROG};
use bpf_inherit::MapType;
use bpf_inherit::bpf::MAX_NAME;
use bpf_layout::Btf;
use object::elf::{SHT_NOBITS, SHT_PROGBITS};

/// Bytes that are reserved for the section's name in a kernel name, even if it is shorter.
const RESERVED: usize = 7;

/// Adds a map for each section of variables.
pub fn maps(
    elf: &Elf,
    btf: Option<&Btf>,
    object: &str,
    maps: &mut Vec<Declaration>,
) -> Result<(), ObjectError> {
    for section in elf.sections.iter().filter(|section| section.size > 0) {
        let Some(read_only) = holds_variables(section) else { continue };
        let value_size = u32::try_from(section.size)
            .map_err(|_| ObjectError::refused(section.name, "larger than 4 GiB"))?;
        let bytes = (section.section_type == SHT_PROGBITS).then(|| section.data.to_vec());
        let declared = btf.and_then(|btf| btf.data_section(section.name));
        // The name of a custom section has two dots; libbpf then omits the object's name.
        let own = section.name.matches('.').count() > 1;
        let prefix = if own { "" } else { object };
        let mut map = Declaration {
            name: format!("{prefix}{}", section.name),
            section: section.name.into(),
            map_type: MapType::ARRAY,
            key_size: 4,
            value_size,
            max_entries: 1,
            data: Some(Data { bytes, read_only, kernel_name: kernel_name(prefix, section.name) }),
            ..Declaration::default()
        };
        if read_only {
            map.flags |= BPF_F_RDONLY_PROG;
        }
        if let Some(declared) = declared {
            map.value_type = declared.id;
            // Static variables are private to the object.
            if declared.variables.iter().any(|variable| variable.is_global) {
                map.flags |= BPF_F_MMAPABLE;
            }
        }
        maps.push(map);
    }
    Ok(())
}

/// Whether programs only read the variables of a section; None if it has no variables.
fn holds_variables(section: &Section) -> Option<bool> {
    let is = |stem: &str| {
        section.name.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    match section.section_type {
        SHT_PROGBITS if section.is_code => None,
        SHT_PROGBITS if is(".rodata") => Some(true),
        SHT_PROGBITS if is(".data") => Some(false),
        SHT_NOBITS if is(".bss") => Some(false),
        _ => None,
    }
}

/// The name that libbpf uses: the object's name, truncated to leave space for the section's name.
fn kernel_name(object: &str, section: &str) -> String {
    let suffix = section.len().clamp(RESERVED, MAX_NAME);
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' };
    let prefix = object.chars().take(MAX_NAME - suffix);
    prefix.chain(section.chars().take(suffix)).map(allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::kernel_name;

    #[test]
    fn kernel_names_are_those_of_libbpf() {
        for (object, section, name) in [
            ("counts", ".bss", "counts.bss"),
            ("my_object_name", ".rodata", "my_objec.rodata"),
            ("my_object_name", ".bss", "my_objec.bss"),
            ("a-b", ".data", "a_b.data"),
            ("", ".rodata.abracadabra", ".rodata.abracad"),
        ] {
            assert_eq!(kernel_name(object, section), name);
        }
    }
}
