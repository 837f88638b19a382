//! Creating maps that have the BTF of their layout.

use bpf_inherit::bpf::{MapSpec, btf_load};
use bpf_inherit::{Map, MapType, Result};
use bpf_layout::{Atom, Layout, Type, to_lpm_key};
use std::os::fd::AsFd;

/// Creates a map, without BTF if the kernel refuses the BTF.
///
/// The BTF in `spec` is required only for local storage.
pub fn create(spec: &MapSpec) -> Result<Map> {
    let map_type = spec.map_type;
    let typed = MapSpec { btf: spec.btf.filter(|_| map_type.takes_btf()), ..*spec };
    match Map::create(&typed) {
        Err(_) if typed.btf.is_some() && !map_type.requires_btf() => {
            Map::create(&MapSpec { btf: None, ..typed })
        }
        created => created,
    }
}

/// Creates a map with the BTF of a layout.
pub fn create_typed(spec: &MapSpec, layout: Layout) -> Result<Map> {
    let btf = fit_to_kernel(spec.map_type, layout).to_btf();
    match btf_load(&btf.blob) {
        Ok(fd) => create(&MapSpec { btf: Some((fd.as_fd(), btf.key, btf.value)), ..*spec }),
        Err(errno) if spec.map_type.requires_btf() => Err(errno),
        Err(_) => create(spec),
    }
}

/// The layout with the only type of keys that the kernel accepts, for the types that have one
/// (`map_check_btf` in `kernel/bpf`).
fn fit_to_kernel(map_type: MapType, layout: Layout) -> Layout {
    let key = match layout.key {
        Some(_) if map_type.is_indexed() => Some(Type::Atom(Atom::U32)),
        Some(_) if map_type.is_keyed_by_descriptor() => Some(Type::Atom(Atom::I32)),
        Some(key) if map_type == MapType::LPM_TRIE => Some(to_lpm_key(key)),
        key => key,
    };
    Layout { key, ..layout }
}
