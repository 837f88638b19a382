//! The maps that were kept and opened, each with the number and the descriptor it will have.

use crate::error::Error;
use crate::handoff::environ::Claim;
use crate::handoff::launch::{Handed, Place};
use crate::handoff::number;
use crate::handoff::place::{self, OpenFiles};
use crate::map::typed::Layouts;
use crate::source::inherited::Inherited;
use crate::source::{Opened, Request, Settings, readonly};
use crate::sys::bpf::Access;
use crate::sys::fd;
use std::collections::BTreeSet;
use std::os::fd::AsFd;

/// Numbers all maps. `kept` are the inherited ones, `groups` the maps of each
/// of `requests`, which get descriptor numbers from `base` upwards. Warnings tell of
/// declared numbers that could not be taken.
pub fn assemble(
    kept: Vec<Handed>,
    requests: &[Request],
    groups: Vec<Vec<Opened>>,
    base: i32,
    limit: &OpenFiles,
) -> Result<(Vec<Handed>, Vec<String>), Error> {
    let taken: BTreeSet<u32> = kept.iter().map(|map| map.claim.index).collect();
    let declared: Vec<number::Group> =
        groups.iter().map(|group| group.iter().map(|map| map.declared).collect()).collect();
    let (indices, refused) = number::assign(taken, &declared);
    let warnings = refused.iter().map(|(place, ids)| {
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        let source = &requests[*place].source;
        format!(
            "{source}: declared ids that repeat or are taken, so all are numbered anew: {}",
            ids.join(", ")
        )
    });
    let new = groups.into_iter().flatten().zip(indices.into_iter().flatten());
    let count = declared.iter().map(Vec::len).sum();
    let numbers = place::choose(base, count, limit)?;
    let mut maps = kept;
    for ((opened, index), fd) in new.zip(numbers) {
        maps.push(Handed {
            access: access(&opened)?,
            info: opened.map.info().clone(),
            claim: Claim { index, fd, name: opened.name, layout: opened.layout },
            place: Place::New(opened.map.into()),
        });
    }
    maps.sort_by_key(|handed| handed.claim.index);
    Ok((maps, warnings.collect()))
}

/// The inherited maps as they are handed on: each with its layout, and read-only if that is wanted.
pub fn keep(
    inherited: Vec<Inherited>,
    settings: &Settings,
    layouts: &mut Layouts,
) -> Result<Vec<Handed>, Error> {
    let keep = |Inherited { mut claim, fd, info, access }: Inherited| {
        claim.layout = claim.layout.or_else(|| layouts.of(&info));
        if !settings.read_only || access == Access::ReadOnly {
            return Ok(Handed { claim, info, access, place: Place::Kept });
        }
        let map = readonly::reopen(info.id, claim.name.as_deref(), &settings.bpffs)?;
        let place = Place::Replaced(fd, map.into());
        Ok(Handed { claim, info, access: Access::ReadOnly, place })
    };
    inherited.into_iter().map(keep).collect()
}

fn access(opened: &Opened) -> Result<Access, Error> {
    let id = opened.map.info().id;
    fd::access(opened.map.as_fd())
        .map_err(|errno| Error::new(format!("id {id}"), "read access mode", errno))
}
