//! What was kept and opened, each with the number and the descriptor it will have.

use crate::error::Error;
use crate::handoff::environ::{Claim, Class};
use crate::handoff::launch::{Handed, Place};
use crate::handoff::number;
use crate::handoff::place::{self, OpenFiles};
use crate::map::typed::{LayoutSource, Layouts};
use crate::source::foreign::ForeignName;
use crate::source::inherited::{self, Inherited};
use crate::source::{Opened, Request, Settings, readonly};
use crate::sys::bpf::{Access, map_info};
use crate::sys::fd;
use crate::sys::object::Info;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};

/// Numbers everything, each class by itself. `kept` is what was inherited, `groups` what each
/// of `requests` gave, which gets descriptor numbers from `base` upwards. Warnings tell of
/// declared numbers that could not be taken.
pub fn assemble(
    kept: Vec<Handed>,
    requests: &[Request],
    groups: Vec<Vec<Opened>>,
    base: i32,
    limit: &OpenFiles,
) -> Result<(Vec<Handed>, Vec<String>), Error> {
    let mut indices = BTreeMap::new();
    let mut warnings = Vec::new();
    for class in Class::ALL {
        let (assigned, warned) = number_class(class, &kept, requests, &groups);
        indices.insert(class, assigned.into_iter());
        warnings.extend(warned);
    }
    let new: Vec<Opened> = groups.into_iter().flatten().collect();
    let numbers = place::choose(base, new.len(), limit)?;
    let mut all = kept;
    for (opened, fd) in new.into_iter().zip(numbers) {
        let class = opened.class();
        // As many numbers were given as there are objects of the class.
        let index = indices.get_mut(&class).and_then(Iterator::next).unwrap_or_default();
        let id = opened.object.id();
        let info = opened.object.info();
        let info =
            info.map_err(|errno| Error::new(format!("id {id}"), "read access mode", errno))?;
        let (given, foreign) = (opened.given, opened.name);
        let (name, warning) = ForeignName::choose(given, foreign, class, Some(index), info.name());
        warnings.extend(warning);
        let claim = Claim { class, index, fd, id: Some(id), name, layout: opened.layout };
        let place = Place::New(opened.object.into());
        all.push(Handed { claim, layout_source: opened.layout_source, info, place });
    }
    all.sort_by_key(|handed| (handed.claim.class, handed.claim.index));
    Ok((all, warnings))
}

/// The numbers of all new objects of a class, in order, and warnings.
fn number_class(
    class: Class,
    kept: &[Handed],
    requests: &[Request],
    groups: &[Vec<Opened>],
) -> (Vec<u32>, Vec<String>) {
    let claims = kept.iter().map(|handed| &handed.claim);
    let taken: BTreeSet<u32> =
        claims.filter(|claim| claim.class == class).map(|claim| claim.index).collect();
    let declared = |group: &Vec<Opened>| {
        let of_class = group.iter().filter(|opened| opened.class() == class);
        of_class.map(|opened| opened.declared).collect()
    };
    let declared: Vec<number::Group> = groups.iter().map(declared).collect();
    let (indices, refused) = number::assign(taken, &declared);
    let warnings = refused.iter().map(|(place, ids)| {
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        let source = &requests[*place].source;
        format!(
            "{source}: declared ids that repeat or are taken, so all are numbered anew: {}",
            ids.join(", ")
        )
    });
    (indices.into_iter().flatten().collect(), warnings.collect())
}

/// What was inherited as it is handed on: each map with its layout, and read-only if that is
/// wanted, which is an error for anything else.
pub fn keep(
    inherited: Vec<Inherited>,
    settings: &Settings,
    layouts: &mut Layouts,
) -> Result<Vec<Handed>, Error> {
    let keep = |Inherited { mut claim, fd, info }: Inherited| {
        claim.id = Some(info.id());
        if settings.read_only {
            readonly::class(claim.class, claim.variable())?;
        }
        let Info::Map(map, access) = info else {
            let layout_source = LayoutSource::Size;
            return Ok(Handed { claim, layout_source, info, place: Place::Kept });
        };
        let mut layout_source = LayoutSource::Environment;
        if claim.layout.is_none() {
            (claim.layout, layout_source) = layouts.of(&map);
        }
        let reopened = match settings.read_only {
            true => readonly::ensure(&map, access, claim.name.as_deref(), &settings.bpffs)?,
            false => None,
        };
        Ok(match reopened {
            Some(reopened) => {
                let place = Place::Replaced(fd, reopened.into());
                Handed { claim, layout_source, info: Info::Map(map, Access::ReadOnly), place }
            }
            None => {
                Handed { claim, layout_source, info: Info::Map(map, access), place: Place::Kept }
            }
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
    for (fd, class) in inherited::every()? {
        let number = fd.number();
        if class != Class::Map || known.iter().any(|handed| handed.claim.fd == number) {
            continue;
        }
        let name = format!("descriptor {number}");
        let described = map_info(fd.as_fd()).and_then(|map| Ok((map, fd::access(fd.as_fd())?)));
        let (map, access) = described.map_err(|errno| Error::new(&name, "identify", errno))?;
        let map = readonly::ensure(&map, access, Some(name.as_bytes()), &settings.bpffs)?;
        strays.extend(map.map(|map| (fd, map.into())));
    }
    Ok(strays)
}
