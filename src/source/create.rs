//! New maps, created from a specification.

mod field;
mod spec;

pub use spec::NewMap;

use crate::bpffs::{self, pin};
use crate::error::{Cause, Error};
use bpf_inherit::AccessMode;
use bpf_inherit::Errno;
use bpf_inherit::Map;
use bpf_inherit::bpf::{MapSpec, btf_load, map_create};
use field::{Inner, Size};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

const CREATE: &str = "create map";
/// BPF_OBJ_NAME_LEN, less the NUL.
const MAX_NAME: usize = 15;

/// Creates the map. It exists as long as an fd or a pin refers to it.
pub fn open(spec: &NewMap) -> Result<Map, Error> {
    let fail = |errno| Error::new(&spec.name, CREATE, explain(errno));
    let inner = spec.inner.as_ref().map(open_inner).transpose()?;
    let bytes = |size: &Option<Size>| size.as_ref().map_or(Ok(0), Size::bytes).unwrap_or(0);
    let value_size = bytes(&spec.value);
    let btf: Option<OwnedFd> = match spec.row.map_type.requires_btf() {
        true => Some(btf_load(&storage_btf(value_size)).map_err(fail)?),
        false => None,
    };
    let fd = map_create(&MapSpec {
        map_type: spec.row.map_type,
        key_size: bytes(&spec.key),
        value_size,
        max_entries: spec.entries,
        flags: spec.flags,
        extra: spec.extra,
        numa_node: spec.numa_node,
        name: &kernel_name(&spec.name),
        inner: inner.as_ref().map(|map| map.as_fd()),
        btf: btf.as_ref().map(|fd| (fd.as_fd(), INT, VALUE)),
    });
    fd.and_then(Map::new).map_err(fail)
}

/// Opens the map whose properties all inner maps have to match.
fn open_inner(inner: &Inner) -> Result<Map, Error> {
    match inner {
        Inner::Pin(path) => pin::open_map(path, AccessMode::ReadOnly, Path::new(bpffs::ROOT)),
        Inner::Id(id) => super::id::open_map(*id, false),
    }
}

/// The kernel name: at most 15 bytes, letters, digits, `_` and `.`.
fn kernel_name(name: &str) -> Vec<u8> {
    let allowed = |b: u8| {
        if b.is_ascii_alphanumeric() || b == b'.' { b } else { b'_' }
    };
    name.bytes().take(MAX_NAME).map(allowed).collect()
}

fn explain(errno: Errno) -> Cause {
    match errno {
        Errno::EPERM => Cause::Hint(errno, "CAP_BPF is needed, and CAP_NET_ADMIN for some types"),
        Errno::EINVAL => {
            Cause::Hint(errno, "the kernel refuses these sizes, entries or flags for this type")
        }
        Errno::E2BIG => "too large for the kernel".into(),
        errno => errno.into(),
    }
}

// Type ids in the BTF below.
const INT: u32 = 1;
const VALUE: u32 = 3;

/// The BTF that the kernel requires for local storage: an int as the key, and as the value an
/// unsigned integer of its size, else an array of bytes (`Documentation/bpf/btf.rst`).
fn storage_btf(value_size: u32) -> Vec<u8> {
    let strings = b"\0int\0u\0";
    const KIND_INT: u32 = 1 << 24;
    const KIND_ARRAY: u32 = 3 << 24;
    const SIGNED: u32 = 1 << 24;
    let int = [1, KIND_INT, 4, SIGNED | 32]; // named at offset 1; 4 bytes
    let byte = [5, KIND_INT, 1, 8]; // named at offset 5; 1 byte
    let value = match value_size {
        1 | 2 | 4 | 8 => vec![5, KIND_INT, value_size, 8 * value_size],
        _ => vec![0, KIND_ARRAY, 0, 2, 1, value_size], // of type 2, indexed by type 1
    };
    let types = [&int[..], &byte, &value].concat();
    let type_bytes = size_of_val(&types[..]) as u32;
    let header: [u32; 5] = [24, 0, type_bytes, type_bytes, strings.len() as u32];
    let magic_version_flags = [&0xeb9f_u16.to_ne_bytes()[..], &[1, 0]].concat();
    let words = header.iter().chain(&types).flat_map(|word| word.to_ne_bytes());
    magic_version_flags.into_iter().chain(words).chain(*strings).collect()
}
