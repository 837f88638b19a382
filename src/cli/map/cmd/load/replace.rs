//! `load --replace`: makes a map equal to a file. Only entries that differ are written, so an entry
//! that is in both is never missing.

use super::difference::{Count, Difference, DifferingEntry};
use super::elements::Elements;
use super::progress::Progress;
use super::remove::Removals;
use super::write::{RefusedElement, Writer};
use crate::cli::map::output::warn;
use crate::cli::map::target::Target;
use crate::cli::map::target::cpus::Placement;

/// The entries to write and to remove.
struct Replacement<'t> {
    /// Elements that are missing or have another value in the map, in the order of the file.
    writes: Vec<usize>,
    removals: Removals<'t>,
    /// How many entries have to be removed first to make room.
    first: usize,
}

impl<'t> Replacement<'t> {
    fn new(
        target: &'t Target,
        placement: Placement,
        difference: &mut Difference,
    ) -> anyhow::Result<Replacement<'t>> {
        let (mut writes, mut added, mut removals) = (Vec::new(), 0, Vec::new());
        let present = difference.each(|change| {
            match change {
                DifferingEntry::Add { element } => {
                    added += 1;
                    writes.push(element);
                }
                DifferingEntry::Set { element, .. } => writes.push(element),
                DifferingEntry::Remove { key, .. } => removals.extend_from_slice(key),
            }
            Ok(())
        })?;
        writes.sort_unstable();
        let removals = Removals::new(target, placement, removals);
        let info = target.map.info();
        let first = match (info.map_type, info.max_entries) {
            // A write may evict an entry that is in the file; free elements make that less likely.
            (kind, _) if kind.evicts() => removals.len(),
            (kind, _) if kind.keeps_elements() => 0,
            (_, room) => (present + added).saturating_sub(room as usize),
        };
        Ok(Replacement { writes, removals, first })
    }
}

/// Why a replacement ended early.
pub enum ReplaceError {
    /// The kernel refused an element; the number of elements to write.
    Refused(RefusedElement, usize),
    Other(anyhow::Error),
}

impl From<anyhow::Error> for ReplaceError {
    fn from(error: anyhow::Error) -> ReplaceError {
        ReplaceError::Other(error)
    }
}

/// Writes the entries that differ, then removes those that are not in the file. Returns how many
/// entries differ afterwards, because of concurrent writers.
pub fn replace(
    target: &Target,
    elements: &Elements,
    difference: &mut Difference,
    writer: &mut Writer,
    progress: &mut Progress,
) -> Result<Count, ReplaceError> {
    let Replacement { writes, mut removals, first } =
        Replacement::new(target, writer.placement(), difference)?;
    let mut warned = target.map.info().map_type.evicts();
    let mut make_room = |removals: &mut Removals, count, progress: &mut Progress| {
        if !std::mem::replace(&mut warned, true) {
            progress.clear();
            let why = "no room for old and new entries at once: some are removed first";
            warn(format_args!("{}: {why}", target.label));
        }
        removals.remove(count)
    };
    if first > 0 {
        make_room(&mut removals, first, progress)?;
    }
    let (mut done, mut count) = (0, 1);
    while done < writes.len() {
        let rest = &writes[done..];
        match writer.write(elements, rest.len(), |at| rest[at], Some(progress)) {
            Ok(()) => break,
            // Another process has added entries, or the type needs room for a change, too, as tries
            // did before Linux 6.13.
            Err(refused) if refused.is_full() && removals.len() > 0 => {
                make_room(&mut removals, count, progress)?;
                (done, count) = (done + refused.position, count * 2);
            }
            Err(refused) => return Err(ReplaceError::Refused(refused, writes.len())),
        }
    }
    removals.remove(removals.len())?;
    Ok(difference.count()?)
}
