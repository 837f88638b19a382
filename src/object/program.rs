//! The programs of an object: functions in sections of instructions.

use super::elf::{Elf, Symbol};
use object::elf::{SHT_PROGBITS, STT_FUNC, STT_NOTYPE};

/// A function that can be loaded as a program.
#[derive(Debug)]
pub struct Program {
    pub name: String,
    pub section: String,
    /// Bytes of instructions.
    pub size: u64,
    /// The type, by the section's name, as the kernel's name in lower case.
    pub program_type: Option<&'static str>,
}

/// The section of functions that programs call.
const TEXT: &str = ".text";

/// All programs; functions in `.text` are called by programs, unless there are no others.
pub fn programs(elf: &Elf) -> Vec<Program> {
    let mut found = Vec::new();
    for (index, section) in elf.sections.iter().enumerate() {
        if section.section_type != SHT_PROGBITS || !section.is_code || section.size == 0 {
            continue;
        }
        let mut functions: Vec<&Symbol> =
            elf.symbols_in(index).filter(|s| is_function(s)).collect();
        functions.sort_by_key(|function| function.value);
        for (at, function) in functions.iter().enumerate() {
            // Old compilers omit the size: a function ends at the start of the next one.
            let end = functions.get(at + 1).map_or(section.size, |next| next.value);
            let size = match function.size {
                0 => end.saturating_sub(function.value),
                size => size,
            };
            found.push(Program {
                name: function.name.into(),
                section: section.name.into(),
                size,
                program_type: type_of_section(section.name),
            });
        }
    }
    if found.len() > 1 {
        found.retain(|program| program.section != TEXT);
    }
    found
}

/// Old compilers give functions no type, but then they are global, and labels are not.
fn is_function(symbol: &Symbol) -> bool {
    match symbol.symbol_type {
        STT_FUNC => !symbol.name.is_empty(),
        STT_NOTYPE => symbol.is_global && !symbol.name.is_empty(),
        _ => false,
    }
}

/// The type of the programs in a section, by the names that libbpf and tc use.
fn type_of_section(name: &str) -> Option<&'static str> {
    let name = name.strip_prefix('?').unwrap_or(name);
    let (stem, rest) = name.split_once('/').unwrap_or((name, ""));
    // A variant of the same type, such as `.s` for programs that may sleep.
    let base = stem.split_once('.').map_or(stem, |(base, _)| base);
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    Some(match (base, rest) {
        ("socket" | "socket_filter", _) => "socket_filter",
        ("sk_reuseport", _) => "sk_reuseport",
        (
            "kprobe" | "kretprobe" | "uprobe" | "uretprobe" | "ksyscall" | "kretsyscall" | "usdt",
            _,
        ) => "kprobe",
        ("tc" | "tcx" | "netkit" | "classifier" | "cls", _) => "sched_cls",
        ("action" | "act", _) => "sched_act",
        ("tracepoint" | "tp", _) => "tracepoint",
        ("raw_tracepoint" | "raw_tp", _) if stem.ends_with(".w") => "raw_tracepoint_writable",
        ("raw_tracepoint" | "raw_tp", _) => "raw_tracepoint",
        ("tp_btf" | "fentry" | "fexit" | "fmod_ret" | "fsession" | "iter", _) => "tracing",
        ("freplace", _) => "ext",
        ("lsm" | "lsm_cgroup", _) => "lsm",
        ("syscall", _) => "syscall",
        ("xdp", _) => "xdp",
        ("perf_event", _) => "perf_event",
        ("lwt_in", _) => "lwt_in",
        ("lwt_out", _) => "lwt_out",
        ("lwt_xmit", _) => "lwt_xmit",
        ("lwt_seg6local", _) => "lwt_seg6local",
        ("sockops", _) => "sock_ops",
        ("sk_skb", _) => "sk_skb",
        ("sk_msg", _) => "sk_msg",
        ("lirc_mode2", _) => "lirc_mode2",
        ("flow_dissector", _) => "flow_dissector",
        ("sk_lookup", _) => "sk_lookup",
        ("netfilter", _) => "netfilter",
        ("struct_ops", _) => "struct_ops",
        ("cgroup_skb", _) | ("cgroup", "skb") => "cgroup_skb",
        ("cgroup", "sock" | "sock_create" | "sock_release" | "post_bind4" | "post_bind6") => {
            "cgroup_sock"
        }
        ("cgroup", "sysctl") => "cgroup_sysctl",
        ("cgroup", "getsockopt" | "setsockopt") => "cgroup_sockopt",
        ("cgroup", "dev") => "cgroup_device",
        ("cgroup", rest)
            if ["bind", "connect", "sendmsg", "recvmsg", "getpeername", "getsockname"]
                .iter()
                .any(|stem| rest.starts_with(stem)) =>
        {
            "cgroup_sock_addr"
        }
        // iproute2 names the map and the key that a program is for.
        (id, key) if number(id) && number(key) => "sched_cls",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::type_of_section;

    #[test]
    fn sections_name_the_types_of_their_programs() {
        for (section, program_type) in [
            ("xdp", Some("xdp")),
            ("xdp.frags/devmap", Some("xdp")),
            ("tc", Some("sched_cls")),
            ("tcx/ingress", Some("sched_cls")),
            ("2/0", Some("sched_cls")),
            ("classifier", Some("sched_cls")),
            ("action", Some("sched_act")),
            ("kprobe/do_sys_open", Some("kprobe")),
            ("uprobe.multi.s/x", Some("kprobe")),
            ("?fentry.s/f", Some("tracing")),
            ("raw_tp.w/x", Some("raw_tracepoint_writable")),
            ("raw_tracepoint/sys_enter", Some("raw_tracepoint")),
            ("cgroup/connect4", Some("cgroup_sock_addr")),
            ("cgroup/sock_create", Some("cgroup_sock")),
            ("cgroup_skb/egress", Some("cgroup_skb")),
            ("prog", None),
            ("ingress", None),
            (".text", None),
        ] {
            assert_eq!(type_of_section(section), program_type, "{section}");
        }
    }
}
