//! The names of the types of programs and links.

/// `enum bpf_prog_type` of `include/uapi/linux/bpf.h`, Linux 6.18, as bpftool prints them.
const PROGRAM_TYPES: [&str; 33] = [
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

/// `enum bpf_link_type` of the same, as libbpf names them for bpftool.
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

/// The name of a program type, or `type N` for one that the table does not know.
pub fn program_type(number: u32) -> String {
    name(&PROGRAM_TYPES, number)
}

/// The name of a link type, likewise.
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
    fn types_go_by_bpftools_names_and_an_unknown_one_by_its_number() {
        assert_eq!(
            (program_type(1), program_type(3)),
            ("socket_filter".into(), "sched_cls".into())
        );
        assert_eq!((program_type(32), program_type(33)), ("netfilter".into(), "type 33".into()));
        assert_eq!((link_type(4), link_type(11)), ("iter".into(), "tcx".into()));
        assert_eq!((link_type(14), link_type(15)), ("sockmap".into(), "type 15".into()));
    }
}
