//! The table of map types: a row for each, and what can be asked of it.

/// `enum bpf_map_type`. The kernel may know more types than this table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MapType(pub u32);

/// What a type wants to be told when a map of it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// It must be given.
    Given,
    /// There is none: the kernel wants 0.
    Nothing,
    /// This, unless something else is given.
    Default(u32),
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// The type.
    pub map_type: MapType,
    /// As bpftool prints it, from the kernel's `BPF_MAP_TYPE_*`.
    pub name: &'static str,
    /// Bytes of a key.
    pub key: Want,
    /// Bytes of a value.
    pub value: Want,
    /// How many entries.
    pub entries: Want,
    /// Flags without which the kernel refuses to create one.
    pub flags: u32,
}

/// `BPF_F_NO_PREALLOC`.
pub const NO_PREALLOC: u32 = 1;
/// `BPF_F_MMAPABLE`.
pub const MMAPABLE: u32 = 1 << 10;

use Want::{Default as Or, Given, Nothing};

/// `enum bpf_map_type` of `include/uapi/linux/bpf.h`, Linux 6.18. The wants are
/// those of each type's `map_alloc_check` in `kernel/bpf` and `net`.
#[rustfmt::skip]
const TABLE: [Row; 33] = [
    row(1,  "hash",                   Given,   Given,   Given,   0),
    row(2,  "array",                  Or(4),   Given,   Given,   0),
    row(3,  "prog_array",             Or(4),   Or(4),   Given,   0),
    row(4,  "perf_event_array",       Or(4),   Or(4),   Given,   0),
    row(5,  "percpu_hash",            Given,   Given,   Given,   0),
    row(6,  "percpu_array",           Or(4),   Given,   Given,   0),
    row(7,  "stack_trace",            Or(4),   Given,   Given,   0),
    row(8,  "cgroup_array",           Or(4),   Or(4),   Given,   0),
    row(9,  "lru_hash",               Given,   Given,   Given,   0),
    row(10, "lru_percpu_hash",        Given,   Given,   Given,   0),
    row(11, "lpm_trie",               Given,   Given,   Given,   NO_PREALLOC),
    row(12, "array_of_maps",          Or(4),   Or(4),   Given,   0),
    row(13, "hash_of_maps",           Given,   Or(4),   Given,   0),
    row(14, "devmap",                 Or(4),   Or(4),   Given,   0),
    row(15, "sockmap",                Or(4),   Or(4),   Given,   0),
    row(16, "cpumap",                 Or(4),   Or(4),   Given,   0),
    row(17, "xskmap",                 Or(4),   Or(4),   Given,   0),
    row(18, "sockhash",               Given,   Or(4),   Given,   0),
    row(19, "cgroup_storage",         Or(8),   Given,   Nothing, 0),
    row(20, "reuseport_sockarray",    Or(4),   Or(4),   Given,   0),
    row(21, "percpu_cgroup_storage",  Or(8),   Given,   Nothing, 0),
    row(22, "queue",                  Nothing, Given,   Given,   0),
    row(23, "stack",                  Nothing, Given,   Given,   0),
    row(24, "sk_storage",             Or(4),   Given,   Nothing, NO_PREALLOC),
    row(25, "devmap_hash",            Or(4),   Or(4),   Given,   0),
    row(26, "struct_ops",             Or(4),   Given,   Given,   0),
    row(27, "ringbuf",                Nothing, Nothing, Given,   0),
    row(28, "inode_storage",          Or(4),   Given,   Nothing, NO_PREALLOC),
    row(29, "task_storage",           Or(4),   Given,   Nothing, NO_PREALLOC),
    row(30, "bloom_filter",           Nothing, Given,   Given,   0),
    row(31, "user_ringbuf",           Nothing, Nothing, Given,   0),
    row(32, "cgrp_storage",           Or(4),   Given,   Nothing, NO_PREALLOC),
    row(33, "arena",                  Nothing, Nothing, Given,   MMAPABLE),
];

const fn row(
    map_type: u32,
    name: &'static str,
    key: Want,
    value: Want,
    entries: Want,
    flags: u32,
) -> Row {
    Row { map_type: MapType(map_type), name, key, value, entries, flags }
}

