//! The difference between a map and a file: the entries to add, to set and to remove.

use super::elements::Elements;
use super::same::Same;
use super::wanted::Wanted;
use crate::cli::map::target::Target;
use crate::cli::map::target::cpus::Placement;
use crate::map::scan::Scan;
use anyhow::bail;

/// One entry that differs. `old` is the whole value in the map.
pub enum DifferingEntry<'c> {
    /// The key of this element is not in the map.
    Add { element: usize },
    /// The key of this element has another value in the map.
    Set { element: usize, old: &'c [u8] },
    /// The key is not in the file.
    Remove { key: &'c [u8], old: &'c [u8] },
}

/// How many entries differ.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub missing: usize,
    pub changed: usize,
    pub others: usize,
}

impl Count {
    pub fn all(self) -> usize {
        self.missing + self.changed + self.others
    }
}

/// A map and the elements of a file; the map is read again for each comparison.
pub struct Difference<'t> {
    target: &'t Target,
    elements: &'t Elements<'t>,
    wanted: Wanted<'t>,
    same: Same<'t>,
}

impl<'t> Difference<'t> {
    /// An error if the file has more keys than the map can have.
    pub fn new(
        target: &'t Target,
        elements: &'t Elements<'t>,
        placement: Placement,
    ) -> anyhow::Result<Difference<'t>> {
        let info = target.map.info();
        let room = info.max_entries;
        let wanted = Wanted::new(elements, info.map_type);
        // For cgroup storage, max_entries is 0.
        if room > 0 && wanted.len() > room as usize {
            bail!("{}: {} keys, but the map has room for {room}", target.label, wanted.len());
        }
        Ok(Difference { target, elements, wanted, same: Same::new(target, placement) })
    }

    /// How many keys the file has.
    pub fn wanted(&self) -> usize {
        self.wanted.len()
    }

    /// Reads the map and calls `visit` with each entry that differs; entries to add come last, in the
    /// order of the file. Returns how many entries the map has.
    pub fn each(
        &mut self,
        mut visit: impl FnMut(DifferingEntry) -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        let Difference { target, elements, wanted, same } = self;
        let keeps = target.map.info().map_type.keeps_elements();
        let unread = |errno| target.explain_walk("load", errno);
        let mut missing = wanted.last().to_vec();
        let mut present = 0;
        let mut scan = Scan::new(&target.map).map_err(unread)?;
        while let Some(chunk) = scan.next().map_err(unread)? {
            present += chunk.len();
            for (key, old) in chunk.iter() {
                match wanted.find(key) {
                    Some(element) => {
                        missing[element] = false;
                        if !same.is_there(elements, element, old) {
                            visit(DifferingEntry::Set { element, old })?;
                        }
                    }
                    // An element that the map's type keeps is set to zero.
                    None if keeps && same.is_zero(old) => {}
                    None => visit(DifferingEntry::Remove { key, old })?,
                }
            }
        }
        for (element, _) in missing.iter().enumerate().filter(|(_, missing)| **missing) {
            visit(DifferingEntry::Add { element })?;
        }
        Ok(present)
    }

    /// Reads the map and counts the entries that differ.
    pub fn count(&mut self) -> anyhow::Result<Count> {
        let mut count = Count::default();
        self.each(|change| {
            *match change {
                DifferingEntry::Add { .. } => &mut count.missing,
                DifferingEntry::Set { .. } => &mut count.changed,
                DifferingEntry::Remove { .. } => &mut count.others,
            } += 1;
            Ok(())
        })?;
        Ok(count)
    }
}
