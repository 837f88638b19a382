//! What was kept and opened, each with the number and the descriptor it will have.

use crate::error::Error;
use crate::foreign::ForeignName;
use crate::handoff::launch::{Handed, Place};
use crate::handoff::number;
use crate::handoff::place::{self, OpenFiles};
use crate::map::typed::{LayoutSource, Layouts};
use crate::readonly;
use crate::source::inherited;
use crate::source::{Opened, Request, Settings};
use bpf_inherit::AccessMode;
use bpf_inherit::bpf::map_info;
use bpf_inherit::environ::Claim;
use bpf_inherit::fd;
use bpf_inherit::inherited::Inherited;
use bpf_inherit::object::Info;
use bpf_inherit::{InheritedFd, ObjectKind, Startup};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Numbers everything, each kind by itself. `kept` is what was inherited, `groups` what each
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
    for kind in ObjectKind::ALL {
        let (assigned, warned) = number_class(kind, &kept, requests, &groups);
        indices.insert(kind, assigned.into_iter());
        warnings.extend(warned);
    }
    let new: Vec<Opened> = groups.into_iter().flatten().collect();
    let fds: Vec<BorrowedFd> = new.iter().map(|opened| opened.object.as_fd()).collect();
    let numbers = place::choose(base, &fds, limit)?;
    let mut all = kept;
    for (opened, fd) in new.into_iter().zip(numbers) {
        let kind = opened.kind();
        // As many numbers were given as there are objects of the kind.
        let index = indices.get_mut(&kind).and_then(Iterator::next).unwrap_or_default();
        let id = opened.object.id();
        let info = opened.object.info();
        let info =
            info.map_err(|errno| Error::new(format!("id {id}"), "read access mode", errno))?;
        let (given, foreign) = (opened.given, opened.name);
        let (name, warning) = ForeignName::choose(given, foreign, kind, Some(index), info.name());
        warnings.extend(warning);
        let claim = Claim { kind, index, fd, id: Some(id), name, layout: opened.layout };
        let place = Place::New(opened.object.into());
        all.push(Handed { claim, layout_source: opened.layout_source, info, place });
    }
    all.sort_by_key(|handed| (handed.claim.kind, handed.claim.index));
    Ok((all, warnings))
}

/// The numbers of all new objects of a kind, in order, and warnings.
fn number_class(
    kind: ObjectKind,
    kept: &[Handed],
    requests: &[Request],
    groups: &[Vec<Opened>],
) -> (Vec<u32>, Vec<String>) {
    let claims = kept.iter().map(|handed| &handed.claim);
    let taken: BTreeSet<u32> =
        claims.filter(|claim| claim.kind == kind).map(|claim| claim.index).collect();
    let declared = |group: &Vec<Opened>| {
        let of_class = group.iter().filter(|opened| opened.kind() == kind);
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
            readonly::kind(claim.kind, claim.variable())?;
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
                Handed { claim, layout_source, info: Info::Map(map, AccessMode::ReadOnly), place }
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
    startup: &Startup,
    known: &[Handed],
    settings: &Settings,
) -> Result<Vec<(InheritedFd, OwnedFd)>, Error> {
    let mut strays = Vec::new();
    for (fd, kind) in inherited::every(startup)? {
        let number = fd.number();
        if kind != ObjectKind::Map || known.iter().any(|handed| handed.claim.fd == number) {
            continue;
        }
        let name = format!("descriptor {number}");
        let described =
            map_info(fd.as_fd()).and_then(|map| Ok((map, fd::access_mode(fd.as_fd())?)));
        let (map, access) = described.map_err(|errno| Error::new(&name, "identify", errno))?;
        let map = readonly::ensure(&map, access, Some(name.as_bytes()), &settings.bpffs)?;
        strays.extend(map.map(|map| (fd, map.into())));
    }
    Ok(strays)
}
