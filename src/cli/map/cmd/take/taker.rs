//! Takes values: by a program in the kernel, or in memory that the map shares with this process.

use crate::cli::map::cmd::dump::order::Sorted;
use crate::cli::map::target::Target;
use crate::cli::map::target::cpus::CpuSelection;
use crate::cli::map::target::method::{ChangeMethod, Run};
use crate::program::operation::Operation;
use crate::program::take::{Part, Take, Untakable, parts};
use anyhow::{anyhow, bail};
use bpf_inherit::Errno;
use bpf_inherit::mmap::Mapped;
use bpf_layout::Type;
use std::convert::Infallible;

/// How the values of a map are taken.
pub struct Taker<'t> {
    target: &'t Target,
    method: TakeMethod,
}

enum TakeMethod {
    Memory(Vec<Part>),
    /// For each CPU whose value is taken.
    Programs(Take, Vec<Run>),
}

impl<'t> Taker<'t> {
    /// An error if what others write could be lost, before anything is taken. The numbers in `printed`
    /// become zero; `wanted` keys are given, or none for all.
    pub fn new(
        target: &'t Target,
        printed: &Type,
        cpus: &CpuSelection,
        wanted: usize,
    ) -> anyhow::Result<Taker<'t>> {
        let info = target.map.info();
        let size = info.value_size as usize;
        let refused = |cause: Untakable| anyhow!("{}: take: {cause}", target.label);
        if Mapped::is_made_for(info) && Mapped::part(&target.map, 0, 1, true).is_ok() {
            let size = size.next_multiple_of(8);
            let parts = parts(&target.layout.value, printed, size, false).map_err(refused)?;
            return Ok(Taker { target, method: TakeMethod::Memory(parts) });
        }
        let is_locked = target.map.has_spin_lock().unwrap_or_default();
        let parts = parts(&target.layout.value, printed, size, is_locked).map_err(refused)?;
        let wanted = if wanted == 0 { info.max_entries as usize } else { wanted };
        let take = Take::new(parts, size, target.map.key_len(), wanted).map_err(refused)?;
        let cpus: Vec<(usize, u32)> = match cpus {
            _ if !target.is_per_cpu() => Vec::new(),
            CpuSelection::One { number, place } => vec![(*place, *number)],
            CpuSelection::Sum | CpuSelection::Each(_) => {
                target.cpus()?.numbers().iter().copied().enumerate().collect()
            }
        };
        match target.find_programs(&Operation::Take(take.clone()), &cpus) {
            ChangeMethod::Program(runs) => {
                Ok(Taker { target, method: TakeMethod::Programs(take, runs) })
            }
            ChangeMethod::ReadAndWrite(cause) => Err(not_atomic(target, &cause)),
            ChangeMethod::Memory(_) => bail!("{}: take: no program", target.label), // not returned
        }
    }

    /// Takes the values of `keys`, one after the other, into `taken`; returns which keys were there.
    /// After an error, what was taken before it is in `taken`.
    pub fn take(&self, keys: &[u8], taken: &mut Sorted) -> anyhow::Result<Vec<bool>> {
        let map = &self.target.map;
        let (key_len, value_len) = (map.key_len(), map.value_len());
        let count = keys.len() / key_len;
        let (mut values, mut found) = (vec![0; count * value_len], vec![false; count]);
        let result = match &self.method {
            TakeMethod::Memory(parts) => {
                self.take_all_from_memory(parts, keys, &mut values, &mut found)
            }
            TakeMethod::Programs(take, runs) => runs
                .iter()
                .try_for_each(|run| self.take_by_program(take, run, keys, &mut values, &mut found)),
        };
        let entries = keys.chunks_exact(key_len).zip(values.chunks_exact(value_len));
        for ((key, value), _) in entries.zip(&found).filter(|(_, found)| **found) {
            taken.push(key, value);
        }
        result.map(|()| found)
    }

    fn take_by_program(
        &self,
        take: &Take,
        Run { program, processor, place }: &Run,
        keys: &[u8],
        values: &mut [u8],
        found: &mut [bool],
    ) -> anyhow::Result<()> {
        let map = &self.target.map;
        let failed = |cause| not_atomic(self.target, &cause);
        let _pinned = processor.enter().map_err(failed)?;
        let slot = map.slot(*place);
        for (group, keys) in keys.chunks(map.key_len() * take.count()).enumerate() {
            let mut context = take.context(processor.argument(), keys);
            program.run(&mut context).map_err(failed)?;
            for (at, value) in take.values(&context).enumerate() {
                let Some(value) = value else { continue };
                let at = group * take.count() + at;
                found[at] = true;
                values[at * map.value_len()..][slot.clone()].copy_from_slice(value);
            }
        }
        processor.check_offline().map_err(failed)
    }

    fn take_all_from_memory(
        &self,
        parts: &[Part],
        keys: &[u8],
        values: &mut [u8],
        found: &mut [bool],
    ) -> anyhow::Result<()> {
        let (key_len, value_len) = (self.target.map.key_len(), self.target.map.value_len());
        let values = values.chunks_exact_mut(value_len);
        for ((key, value), found) in keys.chunks_exact(key_len).zip(values).zip(found) {
            *found = self.take_from_memory(parts, key, value)?;
        }
        Ok(())
    }

    fn take_from_memory(
        &self,
        parts: &[Part],
        key: &[u8],
        value: &mut [u8],
    ) -> anyhow::Result<bool> {
        let map = &self.target.map;
        let index = key.first_chunk().map_or(u32::MAX, |word| u32::from_ne_bytes(*word));
        if index >= map.info().max_entries {
            return Ok(false);
        }
        let failed = |errno: Errno| self.target.cannot_write("take", errno.into());
        let mapped = Mapped::part(map, index as usize, 1, true).map_err(failed)?;
        let mut whole = vec![0; mapped.stride()];
        for part in parts {
            let (to, reset) = (&mut whole[part.range()], part.reset_bytes());
            let Ok(()) = mapped
                .change(part.offset, part.width.bytes(), |bytes| {
                    to.copy_from_slice(bytes);
                    bytes.iter_mut().zip(&reset).for_each(|(byte, reset)| *byte &= !reset);
                    Ok::<(), Infallible>(())
                })
                .map_err(failed)?;
        }
        value.copy_from_slice(&whole[..value.len()]);
        Ok(true)
    }
}

fn not_atomic(target: &Target, cause: &impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{}: take: not possible without losing changes of others: {cause}", target.label)
}
