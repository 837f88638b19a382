//! Writes elements to the map: in batches if the type has them, else one by one.

use super::elements::Elements;
use super::progress::Progress;
use super::same::Same;
use crate::cli::map::target::Condition;
use crate::cli::map::target::Target;
use crate::cli::map::target::cpus::Placement;
use crate::error::Error;
use bpf_inherit::MapError;

/// How many elements, and how many bytes of values, one call gets.
const BATCH: usize = 4096;
const BATCH_BYTES: usize = 1 << 20;
/// BPF_ANY, BPF_NOEXIST.
const ANY: u64 = 0;
const NOEXIST: u64 = 1;

/// Writes elements to one map and counts them.
pub struct Writer<'t> {
    target: &'t Target,
    placement: Placement,
    /// Whether to write in batches: not if the kernel has refused one, or if each element needs a
    /// condition or has to be read first.
    batches: bool,
    flags: u64,
    /// Set if each element is read first: every write to an LRU map may evict another element,
    /// even one that changes nothing or is refused because the key is there.
    same: Option<Same<'t>>,
    /// How many elements were written, or were in the map already with the same value.
    pub written: usize,
    /// How many elements were not written, because their key was in the map already (`--if-absent`).
    pub kept: usize,
    keys: Vec<u8>,
    values: Vec<u8>,
}

/// The element that could not be written, and why.
pub struct RefusedElement {
    pub element: usize,
    /// How many elements were done before it.
    pub position: usize,
    pub error: anyhow::Error,
}

impl RefusedElement {
    /// Whether the map has no room.
    pub fn is_full(&self) -> bool {
        Error::is_no_room(&self.error)
    }
}

impl<'t> Writer<'t> {
    pub fn new(target: &'t Target, placement: Placement, if_absent: bool) -> Writer<'t> {
        let map = &target.map;
        let evicts = map.info().map_type.evicts();
        Writer {
            target,
            placement,
            // In a batch BPF_NOEXIST is EINVAL; a map without keys has no batches.
            batches: !if_absent && map.key_len() > 0 && !evicts,
            flags: if if_absent { NOEXIST } else { ANY },
            same: evicts.then(|| Same::new(target, placement)),
            written: 0,
            kept: 0,
            keys: Vec::new(),
            values: Vec::new(),
        }
    }

    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Writes `count` elements in order; `pick` returns the index of each. `progress` is given if they
    /// are the whole load.
    pub fn write(
        &mut self,
        all: &Elements,
        count: usize,
        pick: impl Fn(usize) -> usize,
        mut progress: Option<&mut Progress>,
    ) -> Result<(), RefusedElement> {
        let batch = (BATCH_BYTES / self.target.map.value_len().max(1)).clamp(1, BATCH);
        let mut at = 0;
        while at < count {
            let end = count.min(at + batch);
            let pick = |within: usize| pick(at + within);
            let written = match self.placement.keeps_others() {
                true => self.change(all, end - at, pick),
                false => self.some(all, end - at, pick),
            };
            written
                .map_err(|refused| RefusedElement { position: at + refused.position, ..refused })?;
            at = end;
            if let Some(progress) = &mut progress {
                progress.step("writing", at as u64, Some(count as u64));
            }
        }
        Ok(())
    }

    /// Writes `count` elements, all CPUs' values each.
    fn some(
        &mut self,
        all: &Elements,
        count: usize,
        pick: impl Fn(usize) -> usize,
    ) -> Result<(), RefusedElement> {
        let target = self.target;
        let refused = |position, error| RefusedElement {
            element: pick(position),
            position,
            error: target.cannot_write("load", error).into(),
        };
        self.gather(all, count, &pick);
        if self.batches {
            match target.map.update_batch(&self.keys, &self.values, ANY) {
                Ok(()) => {
                    self.written += count;
                    return Ok(());
                }
                Err((0, MapError::Unsupported(_))) => self.batches = false,
                Err((done, error)) => {
                    self.written += done;
                    return Err(refused(done, error));
                }
            }
        }
        for position in 0..count {
            let (element, value_len) = (pick(position), target.map.value_len());
            let value = &self.values[position * value_len..][..value_len];
            if let Some(same) = &mut self.same {
                let old = target.lookup("load", all.keys(element, 1));
                let old = old.map_err(|error| RefusedElement { element, position, error })?;
                match old {
                    Some(_) if self.flags == NOEXIST => {
                        self.kept += 1;
                        continue;
                    }
                    Some(old) if same.is_there(all, element, &old) => {
                        self.written += 1;
                        continue;
                    }
                    _ => {}
                }
            }
            match target.map.update(all.keys(element, 1), value, self.flags) {
                Ok(()) => self.written += 1,
                Err(MapError::Exists) if self.flags == NOEXIST => self.kept += 1,
                Err(error) => return Err(refused(position, error)),
            }
        }
        Ok(())
    }

    /// Copies keys and values to buffers without gaps, as a batch needs them.
    fn gather(&mut self, all: &Elements, count: usize, pick: impl Fn(usize) -> usize) {
        self.keys.clear();
        self.values.clear();
        for element in (0..count).map(pick) {
            self.keys.extend_from_slice(all.keys(element, 1));
            all.append(element, &mut self.values);
        }
    }

    /// Reads each element, changes one CPU's value, and writes it back.
    fn change(
        &mut self,
        all: &Elements,
        count: usize,
        pick: impl Fn(usize) -> usize,
    ) -> Result<(), RefusedElement> {
        let condition = if self.flags == NOEXIST { Condition::Absent } else { Condition::Any };
        for position in 0..count {
            let element = pick(position);
            let changed = self.target.change("load", all.keys(element, 1), condition, |value| {
                all.put(element, value);
                Ok(())
            });
            let refused = |error| RefusedElement { element, position, error };
            match changed.map_err(refused)? {
                true => self.written += 1,
                false => self.kept += 1,
            }
        }
        Ok(())
    }
}
