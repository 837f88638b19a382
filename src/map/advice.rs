//! Alternatives to the operations that a map type does not support.

use bpf_inherit::MapType;
use bpf_inherit::map_type::{Keys, Values};

/// The alternative to a walk over all entries, as the end of an error message. None if the entries
/// of this type can be walked, or if the type is unknown.
pub fn find_walk_alternative(map_type: MapType) -> Option<&'static str> {
    let by_keys = match map_type.keys()? {
        Keys::Absent => None,
        Keys::Owner => {
            return Some(
                "its entries belong to sockets, inodes, tasks or cgroups: get one by the file \
                 descriptor of its owner, or pin an iterator, see bpftool-iter(8)",
            );
        }
        Keys::Bytes | Keys::Prefix | Keys::Index | Keys::StackId | Keys::Cgroup => Some(()),
    };
    Some(match map_type.values()? {
        Values::PerfEvents => {
            "its entries cannot be read: read perf events with bpftool map event_pipe"
        }
        Values::Cgroups => "its entries cannot be read: only programs use them",
        Values::XdpSockets => "its entries cannot be read: see ss --xdp",
        Values::Members => "it only reports whether it may contain a value: see has",
        Values::Records => {
            "its records are read by mapping it into memory, as libbpf's ring_buffer__new does"
        }
        Values::UserRecords => {
            "its records are written by mapping it into memory, as libbpf's user_ring_buffer__new \
             does"
        }
        Values::Memory => "it is memory without entries: map it with mmap",
        Values::Data if by_keys.is_none() => "it has no keys: see peek and pop",
        Values::Data
        | Values::Programs
        | Values::Maps
        | Values::Devices
        | Values::Cpus
        | Values::Sockets
        | Values::StackTraces
        | Values::Operations => return None,
    })
}

/// The alternative to clearing a map, as the end of an error message. None if a map of this type
/// can be cleared, or if the type is unknown.
pub fn find_clear_alternative(map_type: MapType) -> Option<&'static str> {
    match map_type.values()? {
        Values::Members => Some("entries cannot be removed: recreate the map"),
        Values::Operations => Some("it is unregistered by deleting its key 0: see del"),
        _ if map_type.is_queue() || map_type.is_walked_by_index() => None,
        _ => find_walk_alternative(map_type),
    }
}
