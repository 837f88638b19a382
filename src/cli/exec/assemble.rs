//! The maps that were kept and opened, each with the number and the descriptor it will have.

use crate::error::Error;
use crate::handoff::environ::Claim;
use crate::handoff::launch::{Handed, Kept};
use crate::handoff::number;
use crate::handoff::place::{self, OpenFiles};
use crate::source::Opened;
use crate::source::inherited::Inherited;
use std::collections::BTreeSet;

/// Numbers all maps. `kept` are the inherited ones, each with whether its
/// descriptor is another one now; `groups` the maps of each source, which get
/// descriptor numbers from `base` upwards. Warnings tell of declared numbers
/// that could not be taken.
pub fn assemble(
    kept: Vec<(Inherited, bool)>,
    groups: Vec<Vec<Opened>>,
    base: i32,
    limit: &OpenFiles,
) -> Result<(Vec<Handed>, Vec<String>), Error> {
    let taken: BTreeSet<u32> = kept.iter().map(|(map, _)| map.claim.index).collect();
    let declared: Vec<number::Group> =
        groups.iter().map(|group| group.iter().map(|map| map.declared).collect()).collect();
    let (indices, refused) = number::assign(taken, &declared);
    let warnings = refused.iter().map(|&place| {
        let ids: Vec<String> = declared[place].iter().flatten().map(u32::to_string).collect();
        format!("declared ids {} repeat or are taken: numbered anew", ids.join(", "))
    });
    let new = groups.into_iter().flatten().zip(indices.into_iter().flatten());
    let count = declared.iter().map(Vec::len).sum();
    let numbers = place::choose(base, count, limit)?;
    let mut maps: Vec<Handed> = new
        .zip(numbers)
        .map(|((opened, index), fd)| Handed {
            claim: Claim { index, fd, name: opened.name, layout: opened.layout },
            map: opened.map,
            inherited: None,
        })
        .collect();
    maps.extend(kept.into_iter().map(|(Inherited { claim, fd, map }, replaced)| Handed {
        claim,
        map,
        inherited: Some(Kept { fd, replaced }),
    }));
    maps.sort_by_key(|handed| handed.claim.index);
    Ok((maps, warnings.collect()))
}
