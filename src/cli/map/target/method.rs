//! By which method a value is changed: chosen once for a map, an operation and a key.

use super::Target;
use crate::program::operation::{ChangeProgram, NotAtomic, Operation, Processor};
use anyhow::bail;
use bpf_inherit::mmap::Mapped;
use bpf_inherit::{AccessMode, Errno, fd};
use std::os::fd::AsFd;
use std::rc::Rc;

/// How a value is changed.
#[derive(Debug)]
pub enum ChangeMethod {
    /// In memory that the map shares with this process, which has the value: nothing that others write
    /// is lost.
    Memory(Mapped),
    /// By a program in the kernel, for each of the CPUs whose value is changed: likewise.
    Program(Vec<Run>),
    /// Read, changed and written back: changes that a concurrent writer makes are lost.
    ReadAndWrite(Rc<NotAtomic>),
}

/// A run of a program.
#[derive(Clone, Debug)]
pub struct Run {
    pub program: Rc<ChangeProgram>,
    pub processor: Processor,
    /// The position of the CPU's value among those of all CPUs.
    pub place: usize,
}

impl ChangeMethod {
    /// The method, for `--verbose`.
    pub fn describe(&self) -> String {
        match self {
            ChangeMethod::Memory(_) => "changed in memory, atomically".into(),
            ChangeMethod::Program(_) => "changed by a program in the kernel, atomically".into(),
            ChangeMethod::ReadAndWrite(cause) => {
                format!("read, changed and written back, not atomically: {cause}")
            }
        }
    }
}

impl Target {
    /// An error unless entries may be read and written. A program in the kernel could change a frozen
    /// map, or one whose file descriptor is read-only.
    pub fn check_changeable(&self, operation: &'static str) -> anyhow::Result<()> {
        if fd::access_mode(self.map.as_fd()) == Ok(AccessMode::WriteOnly) {
            return Err(self.cannot_read(operation, Errno::EPERM.into()).into());
        }
        self.map.check_writable().map_err(|errno| self.cannot_write(operation, errno.into()).into())
    }

    /// The value of `key` in memory; None if the map cannot be mapped, or has no such key.
    pub fn map_value(&self, key: &[u8]) -> Option<Mapped> {
        if !Mapped::is_made_for(self.map.info()) {
            return None;
        }
        let index = u32::from_ne_bytes(*key.first_chunk()?);
        // Its element alone: pages that are mapped and read count as memory used.
        Mapped::part(&self.map, index as usize, 1, true).ok()
    }

    /// The programs that do an operation; in a per-CPU map, on each of the CPUs with these places among
    /// the values and numbers. If there are none, what others write can be lost.
    pub fn find_programs(&self, operation: &Operation, cpus: &[(usize, u32)]) -> ChangeMethod {
        let find = |place, processor| {
            let value = &self.layout.value;
            let program = self.programs.program(&self.map, value, operation, processor)?;
            Ok(Run { program, processor, place })
        };
        let runs = match self.is_per_cpu() {
            true => cpus
                .iter()
                .map(|(place, number)| {
                    find(*place, Processor::for_value_of(*number).map_err(Rc::new)?)
                })
                .collect(),
            false => find(0, Processor::Any).map(|run| vec![run]),
        };
        runs.map_or_else(ChangeMethod::ReadAndWrite, ChangeMethod::Program)
    }

    /// An error if a method may lose what others write, and the command line forbids that.
    pub fn require_atomic(&self, operation: &str, method: &ChangeMethod) -> anyhow::Result<()> {
        match method {
            ChangeMethod::Memory(_) | ChangeMethod::Program(_) => Ok(()),
            ChangeMethod::ReadAndWrite(cause) => {
                bail!("{}: {operation}: not possible atomically: {cause}", self.label)
            }
        }
    }
}
