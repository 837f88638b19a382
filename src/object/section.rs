//! The types of programs, by the names of sections that libbpf and tc define.

use aya_obj::generated::bpf_attach_type::{self, *};
use aya_obj::generated::{BPF_F_SLEEPABLE, BPF_F_XDP_HAS_FRAGS};

/// How programs of a section are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionType<'a> {
    /// The kernel's name of the program type, in lower case.
    pub program_type: &'static str,
    /// `enum bpf_attach_type`; 0 for types that have none.
    pub attach_type: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// The function of the kernel that the program is attached to.
    pub target: Option<KernelTarget<'a>>,
}

/// The target that a tracing program is attached to, by its name in the kernel's BTF: a prefix, and
/// the name in the section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelTarget<'a> {
    Function(&'static str, &'a str),
    Typedef(&'static str, &'a str),
}

/// The part before the slash, the part after it (`*` for any), the type, and the attach type.
type SectionRow = (&'static str, &'static str, &'static str, Option<bpf_attach_type>);

/// The first row that matches applies.
#[rustfmt::skip]
const SECTIONS: &[SectionRow] = &[
    ("socket", "*", "socket_filter", None),
    ("socket_filter", "*", "socket_filter", None),
    ("sk_reuseport", "migrate", "sk_reuseport", Some(BPF_SK_REUSEPORT_SELECT_OR_MIGRATE)),
    ("sk_reuseport", "*", "sk_reuseport", Some(BPF_SK_REUSEPORT_SELECT)),
    ("kprobe.multi", "*", "kprobe", Some(BPF_TRACE_KPROBE_MULTI)),
    ("kretprobe.multi", "*", "kprobe", Some(BPF_TRACE_KPROBE_MULTI)),
    ("uprobe.multi", "*", "kprobe", Some(BPF_TRACE_UPROBE_MULTI)),
    ("uretprobe.multi", "*", "kprobe", Some(BPF_TRACE_UPROBE_MULTI)),
    ("kprobe", "*", "kprobe", None),
    ("kretprobe", "*", "kprobe", None),
    ("uprobe", "*", "kprobe", None),
    ("uretprobe", "*", "kprobe", None),
    ("ksyscall", "*", "kprobe", None),
    ("kretsyscall", "*", "kprobe", None),
    ("usdt", "*", "kprobe", None),
    ("tc", "ingress", "sched_cls", Some(BPF_TCX_INGRESS)),
    ("tc", "egress", "sched_cls", Some(BPF_TCX_EGRESS)),
    ("tcx", "ingress", "sched_cls", Some(BPF_TCX_INGRESS)),
    ("tcx", "egress", "sched_cls", Some(BPF_TCX_EGRESS)),
    ("netkit", "primary", "sched_cls", Some(BPF_NETKIT_PRIMARY)),
    ("netkit", "peer", "sched_cls", Some(BPF_NETKIT_PEER)),
    ("tc", "*", "sched_cls", None),
    ("classifier", "*", "sched_cls", None),
    ("cls", "*", "sched_cls", None),
    ("action", "*", "sched_act", None),
    ("act", "*", "sched_act", None),
    ("tracepoint", "*", "tracepoint", None),
    ("tp", "*", "tracepoint", None),
    ("raw_tracepoint.w", "*", "raw_tracepoint_writable", None),
    ("raw_tp.w", "*", "raw_tracepoint_writable", None),
    ("raw_tracepoint", "*", "raw_tracepoint", None),
    ("raw_tp", "*", "raw_tracepoint", None),
    ("tp_btf", "*", "tracing", Some(BPF_TRACE_RAW_TP)),
    ("fentry", "*", "tracing", Some(BPF_TRACE_FENTRY)),
    ("fexit", "*", "tracing", Some(BPF_TRACE_FEXIT)),
    ("fmod_ret", "*", "tracing", Some(BPF_MODIFY_RETURN)),
    ("fsession", "*", "tracing", None),
    ("iter", "*", "tracing", Some(BPF_TRACE_ITER)),
    ("freplace", "*", "ext", None),
    ("lsm_cgroup", "*", "lsm", Some(BPF_LSM_CGROUP)),
    ("lsm", "*", "lsm", Some(BPF_LSM_MAC)),
    ("syscall", "*", "syscall", None),
    ("xdp", "devmap", "xdp", Some(BPF_XDP_DEVMAP)),
    ("xdp", "cpumap", "xdp", Some(BPF_XDP_CPUMAP)),
    ("xdp", "", "xdp", Some(BPF_XDP)),
    // libbpf has no other section of this name.
    ("xdp", "*", "xdp", None),
    ("perf_event", "*", "perf_event", None),
    ("lwt_in", "*", "lwt_in", None),
    ("lwt_out", "*", "lwt_out", None),
    ("lwt_xmit", "*", "lwt_xmit", None),
    ("lwt_seg6local", "*", "lwt_seg6local", None),
    ("sockops", "*", "sock_ops", Some(BPF_CGROUP_SOCK_OPS)),
    ("sk_skb", "stream_parser", "sk_skb", Some(BPF_SK_SKB_STREAM_PARSER)),
    ("sk_skb", "stream_verdict", "sk_skb", Some(BPF_SK_SKB_STREAM_VERDICT)),
    ("sk_skb", "verdict", "sk_skb", Some(BPF_SK_SKB_VERDICT)),
    ("sk_skb", "*", "sk_skb", None),
    ("sk_msg", "*", "sk_msg", Some(BPF_SK_MSG_VERDICT)),
    ("lirc_mode2", "*", "lirc_mode2", Some(BPF_LIRC_MODE2)),
    ("flow_dissector", "*", "flow_dissector", Some(BPF_FLOW_DISSECTOR)),
    ("cgroup_skb", "egress", "cgroup_skb", Some(BPF_CGROUP_INET_EGRESS)),
    ("cgroup_skb", "*", "cgroup_skb", Some(BPF_CGROUP_INET_INGRESS)),
    ("cgroup", "skb", "cgroup_skb", None),
    ("cgroup", "sock_create", "cgroup_sock", Some(BPF_CGROUP_INET_SOCK_CREATE)),
    ("cgroup", "sock_release", "cgroup_sock", Some(BPF_CGROUP_INET_SOCK_RELEASE)),
    ("cgroup", "sock", "cgroup_sock", Some(BPF_CGROUP_INET_SOCK_CREATE)),
    ("cgroup", "post_bind4", "cgroup_sock", Some(BPF_CGROUP_INET4_POST_BIND)),
    ("cgroup", "post_bind6", "cgroup_sock", Some(BPF_CGROUP_INET6_POST_BIND)),
    ("cgroup", "bind4", "cgroup_sock_addr", Some(BPF_CGROUP_INET4_BIND)),
    ("cgroup", "bind6", "cgroup_sock_addr", Some(BPF_CGROUP_INET6_BIND)),
    ("cgroup", "connect4", "cgroup_sock_addr", Some(BPF_CGROUP_INET4_CONNECT)),
    ("cgroup", "connect6", "cgroup_sock_addr", Some(BPF_CGROUP_INET6_CONNECT)),
    ("cgroup", "connect_unix", "cgroup_sock_addr", Some(BPF_CGROUP_UNIX_CONNECT)),
    ("cgroup", "sendmsg4", "cgroup_sock_addr", Some(BPF_CGROUP_UDP4_SENDMSG)),
    ("cgroup", "sendmsg6", "cgroup_sock_addr", Some(BPF_CGROUP_UDP6_SENDMSG)),
    ("cgroup", "sendmsg_unix", "cgroup_sock_addr", Some(BPF_CGROUP_UNIX_SENDMSG)),
    ("cgroup", "recvmsg4", "cgroup_sock_addr", Some(BPF_CGROUP_UDP4_RECVMSG)),
    ("cgroup", "recvmsg6", "cgroup_sock_addr", Some(BPF_CGROUP_UDP6_RECVMSG)),
    ("cgroup", "recvmsg_unix", "cgroup_sock_addr", Some(BPF_CGROUP_UNIX_RECVMSG)),
    ("cgroup", "getpeername4", "cgroup_sock_addr", Some(BPF_CGROUP_INET4_GETPEERNAME)),
    ("cgroup", "getpeername6", "cgroup_sock_addr", Some(BPF_CGROUP_INET6_GETPEERNAME)),
    ("cgroup", "getpeername_unix", "cgroup_sock_addr", Some(BPF_CGROUP_UNIX_GETPEERNAME)),
    ("cgroup", "getsockname4", "cgroup_sock_addr", Some(BPF_CGROUP_INET4_GETSOCKNAME)),
    ("cgroup", "getsockname6", "cgroup_sock_addr", Some(BPF_CGROUP_INET6_GETSOCKNAME)),
    ("cgroup", "getsockname_unix", "cgroup_sock_addr", Some(BPF_CGROUP_UNIX_GETSOCKNAME)),
    ("cgroup", "sysctl", "cgroup_sysctl", Some(BPF_CGROUP_SYSCTL)),
    ("cgroup", "getsockopt", "cgroup_sockopt", Some(BPF_CGROUP_GETSOCKOPT)),
    ("cgroup", "setsockopt", "cgroup_sockopt", Some(BPF_CGROUP_SETSOCKOPT)),
    ("cgroup", "dev", "cgroup_device", Some(BPF_CGROUP_DEVICE)),
    ("sk_lookup", "*", "sk_lookup", Some(BPF_SK_LOOKUP)),
    ("netfilter", "*", "netfilter", Some(BPF_NETFILTER)),
    ("struct_ops", "*", "struct_ops", None),
];

/// The type of the programs in a section; None if its name does not determine one.
pub fn section_type(name: &str) -> Option<SectionType<'_>> {
    let name = name.strip_prefix('?').unwrap_or(name);
    if tail_call_slot(name).is_some() {
        let (program_type, target) = ("sched_cls", None);
        return Some(SectionType { program_type, attach_type: 0, flags: 0, target });
    }
    let (stem, rest) = name.split_once('/').unwrap_or((name, ""));
    let mut flags = 0;
    let mut base = stem;
    if let Some(before) = base.strip_suffix(".s") {
        (base, flags) = (before, BPF_F_SLEEPABLE);
    } else if let Some(before) = base.strip_suffix(".frags") {
        (base, flags) = (before, BPF_F_XDP_HAS_FRAGS);
    }
    let (_, _, program_type, attach_type) = SECTIONS
        .iter()
        .find(|(stem, part, ..)| *stem == base && (*part == "*" || *part == rest))?;
    if *program_type == "syscall" {
        flags |= BPF_F_SLEEPABLE;
    }
    let target = match base {
        _ if rest.is_empty() => None,
        "tp_btf" => Some(KernelTarget::Typedef("btf_trace_", rest)),
        "fentry" | "fexit" | "fmod_ret" => Some(KernelTarget::Function("", rest)),
        "iter" => Some(KernelTarget::Function("bpf_iter_", rest)),
        "lsm" | "lsm_cgroup" => Some(KernelTarget::Function("bpf_lsm_", rest)),
        _ => None,
    };
    let attach_type = attach_type.map_or(0, |attach_type| attach_type as u32);
    Some(SectionType { program_type, attach_type, flags, target })
}

