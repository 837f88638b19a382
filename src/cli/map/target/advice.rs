//! Explanations for map types whose entries are not plain data.

use bpf_inherit::MapType;

/// How to use a type without keys.
pub fn without_keys(kind: MapType) -> &'static str {
    match kind {
        MapType::QUEUE | MapType::STACK => "use push, pop and peek",
        MapType::BLOOM_FILTER => "use push and has",
        MapType::RINGBUF => "programs fill it, and its reader maps it into memory",
        MapType::USER_RINGBUF => "its writer maps it into memory, and programs read it",
        MapType::ARENA => "its loader maps it into memory, which programs share",
        _ => "bpftool map may support it",
    }
}

/// What the values of a type are, if the kernel does not return them, or not in every size.
pub fn reading(kind: MapType) -> Option<&'static str> {
    Some(match kind {
        MapType::PERF_EVENT_ARRAY => {
            "its values are perf events, which only the process that opened them reads"
        }
        MapType::CGROUP_ARRAY => "its values are cgroups, which the kernel does not return",
        MapType::XSKMAP => "its values are AF_XDP sockets, which the kernel does not return",
        MapType::SOCKMAP | MapType::SOCKHASH | MapType::REUSEPORT_SOCKARRAY => {
            "its values are sockets, whose cookies are returned only if values have 8 bytes"
        }
        _ => return storage(kind),
    })
}

/// What to give as a value of a type whose values are not arbitrary bytes.
pub fn writing(kind: MapType) -> Option<&'static str> {
    Some(match kind {
        MapType::STACK_TRACE => "only programs fill it",
        MapType::PERF_EVENT_ARRAY => {
            "a value is the number of an inherited descriptor of a perf event"
        }
        MapType::CGROUP_ARRAY => {
            "a value is the number of an inherited descriptor of a cgroup's directory"
        }
        MapType::SOCKMAP | MapType::SOCKHASH => {
            "a value is the number of an inherited descriptor of a connected socket"
        }
        MapType::REUSEPORT_SOCKARRAY => {
            "a value is the number of an inherited descriptor of a SO_REUSEPORT socket"
        }
        MapType::XSKMAP => "a value is the number of an inherited descriptor of an AF_XDP socket",
        MapType::PROG_ARRAY => "a value is a program of the same type as those before it",
        MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS => {
            "a value is a map of the type, the sizes and the flags that it was made for"
        }
        MapType::DEVMAP | MapType::DEVMAP_HASH => "a value is the index of a network interface",
        MapType::CPUMAP => "a key is a possible CPU, and a value the length of its queue",
        MapType::CGROUP_STORAGE | MapType::PERCPU_CGROUP_STORAGE => {
            "the kernel makes an entry when a program that uses the map is attached to a cgroup"
        }
        _ => return storage(kind),
    })
}

/// What a key of local storage is.
fn storage(kind: MapType) -> Option<&'static str> {
    Some(match kind {
        MapType::SK_STORAGE => "a key is the number of an inherited descriptor of a socket",
        MapType::INODE_STORAGE => "a key is the number of an inherited descriptor of a file",
        MapType::TASK_STORAGE => "a key is the number of an inherited pidfd",
        MapType::CGRP_STORAGE => {
            "a key is the number of an inherited descriptor of a cgroup's directory"
        }
        _ => return None,
    })
}
