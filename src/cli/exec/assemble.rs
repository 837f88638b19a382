//! The objects to hand over, inherited and opened, with their numbers, fds, names and layouts.

use crate::error::Error;
use crate::foreign::{ForeignName, Named};
use crate::handoff::launch::{FdPlacement, HandedObject};
use crate::handoff::number;
use crate::handoff::place::{self, OpenFiles};
use crate::map::typed::{LayoutSource, Layouts};
use crate::readonly;
use crate::source::inherited;
use crate::source::open::Group;
use crate::source::request::{Request, Settings, Source};
use bpf_inherit::AccessMode;
use bpf_inherit::bpf::map_info;
use bpf_inherit::environ::Claim;
use bpf_inherit::fd;
use bpf_inherit::inherited::Inherited;
use bpf_inherit::object::{Info, Object};
use bpf_inherit::{InheritedFd, ObjectKind, Startup};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Numbers all objects, each kind separately. `kept` are the inherited objects; `groups` has the
/// objects of each of `requests`, which get fds from `base` upwards. Warnings report layouts,
/// declared ids and names that cannot be used.
pub fn assemble(
    kept: Vec<HandedObject>,
    requests: &[Request],
    mut groups: Vec<Group>,
    layouts: &mut Layouts,
    base: i32,
    limit: &OpenFiles,
) -> Result<(Vec<HandedObject>, Vec<String>), Error> {
    let mut warnings = Vec::new();
    let mut chosen = Vec::new();
    for (Request { source, .. }, group) in requests.iter().zip(&mut groups) {
        let named = group.iter_mut().map(|(named, _)| named);
        chosen.extend(named.map(|named| choose_layout(source, named, layouts, &mut warnings)));
    }
    let mut indices = BTreeMap::new();
    for kind in ObjectKind::ALL {
        let (assigned, warned) = assign_numbers(kind, &kept, requests, &groups);
        indices.insert(kind, assigned.into_iter());
        warnings.extend(warned);
    }
    let given = |(request, group): (&Request, Group)| {
        let name = request.name.clone();
        group.into_iter().map(move |(named, _)| (name.clone(), named)).collect::<Vec<_>>()
    };
    let new: Vec<(Option<Vec<u8>>, Named)> = requests.iter().zip(groups).flat_map(given).collect();
    let fds: Vec<BorrowedFd> = new.iter().map(|(_, named)| named.object.as_fd()).collect();
    let numbers = place::choose_numbers(base, &fds, limit)?;
    let mut all = kept;
    for (((given, named), fd), (layout, layout_source)) in new.into_iter().zip(numbers).zip(chosen)
    {
        let kind = named.object.kind();
        // There is a number for each object of the kind.
        let index = indices.get_mut(&kind).and_then(Iterator::next).unwrap_or_default();
        let id = named.object.id();
        let info = named.object.info();
        let info =
            info.map_err(|errno| Error::new(format!("id {id}"), "read access mode", errno))?;
        let (name, warning) =
            ForeignName::choose(given, named.name, kind, Some(index), info.name());
        warnings.extend(warning);
        let claim = Claim { kind, index, fd, id: Some(id), name, layout };
        let placement = FdPlacement::New(named.object.into());
        all.push(HandedObject { claim, layout_source, info, placement });
    }
    all.sort_by_key(|handed| (handed.claim.kind, handed.claim.index));
    Ok((all, warnings))
}

/// The layout of a map and its layout source: the command line, else BTF, else the object's source.
fn choose_layout(
    source: &Source,
    named: &mut Named,
    layouts: &mut Layouts,
    warnings: &mut Vec<String>,
) -> (Option<Vec<u8>>, LayoutSource) {
    let Object::Map(map) = &named.object else { return (None, LayoutSource::Size) };
    if let Some(layout) = source.layout() {
        return (Some(layout.to_string().into_bytes()), LayoutSource::Option);
    }
    let checked = named.layout.take().and_then(|foreign| {
        let (layout, warning) = foreign.check(map.info(), layouts);
        warnings.extend(warning);
        layout
    });
    match checked {
        Some((layout, source)) => (Some(layout.to_string().into_bytes()), source),
        None => layouts.read_text(map.info()),
    }
}

/// The numbers of all new objects of a kind, in order, and warnings.
fn assign_numbers(
    kind: ObjectKind,
    kept: &[HandedObject],
    requests: &[Request],
    groups: &[Group],
) -> (Vec<u32>, Vec<String>) {
    let claims = kept.iter().map(|handed| &handed.claim);
    let taken: BTreeSet<u32> =
        claims.filter(|claim| claim.kind == kind).map(|claim| claim.index).collect();
    let declared = |group: &Group| {
        let of_kind = group.iter().filter(|(named, _)| named.object.kind() == kind);
        of_kind.map(|(_, declared)| *declared).collect()
    };
    let declared: Vec<number::DeclaredIds> = groups.iter().map(declared).collect();
    let (indices, refused) = number::assign_numbers(taken, &declared);
    let warnings = refused.iter().map(|(place, ids)| {
        let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
        let source = &requests[*place].source;
        format!(
            "{source}: declared ids are duplicate or in use, so all maps get other numbers: {}",
            ids.join(", ")
        )
    });
    (indices.into_iter().flatten().collect(), warnings.collect())
}

/// The inherited objects to hand over: maps with their layouts, and read-only if wanted, which is
/// an error for programs and links.
pub fn keep_inherited(
    inherited: Vec<Inherited>,
    settings: &Settings,
    layouts: &mut Layouts,
) -> Result<Vec<HandedObject>, Error> {
    let keep = |Inherited { mut claim, fd, info }: Inherited| {
        claim.id = Some(info.id());
        if settings.read_only {
            readonly::check_kind(claim.kind, claim.variable())?;
        }
        let Info::Map(map, mode) = info else {
            let layout_source = LayoutSource::Size;
            return Ok(HandedObject { claim, layout_source, info, placement: FdPlacement::Kept });
        };
        let mut layout_source = LayoutSource::Environment;
        if claim.layout.is_none() {
            (claim.layout, layout_source) = layouts.read_text(&map);
        }
        let reopened = match settings.read_only {
            true => readonly::reopen(&map, mode, claim.name.as_deref(), &settings.bpffs)?,
            false => None,
        };
        let (placement, mode) = match reopened {
            Some(reopened) => (FdPlacement::Replaced(fd, reopened.into()), AccessMode::ReadOnly),
            None => (FdPlacement::Kept, mode),
        };
        Ok(HandedObject { claim, layout_source, info: Info::Map(map, mode), placement })
    };
    inherited.into_iter().map(keep).collect()
}

/// Inherited maps that no variable declares, each with a read-only replacement.
pub fn restrict_strays(
    startup: &Startup,
    known: &[HandedObject],
    settings: &Settings,
) -> Result<Vec<(InheritedFd, OwnedFd)>, Error> {
    let mut strays = Vec::new();
    for (fd, kind) in inherited::list_objects(startup)? {
        let number = fd.number();
        if kind != ObjectKind::Map || known.iter().any(|handed| handed.claim.fd == number) {
            continue;
        }
        let name = format!("descriptor {number}");
        let described =
            map_info(fd.as_fd()).and_then(|map| Ok((map, fd::access_mode(fd.as_fd())?)));
        let (map, mode) = described.map_err(|errno| Error::new(&name, "identify", errno))?;
        let map = readonly::reopen(&map, mode, Some(name.as_bytes()), &settings.bpffs)?;
        strays.extend(map.map(|map| (fd, map.into())));
    }
    Ok(strays)
}
