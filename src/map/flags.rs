//! The creation flags of maps, by the kernel's names.

use aya_obj::generated as kernel;

/// `BPF_F_RB_OVERWRITE`, since Linux 6.19.
const RB_OVERWRITE: u32 = 1 << 19;

/// The flags of BPF_MAP_CREATE, without `BPF_F_` (`include/uapi/linux/bpf.h`, Linux 6.19). Bit 14,
/// PATH_FD, is not one of them: it belongs to BPF_OBJ_GET and BPF_OBJ_PIN.
const FLAGS: [(&str, u32); 19] = [
    ("NO_PREALLOC", kernel::BPF_F_NO_PREALLOC),
    ("NO_COMMON_LRU", kernel::BPF_F_NO_COMMON_LRU),
    ("NUMA_NODE", kernel::BPF_F_NUMA_NODE),
    ("RDONLY", kernel::BPF_F_RDONLY),
    ("WRONLY", kernel::BPF_F_WRONLY),
    ("STACK_BUILD_ID", kernel::BPF_F_STACK_BUILD_ID),
    ("ZERO_SEED", kernel::BPF_F_ZERO_SEED),
    ("RDONLY_PROG", kernel::BPF_F_RDONLY_PROG),
    ("WRONLY_PROG", kernel::BPF_F_WRONLY_PROG),
    ("CLONE", kernel::BPF_F_CLONE),
    ("MMAPABLE", kernel::BPF_F_MMAPABLE),
    ("PRESERVE_ELEMS", kernel::BPF_F_PRESERVE_ELEMS),
    ("INNER_MAP", kernel::BPF_F_INNER_MAP),
    ("LINK", kernel::BPF_F_LINK),
    ("VTYPE_BTF_OBJ_FD", kernel::BPF_F_VTYPE_BTF_OBJ_FD),
    ("TOKEN_FD", kernel::BPF_F_TOKEN_FD),
    ("SEGV_ON_FAULT", kernel::BPF_F_SEGV_ON_FAULT),
    ("NO_USER_CONV", kernel::BPF_F_NO_USER_CONV),
    ("RB_OVERWRITE", RB_OVERWRITE),
];

/// The bit of the creation flag with this name, with or without `BPF_F_`; None if the name is
/// unknown. Names are case-sensitive.
pub fn parse_name(name: &str) -> Option<u32> {
    let name = name.strip_prefix("BPF_F_").unwrap_or(name);
    FLAGS.iter().find(|(known, _)| *known == name).map(|(_, bit)| *bit)
}

/// The names of the flags in `bits`, without `BPF_F_`; bits without a name in hex.
pub fn list_names(bits: u32) -> Vec<String> {
    let known = FLAGS.iter().filter(|(_, bit)| bits & bit != 0);
    let rest = FLAGS.iter().fold(bits, |rest, (_, bit)| rest & !bit);
    let rest = (rest != 0).then(|| format!("{rest:#x}"));
    known.map(|(name, _)| (*name).into()).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_have_the_names_of_the_kernel() {
        assert_eq!(parse_name("BPF_F_MMAPABLE"), Some(1024));
        assert_eq!(parse_name("MMAPABLE"), Some(1024));
        assert_eq!(parse_name("mmapable"), None);
        assert_eq!(list_names(1 << 10 | 1 | 1 << 30), ["NO_PREALLOC", "MMAPABLE", "0x40000000"]);
        assert_eq!(list_names(0x2000), ["LINK"]);
        assert_eq!(
            list_names(0xb_8000),
            ["VTYPE_BTF_OBJ_FD", "TOKEN_FD", "SEGV_ON_FAULT", "RB_OVERWRITE"]
        );
    }
}
