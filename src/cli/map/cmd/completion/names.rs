//! Inherited objects and pinned maps by name: a quick list, made without reading BTF.

use crate::bpffs::pins;
use crate::object_type;
use crate::source::inherited;
use bpf_inherit::Startup;
use bpf_inherit::bpf::MapInfo;
use bpf_inherit::environ::Claim;
use bpf_inherit::inherited::Inherited;
use bpf_inherit::object::Info;
use std::collections::BTreeMap;
use std::path::Path;

/// The reference and the type of each inherited program and link. If the name is ambiguous, the
/// reference is the fd.
pub fn others(startup: &Startup) -> Vec<(String, String)> {
    let inherited = inherited::open(startup).unwrap_or_default().objects;
    let kinds = inherited.iter().filter_map(|Inherited { claim, info, .. }| {
        let (prefix, name) = match info {
            Info::Map(..) => return None,
            Info::Program(info) => ("prog:", object_type::program_type(info.program_type)),
            Info::Link(info) => ("link:", object_type::link_type(info.link_type)),
        };
        Some((prefix, claim, name))
    });
    let kinds: Vec<_> = kinds.collect();
    let typed = |prefix: &str, claim: &Claim| {
        let same =
            |other: &&(&str, &Claim, String)| other.0 == prefix && other.1.name == claim.name;
        let name = claim.name.as_deref().and_then(|name| str::from_utf8(name).ok());
        match name.filter(|name| !name.is_empty() && kinds.iter().filter(same).count() == 1) {
            Some(name) => format!("{prefix}{name}"),
            None => format!("{prefix}fd:{}", claim.fd),
        }
    };
    kinds.iter().map(|(prefix, claim, name)| (typed(prefix, claim), name.clone())).collect()
}

/// The reference and the type of each inherited map and of each pin. A name that several maps
/// have is ambiguous; for such maps, the reference is the fd.
pub fn maps(startup: &Startup, bpffs: &Path) -> Vec<(String, String)> {
    let inherited = inherited::open(startup).unwrap_or_default().objects;
    let inherited: Vec<(Claim, MapInfo)> = inherited
        .into_iter()
        .filter_map(|Inherited { claim, info, .. }| match info {
            Info::Map(info, _) => Some((claim, info)),
            _ => None,
        })
        .collect();
    let mut times: BTreeMap<&[u8], usize> = BTreeMap::new();
    for (claim, _) in &inherited {
        *times.entry(claim.name.as_deref().unwrap_or_default()).or_default() += 1;
    }
    let mut names = Vec::new();
    for (claim, info) in &inherited {
        let name = claim.name.as_deref().unwrap_or_default();
        let alone = times.get(name) == Some(&1);
        let name = str::from_utf8(name).ok().filter(|name| alone && !name.is_empty());
        let name = name.map_or_else(|| claim.fd.to_string(), String::from);
        names.push((name, info.map_type.name()));
    }
    let pinned = pins::by_id(bpffs).map(|(pinned, _)| pinned).unwrap_or_default();
    for (info, paths) in pinned.into_values() {
        let kind = info.map_type.name();
        let paths = paths.into_iter().filter_map(|path| String::from_utf8(path).ok());
        names.extend(paths.map(|path| (path, format!("{kind}, pinned"))));
    }
    names
}
