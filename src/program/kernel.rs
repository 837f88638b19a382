//! Ids of functions and offsets of members of the running kernel, for generated programs, from
//! the kernel's own BTF. So nothing is relocated, and no kernel is built for.

use super::assembler::TooLong;
use bpf_layout::{Btf, Type};

/// The kernel's own BTF, which every user may read.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Why a program cannot be made for a kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// It has no function of this name in its BTF.
    #[error("this kernel has no {0}")]
    Function(&'static str),
    /// A struct is missing, or is not as expected.
    #[error("this kernel's BTF has no {0}.{1}")]
    Member(&'static str, &'static str),
}

/// Why there is no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmade {
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

/// The bytes of the kernel's BTF.
pub fn read_btf() -> std::io::Result<Vec<u8>> {
    std::fs::read(VMLINUX)
}

/// The id of a function.
pub fn function(btf: &Btf, name: &'static str) -> Result<u32, Unsupported> {
    btf.function(name).ok_or(Unsupported::Function(name))
}

/// Offsets of members of one struct, each found by its path.
pub struct Members {
    name: &'static str,
    layout: Option<Type>,
}

impl Members {
    /// The members of the struct `name`.
    pub fn of(btf: &Btf, name: &'static str) -> Members {
        let layout = btf.structure(name).and_then(|id| btf.layout(id).ok());
        Members { name, layout }
    }

    /// Where a member is, in bytes, and its size.
    pub fn find(&self, path: &'static str) -> Result<(i16, usize), Unsupported> {
        let missing = Unsupported::Member(self.name, path);
        let layout = self.layout.as_ref().ok_or(missing.clone())?;
        let slot = layout.field(path).map_err(|_| missing.clone())?;
        let offset = i16::try_from(slot.offset()).map_err(|_| missing.clone())?;
        if slot.width().is_some() {
            return Err(missing);
        }
        Ok((offset, slot.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::entries::{self, Cpus, Entries, Format, Unprintable};
    use crate::program::{maps, programs};

    /// BTF without any type.
    fn empty() -> Vec<u8> {
        let mut blob = vec![0; 25];
        blob[..2].copy_from_slice(&0xeb9fu16.to_ne_bytes());
        blob[2] = 1;
        // The header's length, and one byte of strings.
        blob[4..8].copy_from_slice(&24u32.to_ne_bytes());
        blob[20..24].copy_from_slice(&1u32.to_ne_bytes());
        blob
    }

    #[test]
    fn kernel_without_an_iterator_is_reported() {
        let blob = empty();
        let btf = Btf::parse(&blob).expect("BTF");
        let missing = |name| Unmade::Unsupported(Unsupported::Function(name));
        assert_eq!(maps::program(&btf).err(), Some(missing("bpf_iter_bpf_map")));
        assert_eq!(programs::program(&btf, &[]).err(), Some(missing("bpf_iter_bpf_prog")));
        let number = "u32".parse().expect("a type");
        let (key, value, format) = (&number, &number, Format::Plain);
        let entries = Entries { key, value, format, cpus: Cpus::One };
        let missing = Unprintable::Unsupported(Unsupported::Function("bpf_iter_bpf_map_elem"));
        let refused = entries::program(&btf, &entries).err();
        assert_eq!(refused.as_ref(), Some(&missing));
        assert_eq!(missing.to_string(), "this kernel has no bpf_iter_bpf_map_elem");
    }

    #[test]
    fn missing_member_is_named() {
        let blob = empty();
        let members = Members::of(&Btf::parse(&blob).expect("BTF"), "bpf_map");
        let error = members.find("id").expect_err("no struct");
        assert_eq!(error.to_string(), "this kernel's BTF has no bpf_map.id");
    }
}
