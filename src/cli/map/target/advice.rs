//! What would work instead, for map types whose elements are not plain data.

use bpf_inherit::MapType;

/// Of a type without keys: how its elements are reached.
pub fn without_keys(kind: MapType) -> &'static str {
    match kind {
        MapType::QUEUE | MapType::STACK => "use push, pop and peek",
        MapType::BLOOM_FILTER => "use push and has",
        MapType::RINGBUF => "programs fill it, and its reader maps it into memory",
        MapType::USER_RINGBUF => "its writer maps it into memory, and programs read it",
        MapType::ARENA => "its loader maps it into memory, which programs share",
        _ => "bpftool map may know more of it",
    }
}

/// Of a type whose values the kernel does not tell, or not in every size: what they are.
pub fn reading(kind: MapType) -> Option<&'static str> {
    Some(match kind {
        MapType::PERF_EVENT_ARRAY => "its values are perf events, read by whoever opened them",
        MapType::CGROUP_ARRAY => "its values are cgroups, which the kernel does not tell",
        MapType::XSKMAP => "its values are AF_XDP sockets, which the kernel does not tell",
        MapType::SOCKMAP | MapType::SOCKHASH | MapType::REUSEPORT_SOCKARRAY => {
            "its values are sockets, whose cookies only a map with 8 bytes a value tells"
        }
        _ => return storage(kind),
    })
}

/// Of a type whose values are not bytes that one may choose: what is to be given.
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
            "an element is made when a program that uses it is attached to a cgroup"
        }
        _ => return storage(kind),
    })
}

/// Of local storage: what a key is.
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
