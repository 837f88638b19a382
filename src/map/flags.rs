//! The flags of maps, by the kernel's names.

pub const NO_PREALLOC: u32 = 1;
pub const MMAPABLE: u32 = 1 << 10;

/// The flags of BPF_MAP_CREATE, by the kernel's names without `BPF_F_`
/// (`include/uapi/linux/bpf.h`, Linux 6.19). Bit 14, PATH_FD, is not one of them: it belongs to
/// BPF_OBJ_GET and BPF_OBJ_PIN.
const FLAGS: [(&str, u32); 19] = [
    ("NO_PREALLOC", NO_PREALLOC),
    ("NO_COMMON_LRU", 1 << 1),
    ("NUMA_NODE", 1 << 2),
    ("RDONLY", 1 << 3),
    ("WRONLY", 1 << 4),
    ("STACK_BUILD_ID", 1 << 5),
    ("ZERO_SEED", 1 << 6),
    ("RDONLY_PROG", 1 << 7),
    ("WRONLY_PROG", 1 << 8),
    ("CLONE", 1 << 9),
    ("MMAPABLE", MMAPABLE),
    ("PRESERVE_ELEMS", 1 << 11),
    ("INNER_MAP", 1 << 12),
    ("LINK", 1 << 13),
    ("VTYPE_BTF_OBJ_FD", 1 << 15),
    ("TOKEN_FD", 1 << 16),
    ("SEGV_ON_FAULT", 1 << 17),
    ("NO_USER_CONV", 1 << 18),
    ("RB_OVERWRITE", 1 << 19),
];

/// The bit of a creation flag, by its name with or without `BPF_F_`.
pub fn by_name(name: &str) -> Option<u32> {
    let name = name.strip_prefix("BPF_F_").unwrap_or(name);
    FLAGS.iter().find(|(known, _)| *known == name).map(|(_, bit)| *bit)
}

/// The names of the flags in `bits`, without `BPF_F_`; bits without a name in hex.
pub fn names(bits: u32) -> Vec<String> {
    let known = FLAGS.iter().filter(|(_, bit)| bits & bit != 0);
    let rest = FLAGS.iter().fold(bits, |rest, (_, bit)| rest & !bit);
    let rest = (rest != 0).then(|| format!("{rest:#x}"));
    known.map(|(name, _)| (*name).into()).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_by_the_kernels_names() {
        assert_eq!(by_name("BPF_F_MMAPABLE"), Some(1024));
        assert_eq!(by_name("MMAPABLE"), Some(1024));
        assert_eq!(by_name("mmapable"), None);
        assert_eq!(names(1 << 10 | 1 | 1 << 30), ["NO_PREALLOC", "MMAPABLE", "0x40000000"]);
        assert_eq!(names(0x2000), ["LINK"]);
        assert_eq!(
            names(0xb_8000),
            ["VTYPE_BTF_OBJ_FD", "TOKEN_FD", "SEGV_ON_FAULT", "RB_OVERWRITE"]
        );
    }
}
