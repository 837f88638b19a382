//! New maps, created from a specification.

mod field;
mod spec;

pub use spec::NewMap;

use crate::bpffs::{self, pin};
use crate::error::{Cause, Error};
use crate::map::create::{create, create_typed};
use bpf_inherit::AccessMode;
use bpf_inherit::Errno;
use bpf_inherit::Map;
use bpf_inherit::bpf::{MAX_NAME, MapSpec};
use bpf_layout::{Layout, Type};
use field::{InnerReference, Size};
use std::os::fd::AsFd;
use std::path::Path;

const CREATE: &str = "create map";

/// Creates the map. It exists as long as an fd or a pin refers to it.
pub fn open(spec: &NewMap) -> Result<Map, Error> {
    let fail = |errno| {
        let refused = spec.refused_field().filter(|_| errno == Errno::EINVAL);
        let cause = refused.map_or_else(|| explain(errno), |hint| Cause::Hint(errno, hint));
        Error::new(&spec.name, CREATE, cause)
    };
    let inner = spec.inner.as_ref().map(open_inner).transpose()?;
    let bytes = |size: &Option<Size>| size.as_ref().map_or(Ok(0), Size::bytes).unwrap_or(0);
    let new = MapSpec {
        map_type: spec.row.map_type,
        key_size: bytes(&spec.key),
        value_size: bytes(&spec.value),
        max_entries: spec.entries,
        flags: spec.flags,
        extra: spec.extra,
        numa_node: spec.numa_node,
        name: &kernel_name(&spec.name),
        inner: inner.as_ref().map(|map| map.as_fd()),
        btf: None,
    };
    let layout = spec.layout().or_else(|| {
        let layout = || Layout {
            key: Some(Type::of_size(new.key_size)),
            value: Type::of_size(new.value_size),
        };
        new.map_type.requires_btf().then(layout)
    });
    let created = match layout {
        Some(layout) => create_typed(&new, layout),
        None => create(&new),
    };
    created.map_err(fail)
}

/// Opens the map whose properties all inner maps have to match.
fn open_inner(inner: &InnerReference) -> Result<Map, Error> {
    match inner {
        InnerReference::Pin(path) => {
            pin::open_map(path, AccessMode::ReadOnly, Path::new(bpffs::ROOT))
        }
        InnerReference::Id(id) => super::id::open_map(*id, false),
    }
}

/// The kernel name: at most 15 bytes, letters, digits, `_` and `.`.
pub(super) fn kernel_name(name: &str) -> Vec<u8> {
    let allowed = |b: u8| {
        if b.is_ascii_alphanumeric() || b == b'.' { b } else { b'_' }
    };
    name.bytes().take(MAX_NAME).map(allowed).collect()
}

pub(super) fn explain(errno: Errno) -> Cause {
    match errno {
        Errno::EPERM => Cause::denied("CAP_BPF is needed, and CAP_NET_ADMIN for some types"),
        Errno::EINVAL => {
            Cause::Hint(errno, "the kernel refuses these sizes, entries or flags for this type")
        }
        Errno::E2BIG => "too large for the kernel".into(),
        errno => errno.into(),
    }
}