/// The row of the type with this name; a leading `BPF_MAP_TYPE_` in capitals is taken too.
pub fn by_name(name: &str) -> Option<&'static Row> {
    let kernel = name.strip_prefix("BPF_MAP_TYPE_").map(str::to_ascii_lowercase);
    let name = kernel.as_deref().unwrap_or(name);
    TABLE.iter().find(|row| row.name == name)
}

#[allow(missing_docs)]
impl MapType {
    pub const ARRAY: MapType = MapType(2);
    pub const PROG_ARRAY: MapType = MapType(3);
    pub const PERF_EVENT_ARRAY: MapType = MapType(4);
    pub const STACK_TRACE: MapType = MapType(7);
    pub const CGROUP_ARRAY: MapType = MapType(8);
    pub const LPM_TRIE: MapType = MapType(11);
    pub const ARRAY_OF_MAPS: MapType = MapType(12);
    pub const HASH_OF_MAPS: MapType = MapType(13);
    pub const DEVMAP: MapType = MapType(14);
    pub const SOCKMAP: MapType = MapType(15);
    pub const CPUMAP: MapType = MapType(16);
    pub const XSKMAP: MapType = MapType(17);
    pub const SOCKHASH: MapType = MapType(18);
    pub const CGROUP_STORAGE: MapType = MapType(19);
    pub const REUSEPORT_SOCKARRAY: MapType = MapType(20);
    pub const PERCPU_CGROUP_STORAGE: MapType = MapType(21);
    pub const QUEUE: MapType = MapType(22);
    pub const STACK: MapType = MapType(23);
    pub const SK_STORAGE: MapType = MapType(24);
    pub const DEVMAP_HASH: MapType = MapType(25);
    pub const STRUCT_OPS: MapType = MapType(26);
    pub const RINGBUF: MapType = MapType(27);
    pub const INODE_STORAGE: MapType = MapType(28);
    pub const TASK_STORAGE: MapType = MapType(29);
    pub const BLOOM_FILTER: MapType = MapType(30);
    pub const USER_RINGBUF: MapType = MapType(31);
    pub const CGRP_STORAGE: MapType = MapType(32);
    pub const ARENA: MapType = MapType(33);

    /// The type's name, or `type N` for one that this table does not know.
    pub fn name(self) -> String {
        match TABLE.iter().find(|row| row.map_type == self) {
            Some(row) => row.name.into(),
            None => format!("type {}", self.0),
        }
    }

    /// Whether it has no elements to be written by bpf(2): ring buffers, arenas,
    /// struct_ops, and stack traces, which only programs write.
    pub fn has_no_elements(self) -> bool {
        matches!(self.0, 7 | 26 | 27 | 31 | 33)
    }

    /// Whether an element is, or belongs to, an object that has to be given as a descriptor:
    /// a program, a map, a socket, a cgroup, a task.
    pub fn takes_objects(self) -> bool {
        self.takes_descriptors() || self.is_keyed_by_descriptor()
    }

    /// Whether a full one makes room for a new element by dropping an old one.
    pub fn evicts(self) -> bool {
        matches!(self.0, 9 | 10)
    }

    /// The name after an article: `an array`.
    pub fn with_article(self) -> String {
        let name = self.name();
        let vowel = name.starts_with(['a', 'i', 'x'])
            || name.starts_with("lru_")
            || name.starts_with("lpm_");
        format!("{} {name}", if vowel { "an" } else { "a" })
    }

    /// Whether its values are maps.
    pub fn holds_maps(self) -> bool {
        matches!(self, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS)
    }

    /// Whether the kernel creates one only with BTF for key and value.
    pub fn wants_btf(self) -> bool {
        matches!(self.0, 24 | 28 | 29 | 32)
    }

    /// Whether its keys are places, from 0 to the number of entries.
    pub fn is_indexed(self) -> bool {
        matches!(self.0, 2 | 3 | 4 | 6 | 8 | 12 | 14 | 15 | 16 | 17 | 20)
    }

    /// Whether its values are bytes that user space and programs choose as they like, and not
    /// programs, maps, sockets or devices.
    pub fn holds_data(self) -> bool {
        matches!(self.0, 1 | 2 | 5 | 6 | 9 | 10 | 11 | 19 | 21 | 22 | 23 | 24 | 28 | 29 | 32)
    }

