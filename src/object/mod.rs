//! Object files of BPF programs: the maps that they declare, and their programs, linked. Pure: it reads
//! bytes, and refuses files that are inconsistent.

mod btf_maps;
mod core;
mod data;
mod declaration;
mod elf;
mod error;
mod ext;
mod instruction;
mod legacy;
mod link;
mod linked;
mod object_file;
mod program;
mod section;

pub use declaration::{Declaration, InnerMap, Pinning, Slot};
pub use error::ObjectError;
pub use instruction::{POISON, RawInstruction};
pub use link::link;
pub use linked::Linked;
pub use object_file::Object;
pub use program::{Program, select};
pub use section::{KernelTarget, SectionType, section_type, tail_call_slot};

#[cfg(test)]
mod tests;
