//! Why an object file cannot be used.

use crate::text::quote;
use bpf_layout::BtfError;

/// The reason why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("not an ELF file")]
    NotElf,
    #[error("a 32-bit ELF file: BPF objects have 64 bits")]
    Narrow,
    #[error("compiled for {0}-endian machines, unlike this machine")]
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
    /// The reason why a program is not selected.
    #[error("{0}")]
    Program(String),
    /// The section, map or function, quoted, and the reason why it is refused.
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
    pub fn refused(name: &str, cause: impl Into<String>) -> ObjectError {
        ObjectError::Refused(quote(name.as_bytes()), cause.into())
    }
}