/// The id of a map and a key, of a section that iproute2 names `ID/KEY`: the program array and the slot
/// that its program is for.
pub fn tail_call_slot(section: &str) -> Option<(u32, u32)> {
    let (id, key) = section.split_once('/')?;
    Some((number(id)?, number(key)?))
}

/// A number as sscanf's `%i` reads it, without a sign.
fn number(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    all_digits.then(|| u32::from_str_radix(digits, radix).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_name_the_types_of_their_programs() {
        for (section, want) in [
            ("xdp", Some(("xdp", 37, 0))),
            ("xdp.frags/devmap", Some(("xdp", 33, 32))),
            ("xdp/other", Some(("xdp", 0, 0))),
            ("tc", Some(("sched_cls", 0, 0))),
            ("tc/entry", Some(("sched_cls", 0, 0))),
            ("tcx/ingress", Some(("sched_cls", 46, 0))),
            ("2/0", Some(("sched_cls", 0, 0))),
            ("0x2/017", Some(("sched_cls", 0, 0))),
            ("classifier", Some(("sched_cls", 0, 0))),
            ("action", Some(("sched_act", 0, 0))),
            ("kprobe/do_sys_open", Some(("kprobe", 0, 0))),
            ("uprobe.multi.s/x", Some(("kprobe", 48, 16))),
            ("?fentry.s/f", Some(("tracing", 24, 16))),
            ("raw_tp.w/x", Some(("raw_tracepoint_writable", 0, 0))),
            ("raw_tracepoint/sys_enter", Some(("raw_tracepoint", 0, 0))),
            ("cgroup/connect4", Some(("cgroup_sock_addr", 10, 0))),
            ("cgroup/sock_create", Some(("cgroup_sock", 2, 0))),
            ("cgroup_skb/egress", Some(("cgroup_skb", 1, 0))),
            ("syscall", Some(("syscall", 0, 16))),
            ("prog", None),
            ("ingress", None),
            ("cgroup/other", None),
            ("2/x", None),
            (".text", None),
        ] {
            let found = section_type(section).map(|s| (s.program_type, s.attach_type, s.flags));
            assert_eq!(found, want, "{section}");
        }
    }

    #[test]
    fn attached_functions_have_the_names_of_the_kernel() {
        for (section, target) in [
            ("fentry/f", KernelTarget::Function("", "f")),
            ("iter/bpf_map", KernelTarget::Function("bpf_iter_", "bpf_map")),
            ("lsm.s/bpf", KernelTarget::Function("bpf_lsm_", "bpf")),
            ("tp_btf/sys_enter", KernelTarget::Typedef("btf_trace_", "sys_enter")),
        ] {
            assert_eq!(section_type(section).and_then(|s| s.target), Some(target), "{section}");
        }
    }
}
