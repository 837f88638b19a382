//! What would work instead, for map types whose elements are not plain data.

use crate::map::kind::Kind;

/// Of a type without keys: how its elements are reached.
pub fn without_keys(kind: Kind) -> &'static str {
    match kind {
        Kind::QUEUE | Kind::STACK => "use push, pop and peek",
        Kind::BLOOM_FILTER => "use push and has",
        Kind::RINGBUF => "programs fill it, and its reader maps it into memory",
        Kind::USER_RINGBUF => "its writer maps it into memory, and programs read it",
        Kind::ARENA => "its loader maps it into memory, which programs share",
        _ => "bpftool map may know more of it",
    }
}

/// Of a type whose values the kernel does not tell, or not in every size: what they are.
pub fn reading(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::PERF_EVENT_ARRAY => "its values are perf events, read by whoever opened them",
        Kind::CGROUP_ARRAY => "its values are cgroups, which the kernel does not tell",
        Kind::XSKMAP => "its values are AF_XDP sockets, which the kernel does not tell",
        Kind::SOCKMAP | Kind::SOCKHASH | Kind::REUSEPORT_SOCKARRAY => {
            "its values are sockets, whose cookies only a map with 8 bytes a value tells"
        }
        _ => return storage(kind),
    })
}

/// Of a type whose values are not bytes that one may choose: what is to be given.
pub fn writing(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::STACK_TRACE => "only programs fill it",
        Kind::PERF_EVENT_ARRAY => {
            "a value is the number of an inherited descriptor of a perf event"
        }
        Kind::CGROUP_ARRAY => {
            "a value is the number of an inherited descriptor of a cgroup's directory"
        }
        Kind::SOCKMAP | Kind::SOCKHASH => {
            "a value is the number of an inherited descriptor of a connected socket"
        }
        Kind::REUSEPORT_SOCKARRAY => {
            "a value is the number of an inherited descriptor of a SO_REUSEPORT socket"
        }
        Kind::XSKMAP => "a value is the number of an inherited descriptor of an AF_XDP socket",
        Kind::PROG_ARRAY => "a value is a program of the same type as those before it",
        Kind::ARRAY_OF_MAPS | Kind::HASH_OF_MAPS => {
            "a value is a map of the type, the sizes and the flags that it was made for"
        }
        Kind::DEVMAP | Kind::DEVMAP_HASH => "a value is the index of a network interface",
        Kind::CPUMAP => "a key is a possible CPU, and a value the length of its queue",
        Kind::CGROUP_STORAGE | Kind::PERCPU_CGROUP_STORAGE => {
            "an element is made when a program that uses it is attached to a cgroup"
        }
        _ => return storage(kind),
    })
}

/// Of local storage: what a key is.
fn storage(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::SK_STORAGE => "a key is the number of an inherited descriptor of a socket",
        Kind::INODE_STORAGE => "a key is the number of an inherited descriptor of a file",
        Kind::TASK_STORAGE => "a key is the number of an inherited pidfd",
        Kind::CGRP_STORAGE => {
            "a key is the number of an inherited descriptor of a cgroup's directory"
        }
        _ => return None,
    })
}
