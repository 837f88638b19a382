//! The maps that were kept and opened, each with the number and the descriptor it will have.

use crate::error::Error;
use crate::handoff::environ::Claim;
use crate::handoff::launch::{Handed, Place};
use crate::handoff::number;
use crate::handoff::place::{self, OpenFiles};
use crate::map::typed::Layouts;
use crate::source::inherited::{self, Inherited};
use crate::source::{Opened, Request, Settings, readonly};
use crate::sys::bpf::Access;
use crate::sys::fd;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

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
        let name = claim.name.as_deref();
        let place = match settings.read_only {
            true => readonly::ensure(&info, access, name, &settings.bpffs)?,
            false => None,
        };
        Ok(match place {
            Some(map) => {
                let place = Place::Replaced(fd, map.into());
                Handed { claim, info, access: Access::ReadOnly, place }
            }
            None => Handed { claim, info, access, place: Place::Kept },
        })
    };
    inherited.into_iter().map(keep).collect()
}

/// Inherited maps that no variable declares, with a read-only descriptor to take the place of each.
pub fn restrict_strays(
    known: &[Handed],
    settings: &Settings,
) -> Result<Vec<(fd::Inherited, OwnedFd)>, Error> {
    let mut strays = Vec::new();
    for (fd, info, access) in inherited::every()? {
        if known.iter().any(|handed| handed.claim.fd == fd.number()) {
            continue;
        }
        let name = format!("descriptor {}", fd.number());
        let map = readonly::ensure(&info, access, Some(name.as_bytes()), &settings.bpffs)?;
        strays.extend(map.map(|map| (fd, map.into())));
    }
    Ok(strays)
}

fn access(opened: &Opened) -> Result<Access, Error> {
    let id = opened.map.info().id;
    fd::access(opened.map.as_fd())
        .map_err(|errno| Error::new(format!("id {id}"), "read access mode", errno))
}
