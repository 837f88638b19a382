//! BPF programs that are generated here, without a compiler: a file for each, over an assembler and
//! the kernel's own BTF. Making a program is pure; `load.rs` alone loads one.

pub mod add;
mod assembler;
pub mod count;
pub mod element;
pub mod entries;
mod instruction;
#[cfg(test)]
mod interpreter;
mod kernel;
pub mod load;
mod maps;
mod object;
pub mod operation;
mod printer;
mod programs;
pub mod store;
pub mod take;
pub mod word;

use crate::object_type::PROGRAM_TYPES;
use bpf_inherit::program::{create_iterator, open_iterator};
use bpf_inherit::{Errno, Map, describe};
use bpf_layout::{Btf, BtfError};
use entries::{Entries, Unprintable};
use kernel::Unmade;
use load::LoadError;
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

/// A generated program is not there.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("read the kernel's BTF: {0}")]
    NoBtf(std::io::Error),
    #[error("read the kernel's BTF: {0}")]
    Malformed(#[from] BtfError),
    #[error(transparent)]
    Unmade(#[from] Unmade),
    #[error(transparent)]
    Unprintable(#[from] Unprintable),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("create iterator: {}", describe(*.0))]
    Create(Errno),
    #[error("read iterator: {0}")]
    Read(std::io::Error),
    #[error("run program: {}", describe(*.0))]
    Run(Errno),
}

/// Links that keep iterators over all maps and all programs.
#[derive(Debug)]
pub struct ObjectLists {
    pub maps: OwnedFd,
    pub programs: OwnedFd,
}

/// The kernel's own BTF.
pub fn kernel_btf() -> Result<Vec<u8>, ProgramError> {
    kernel::read_btf().map_err(ProgramError::NoBtf)
}

/// Makes iterators that print a line for each map and for each program of the kernel.
pub fn list_objects() -> Result<ObjectLists, ProgramError> {
    let blob = kernel::read_btf().map_err(ProgramError::NoBtf)?;
    let btf = Btf::parse(&blob)?;
    let iterate = |name, (function, code)| {
        let program = load::load_iterator(function, name, code)?;
        create_iterator(program.as_fd(), None).map_err(ProgramError::Create)
    };
    Ok(ObjectLists {
        maps: iterate("list_maps", maps::program(&btf)?)?,
        programs: iterate("list_programs", programs::program(&btf, &PROGRAM_TYPES)?)?,
    })
}

/// The numbers of entries of all maps that the kernel counts, by the id of the map.
pub fn count_all() -> Result<HashMap<u32, u64>, ProgramError> {
    let blob = kernel::read_btf().map_err(ProgramError::NoBtf)?;
    let (function, code) = maps::program(&Btf::parse(&blob)?)?;
    let program = load::load_iterator(function, "count_maps", code)?;
    let link = create_iterator(program.as_fd(), None).map_err(ProgramError::Create)?;
    let walk = open_iterator(link.as_fd()).map_err(ProgramError::Create)?;
    let text = std::io::read_to_string(File::from(walk)).map_err(ProgramError::Read)?;
    Ok(maps::counts(&text))
}

/// Makes an iterator that prints the entries of `map`, whose layout is that of `entries`: its link.
pub fn iterate_entries(map: &Map, entries: &Entries) -> Result<OwnedFd, ProgramError> {
    let blob = kernel::read_btf().map_err(ProgramError::NoBtf)?;
    let (function, code) = entries::program(&Btf::parse(&blob)?, entries)?;
    let program = load::load_iterator(function, "print_entries", code)?;
    create_iterator(program.as_fd(), Some(map.as_fd())).map_err(ProgramError::Create)
}
