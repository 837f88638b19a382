//! The names of program types and link types.

/// `enum bpf_prog_type` of `include/uapi/linux/bpf.h`, Linux 6.18, as bpftool prints them.
pub const PROGRAM_TYPES: [&str; 33] = [
    "unspec",
    "socket_filter",
    "kprobe",
    "sched_cls",
    "sched_act",
    "tracepoint",
    "xdp",
    "perf_event",
    "cgroup_skb",
    "cgroup_sock",
    "lwt_in",
    "lwt_out",
    "lwt_xmit",
    "sock_ops",
    "sk_skb",
    "cgroup_device",
    "sk_msg",
    "raw_tracepoint",
    "cgroup_sock_addr",
    "lwt_seg6local",
    "lirc_mode2",
    "sk_reuseport",
    "flow_dissector",
    "cgroup_sysctl",
    "raw_tracepoint_writable",
    "cgroup_sockopt",
    "tracing",
    "struct_ops",
    "ext",
    "lsm",
    "sk_lookup",
    "syscall",
    "netfilter",
];

/// `enum bpf_link_type` of the same file, with libbpf's names, which bpftool prints.
const LINK_TYPES: [&str; 15] = [
    "unspec",
    "raw_tracepoint",
    "tracing",
    "cgroup",
    "iter",
    "netns",
    "xdp",
    "perf_event",
    "kprobe_multi",
    "struct_ops",
    "netfilter",
    "tcx",
    "uprobe_multi",
    "netkit",
    "sockmap",
];

/// The name of a program type, or `type N` if the table does not have it.
pub fn program_type(number: u32) -> String {
    name(&PROGRAM_TYPES, number)
}

/// The name of a link type, or `type N` if the table does not have it.
pub fn link_type(number: u32) -> String {
    name(&LINK_TYPES, number)
}

fn name(types: &[&str], number: u32) -> String {
    let known = types.get(number as usize);
    known.map_or_else(|| format!("type {number}"), |name| (*name).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_the_names_of_bpftool() {
        assert_eq!(
            (program_type(1), program_type(3)),
            ("socket_filter".into(), "sched_cls".into())
        );
        assert_eq!((program_type(32), program_type(33)), ("netfilter".into(), "type 33".into()));
        assert_eq!((link_type(4), link_type(11)), ("iter".into(), "tcx".into()));
        assert_eq!((link_type(14), link_type(15)), ("sockmap".into(), "type 15".into()));
    }
}