    /// Whether a key is a descriptor of the process that asks.
    pub fn is_keyed_by_descriptor(self) -> bool {
        matches!(self.0, 24 | 28 | 29 | 32)
    }

    /// Whether a value that is written is a descriptor of the process that writes.
    pub fn takes_descriptors(self) -> bool {
        matches!(self.0, 3 | 4 | 8 | 12 | 13 | 15 | 17 | 18 | 20)
    }

    /// Whether an update may ask for the key to be there, or not to be.
    pub fn takes_conditions(self) -> bool {
        !matches!(self.0, 3 | 4 | 8 | 12 | 14 | 16)
    }

    /// Whether this table has the type, so that the sizes of its entries are known.
    pub fn is_known(self) -> bool {
        TABLE.iter().any(|row| row.map_type == self)
    }

    /// Whether a value may contain a `struct bpf_spin_lock` (`map_check_btf` in
    /// `kernel/bpf/syscall.c`).
    pub fn may_lock(self) -> bool {
        matches!(self.0, 1 | 2 | 19 | 24 | 28 | 29 | 32)
    }

    /// Whether an element is one value for each possible CPU.
    pub fn is_per_cpu(self) -> bool {
        matches!(self.0, 5 | 6 | 10 | 21)
    }

    /// Whether its keys are the numbers from 0 to the last slot, and the kernel steps through
    /// them in that order, whether or not there is something in them.
    pub fn is_walked_by_index(self) -> bool {
        matches!(self.0, 2..=4 | 6..=8 | 12 | 14..=17 | 20)
    }

    /// Whether every slot always holds a value, which can be written and not deleted.
    pub fn is_filled(self) -> bool {
        matches!(self.0, 2 | 6)
    }

    /// Whether an element stays until the kernel removes it: a slot of an array, or what belongs to
    /// an attached program and its cgroup.
    pub fn keeps_elements(self) -> bool {
        self.is_filled() || matches!(self, MapType::CGROUP_STORAGE | MapType::PERCPU_CGROUP_STORAGE)
    }

    /// Whether values go in and out at the ends, without keys.
    pub fn is_queue(self) -> bool {
        matches!(self.0, 22 | 23)
    }

    /// Whether the kernel returns no value of a map of this type, whatever is in it. Sockets are
    /// returned as their cookies, if values have the 8 bytes of one.
    pub fn hides_values(self, value_size: u32) -> bool {
        match self {
            MapType::PERF_EVENT_ARRAY | MapType::CGROUP_ARRAY | MapType::XSKMAP => true,
            MapType::SOCKMAP | MapType::SOCKHASH | MapType::REUSEPORT_SOCKARRAY => value_size != 8,
            _ => false,
        }
    }

    /// What works instead, for a type whose elements cannot be told one after the other.
    pub fn instead_of_walking(self) -> Option<&'static str> {
        Some(match self.0 {
            22 | 23 => "it has no keys: see peek and pop",
            30 => "it only tells whether a value is in it: see has",
            4 => "its entries cannot be read: perf event buffers are for bpftool map event_pipe",
            8 => "its entries cannot be read: only a program can test against them",
            17 => "its entries cannot be read: see ss --xdp",
            27 => "its records go to whoever maps it, such as libbpf's ring_buffer__new",
            31 => "it is written by whoever maps it, such as libbpf's user_ring_buffer__new",
            33 => "it is memory without elements: map it with mmap",
            24 | 28 | 29 | 32 => {
                "its elements hang on what owns them: get one by its owner's descriptor, or pin an \
                 iterator, see bpftool-iter"
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_one_row_in_the_kernels_order() {
        for (row, number) in TABLE.iter().zip(1..) {
            assert_eq!(row.map_type, MapType(number));
            assert_eq!(by_name(row.name).map(|r| r.map_type), Some(row.map_type));
        }
        assert_eq!(MapType(99).name(), "type 99");
        assert_eq!(MapType::SOCKMAP.with_article(), "a sockmap");
        assert_eq!(MapType::INODE_STORAGE.with_article(), "an inode_storage");
        assert_eq!(MapType::ARRAY_OF_MAPS.with_article(), "an array_of_maps");
        assert_eq!(by_name("BPF_MAP_TYPE_LPM_TRIE").map(|r| r.map_type), Some(MapType::LPM_TRIE));
    }
}
