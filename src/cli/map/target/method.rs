//! By which method a value is changed: chosen once for a map, an operation and a key.

use super::Target;
use crate::program::operation::{NotAtomic, Operation, Processor, Program};
use crate::program::word::Word;
use anyhow::bail;
use bpf_inherit::mmap::Mapped;
use bpf_inherit::{AccessMode, Errno, fd};
use std::ops::Range;
use std::os::fd::AsFd;
use std::rc::Rc;

/// How a value is changed.
#[derive(Debug)]
pub enum Method {
    /// In memory that the map shares with this process: nothing that others write is lost.
    Memory(Mapped, Word),
    /// By a program in the kernel: likewise.
    Program(Rc<Program>, Processor),
    /// Read, changed and written back: changes that a concurrent writer makes are lost.
    ReadAndWrite(Rc<NotAtomic>),
}

impl Method {
    /// The method, for `--verbose`.
    pub fn describe(&self) -> String {
        match self {
            Method::Memory(..) => "changed in memory, atomically".into(),
            Method::Program(..) => "changed by a program in the kernel, atomically".into(),
            Method::ReadAndWrite(cause) => {
                format!("read, changed and written back, not atomically: {cause}")
            }
        }
    }
}

impl Target {
    /// An error unless entries may be read and written. A program in the kernel could change a frozen map, or
    /// one whose file descriptor is read-only.
    pub fn check_changeable(&self, operation: &'static str) -> anyhow::Result<()> {
        if fd::access_mode(self.map.as_fd()) == Ok(AccessMode::WriteOnly) {
            return Err(self.cannot_read(operation, Errno::EPERM.into()).into());
        }
        self.map.check_writable().map_err(|errno| self.cannot_write(operation, errno.into()).into())
    }

    /// Chooses how `bytes` of the value of `key` are changed: without losing what others write, if that
    /// is possible. `change` is None if no program can do it. `cpu` is the CPU whose value is meant, in
    /// a per-CPU map.
    pub fn choose_method(
        &self,
        key: &[u8],
        bytes: &Range<usize>,
        change: Option<Operation>,
        cpu: Option<u32>,
    ) -> Method {
        if let Some((mapped, word)) = self.map_word(key, bytes) {
            return Method::Memory(mapped, word);
        }
        let Some(operation) = change else {
            return Method::ReadAndWrite(Rc::new(NotAtomic::Field));
        };
        let processor = match cpu {
            Some(number) => Processor::for_value_of(number).map_err(Rc::new),
            None => Ok(Processor::Any),
        };
        let program = processor.and_then(|processor| {
            let value = &self.layout.value;
            let program = self.programs.program(&self.map, value, &operation, processor)?;
            Ok(Method::Program(program, processor))
        });
        program.unwrap_or_else(Method::ReadAndWrite)
    }

    /// The word with `bytes` of the value of `key`, in memory; None if the map cannot be mapped, or has
    /// no such key.
    fn map_word(&self, key: &[u8], bytes: &Range<usize>) -> Option<(Mapped, Word)> {
        let info = self.map.info();
        if !Mapped::is_made_for(info) {
            return None;
        }
        let word = Word::around(bytes, (info.value_size as usize).next_multiple_of(8))?;
        let index = u32::from_ne_bytes(*key.first_chunk()?);
        // Its element alone: pages that are mapped and read count as memory used.
        Some((Mapped::part(&self.map, index as usize, 1, true).ok()?, word))
    }

    /// An error if a method may lose what others write, and the command line forbids that.
    pub fn require_atomic(&self, operation: &str, method: &Method) -> anyhow::Result<()> {
        match method {
            Method::Memory(..) | Method::Program(..) => Ok(()),
            Method::ReadAndWrite(cause) => {
                bail!("{}: {operation}: not possible atomically: {cause}", self.label)
            }
        }
    }
}
