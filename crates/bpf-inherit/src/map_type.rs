//! The table of map types, with one row per type and all the properties that the programs
//! distinguish. Other properties of a type are computed from its row.

use Size::{Default as Or, Given, Zero};
use std::fmt;

/// `enum bpf_map_type`. The kernel may support more types than the table contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MapType(pub u32);

/// The size of keys, values or entries of a new map of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// The size must be given.
    Given,
    /// The kernel requires 0.
    Zero,
    /// This size, unless another one is given.
    Default(u32),
}

/// The keys of a map type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// The map has no keys.
    Absent,
    /// Bytes that user space and programs choose.
    Bytes,
    /// A prefix length and an address or other bytes.
    Prefix,
    /// The index of a slot.
    Index,
    /// The index of a slot, chosen by programs only.
    StackId,
    /// A file descriptor of the calling process, or what belongs to it: a socket, inode, task or
    /// cgroup.
    Owner,
    /// The cgroup and attach type of an attached program.
    Cgroup,
}

/// The values of a map type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Bytes that user space and programs choose.
    Data,
    /// Programs.
    Programs,
    /// Perf events.
    PerfEvents,
    /// Cgroups.
    Cgroups,
    /// Maps.
    Maps,
    /// Network interfaces, and programs to run on them.
    Devices,
    /// CPUs, and programs to run on them.
    Cpus,
    /// Sockets, which are read as their cookies.
    Sockets,
    /// AF_XDP sockets.
    XdpSockets,
    /// Addresses of instructions, which only programs store.
    StackTraces,
    /// The operations that programs implement for the kernel.
    Operations,
    /// Values that cannot be read: the map only reports whether it may contain a value.
    Members,
    /// Records of a ring buffer, which programs write. A process maps the ring buffer into memory.
    Records,
    /// Records of a ring buffer, which a process writes after mapping the ring buffer into memory.
    UserRecords,
    /// Memory without entries.
    Memory,
}

/// A property of a type that does not follow from its keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trait {
    /// A value is one value for each possible CPU.
    PerCpu,
    /// A full map makes room for a new entry by removing an old one.
    Evicts,
    /// An update writes whether or not the key is present: the kernel refuses conditions.
    Unconditional,
    /// A value may contain a `struct bpf_spin_lock` (`map_check_btf` in `kernel/bpf/syscall.c`).
    Locks,
}

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// The type.
    pub map_type: MapType,
    /// As bpftool prints it, from the kernel's `BPF_MAP_TYPE_*`.
    pub name: &'static str,
    /// Bytes of a key.
    pub key_size: Size,
    /// Bytes of a value.
    pub value_size: Size,
    /// The number of entries.
    pub max_entries: Size,
    /// Flags without which the kernel refuses to create a map.
    pub flags: u32,
    keys: Keys,
    values: Values,
    traits: &'static [Trait],
}

/// `BPF_F_NO_PREALLOC`.
pub const NO_PREALLOC: u32 = 1;
/// `BPF_F_MMAPABLE`.
pub const MMAPABLE: u32 = 1 << 10;

use Keys::*;
use Trait::*;
use Values::*;

/// `enum bpf_map_type` of `include/uapi/linux/bpf.h`, Linux 6.18. The sizes are
/// those of each type's `map_alloc_check` in `kernel/bpf` and `net`.
#[rustfmt::skip]
const TABLE: [Row; 33] = [
    row(1,  "hash",                  [Given, Given, Given],  0,           Bytes,   Data,        &[Locks]),
    row(2,  "array",                 [Or(4), Given, Given],  0,           Index,   Data,        &[Locks]),
    row(3,  "prog_array",            [Or(4), Or(4), Given],  0,           Index,   Programs,    &[Unconditional]),
    row(4,  "perf_event_array",      [Or(4), Or(4), Given],  0,           Index,   PerfEvents,  &[Unconditional]),
    row(5,  "percpu_hash",           [Given, Given, Given],  0,           Bytes,   Data,        &[PerCpu]),
    row(6,  "percpu_array",          [Or(4), Given, Given],  0,           Index,   Data,        &[PerCpu]),
    row(7,  "stack_trace",           [Or(4), Given, Given],  0,           StackId, StackTraces, &[]),
    row(8,  "cgroup_array",          [Or(4), Or(4), Given],  0,           Index,   Cgroups,     &[Unconditional]),
    row(9,  "lru_hash",              [Given, Given, Given],  0,           Bytes,   Data,        &[Evicts]),
    row(10, "lru_percpu_hash",       [Given, Given, Given],  0,           Bytes,   Data,        &[PerCpu, Evicts]),
    row(11, "lpm_trie",              [Given, Given, Given],  NO_PREALLOC, Prefix,  Data,        &[]),
    row(12, "array_of_maps",         [Or(4), Or(4), Given],  0,           Index,   Maps,        &[Unconditional]),
    row(13, "hash_of_maps",          [Given, Or(4), Given],  0,           Bytes,   Maps,        &[]),
    row(14, "devmap",                [Or(4), Or(4), Given],  0,           Index,   Devices,     &[Unconditional]),
    row(15, "sockmap",               [Or(4), Or(4), Given],  0,           Index,   Sockets,     &[]),
    row(16, "cpumap",                [Or(4), Or(4), Given],  0,           Index,   Cpus,        &[Unconditional]),
    row(17, "xskmap",                [Or(4), Or(4), Given],  0,           Index,   XdpSockets,  &[]),
    row(18, "sockhash",              [Given, Or(4), Given],  0,           Bytes,   Sockets,     &[]),
    row(19, "cgroup_storage",        [Or(8), Given, Zero],   0,           Cgroup,  Data,        &[Locks]),
    row(20, "reuseport_sockarray",   [Or(4), Or(4), Given],  0,           Index,   Sockets,     &[]),
    row(21, "percpu_cgroup_storage", [Or(8), Given, Zero],   0,           Cgroup,  Data,        &[PerCpu]),
    row(22, "queue",                 [Zero,  Given, Given],  0,           Absent,  Data,        &[]),
    row(23, "stack",                 [Zero,  Given, Given],  0,           Absent,  Data,        &[]),
    row(24, "sk_storage",            [Or(4), Given, Zero],   NO_PREALLOC, Owner,   Data,        &[Locks]),
    row(25, "devmap_hash",           [Or(4), Or(4), Given],  0,           Bytes,   Devices,     &[]),
    row(26, "struct_ops",            [Or(4), Given, Given],  0,           Bytes,   Operations,  &[]),
    row(27, "ringbuf",               [Zero,  Zero,  Given],  0,           Absent,  Records,     &[]),
    row(28, "inode_storage",         [Or(4), Given, Zero],   NO_PREALLOC, Owner,   Data,        &[Locks]),
    row(29, "task_storage",          [Or(4), Given, Zero],   NO_PREALLOC, Owner,   Data,        &[Locks]),
    row(30, "bloom_filter",          [Zero,  Given, Given],  0,           Absent,  Members,     &[]),
    row(31, "user_ringbuf",          [Zero,  Zero,  Given],  0,           Absent,  UserRecords, &[]),
    row(32, "cgrp_storage",          [Or(4), Given, Zero],   NO_PREALLOC, Owner,   Data,        &[Locks]),
    row(33, "arena",                 [Zero,  Zero,  Given],  MMAPABLE,    Absent,  Memory,      &[]),
];

const fn row(
    map_type: u32,
    name: &'static str,
    [key_size, value_size, max_entries]: [Size; 3],
    flags: u32,
    keys: Keys,
    values: Values,
    traits: &'static [Trait],
) -> Row {
    let map_type = MapType(map_type);
    Row { map_type, name, key_size, value_size, max_entries, flags, keys, values, traits }
}

/// Constants for the types that the programs treat specially.
macro_rules! types {
    ($($name:ident = $number:literal),* $(,)?) => {
        impl MapType {
            $(
                #[doc = concat!("`BPF_MAP_TYPE_", stringify!($name), "`.")]
                pub const $name: MapType = MapType($number);
            )*
        }
    };
}
types! {
    HASH = 1, ARRAY = 2, PROG_ARRAY = 3, PERF_EVENT_ARRAY = 4, PERCPU_HASH = 5, PERCPU_ARRAY = 6,
    STACK_TRACE = 7, CGROUP_ARRAY = 8, LRU_HASH = 9, LRU_PERCPU_HASH = 10, LPM_TRIE = 11, ARRAY_OF_MAPS = 12, HASH_OF_MAPS = 13, DEVMAP = 14, SOCKMAP = 15, CPUMAP = 16,
    XSKMAP = 17, SOCKHASH = 18, CGROUP_STORAGE = 19, REUSEPORT_SOCKARRAY = 20,
    PERCPU_CGROUP_STORAGE = 21, QUEUE = 22, STACK = 23, SK_STORAGE = 24, DEVMAP_HASH = 25,
    STRUCT_OPS = 26, RINGBUF = 27, INODE_STORAGE = 28, TASK_STORAGE = 29, BLOOM_FILTER = 30,
    USER_RINGBUF = 31, CGRP_STORAGE = 32, ARENA = 33,
}

/// The row of the type with this name, with or without `BPF_MAP_TYPE_` in capitals before it.
pub fn by_name(name: &str) -> Option<&'static Row> {
    let kernel = name.strip_prefix("BPF_MAP_TYPE_").map(str::to_ascii_lowercase);
    let name = kernel.as_deref().unwrap_or(name);
    TABLE.iter().find(|row| row.name == name)
}

/// The name, or `type N` for a type that the table does not contain.
impl fmt::Display for MapType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.row() {
            Some(row) => f.write_str(row.name),
            None => write!(f, "type {}", self.0),
        }
    }
}

impl MapType {
    fn row(self) -> Option<&'static Row> {
        // Rows are in the order of the numbers, from 1.
        TABLE.get((self.0 as usize).checked_sub(1)?)
    }

    /// Bytes of its keys and values; None for a type that the table does not have.
    pub fn entry_sizes(self) -> Option<[Size; 2]> {
        self.row().map(|row| [row.key_size, row.value_size])
    }

    fn has(self, property: Trait) -> bool {
        self.row().is_some_and(|row| row.traits.contains(&property))
    }

    /// The kind of its keys; None for a type that the table does not contain.
    pub fn keys(self) -> Option<Keys> {
        self.row().map(|row| row.keys)
    }

    /// The kind of its values; None for a type that the table does not contain.
    pub fn values(self) -> Option<Values> {
        self.row().map(|row| row.values)
    }

    /// The name: see the implementation of [`fmt::Display`].
    pub fn name(self) -> String {
        self.to_string()
    }

    /// The name after an article: `an array`.
    pub fn with_article(self) -> String {
        let name = self.name();
        let vowel = name.starts_with(['a', 'i', 'x'])
            || name.starts_with("lru_")
            || name.starts_with("lpm_");
        format!("{} {name}", if vowel { "an" } else { "a" })
    }

    /// Whether the table has the type, so that the sizes of its entries are known.
    pub fn is_known(self) -> bool {
        self.row().is_some()
    }

    /// Whether a value is one value for each possible CPU.
    pub fn is_per_cpu(self) -> bool {
        self.has(PerCpu)
    }

    /// Whether an iterator walks over its entries (`struct bpf_iter__bpf_map_elem`).
    pub fn is_iterable(self) -> bool {
        let hashes =
            [MapType::HASH, MapType::PERCPU_HASH, MapType::LRU_HASH, MapType::LRU_PERCPU_HASH];
        hashes.contains(&self) || self.is_filled()
    }

    /// The types whose entries the kernel counts as they come and go (Linux 6.6). Its counter is 0
    /// for all other types.
    pub const COUNTED: [MapType; 5] = [
        MapType::HASH,
        MapType::PERCPU_HASH,
        MapType::LRU_HASH,
        MapType::LRU_PERCPU_HASH,
        MapType::HASH_OF_MAPS,
    ];

    /// Whether a full map makes room for a new entry by removing an old one.
    pub fn evicts(self) -> bool {
        self.has(Evicts)
    }

    /// Whether an update may require that the key is present, or that it is missing.
    pub fn takes_conditions(self) -> bool {
        !self.has(Unconditional)
    }

    /// Whether a value may contain a `struct bpf_spin_lock`.
    pub fn may_lock(self) -> bool {
        self.has(Locks)
    }

    /// Whether it has no entries that bpf(2) can write: ring buffers, arenas, struct_ops, and stack
    /// traces, which only programs write.
    pub fn has_no_elements(self) -> bool {
        matches!(self.values(), Some(StackTraces | Operations | Records | UserRecords | Memory))
    }

    /// Whether its values are bytes that user space and programs choose, and not programs, maps,
    /// sockets or devices.
    pub fn holds_data(self) -> bool {
        self.values() == Some(Data)
    }

    /// Whether its values are maps.
    pub fn holds_maps(self) -> bool {
        self.values() == Some(Maps)
    }

    /// Whether values are added and removed at the ends, without keys.
    pub fn is_queue(self) -> bool {
        self.keys() == Some(Absent) && self.holds_data()
    }

    /// Whether its keys are the indices of slots, from 0 to the number of entries.
    pub fn is_indexed(self) -> bool {
        self.keys() == Some(Index)
    }

    /// Whether its keys are indices of slots, which the kernel returns in ascending order, whether
    /// or not a slot is empty.
    pub fn is_walked_by_index(self) -> bool {
        matches!(self.keys(), Some(Index | StackId))
    }

    /// Whether every slot always has a value, which can be written and not deleted.
    pub fn is_filled(self) -> bool {
        self.is_indexed() && self.holds_data()
    }

    /// Whether only the kernel removes an entry: a slot of an array, or the storage of an attached
    /// program and its cgroup.
    pub fn keeps_elements(self) -> bool {
        self.is_filled() || self.keys() == Some(Cgroup)
    }

    /// Whether a key is a file descriptor of the calling process.
    pub fn is_keyed_by_descriptor(self) -> bool {
        self.keys() == Some(Owner)
    }

    /// Whether the kernel creates a map only with BTF for key and value.
    pub fn requires_btf(self) -> bool {
        self.is_keyed_by_descriptor()
    }

    /// Whether the kernel accepts BTF for key and value (`map_check_btf` in
    /// `kernel/bpf/syscall.c`): it refuses BTF with ENOTSUPP or EINVAL for values that are not the
    /// map's own bytes. A type that the table does not have may accept BTF.
    pub fn takes_btf(self) -> bool {
        match self.values() {
            Some(Data) => !self.is_queue(),
            Some(Programs | Members) | None => true,
            Some(Sockets) => self == MapType::REUSEPORT_SOCKARRAY,
            Some(_) => false,
        }
    }

    /// Whether a value that is written is a file descriptor of the calling process.
    pub fn takes_descriptors(self) -> bool {
        matches!(self.values(), Some(Programs | PerfEvents | Cgroups | Maps | Sockets | XdpSockets))
    }

    /// Whether a key or a value is a file descriptor of the calling process.
    pub fn takes_objects(self) -> bool {
        self.takes_descriptors() || self.is_keyed_by_descriptor()
    }

    /// Whether the kernel returns no value of a map of this type. Sockets are returned as their
    /// cookies, if values have the 8 bytes of one.
    pub fn hides_values(self, value_size: u32) -> bool {
        match self.values() {
            Some(PerfEvents | Cgroups | XdpSockets) => true,
            Some(Sockets) => value_size != 8,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_one_row_in_the_kernels_order() {
        for (row, number) in TABLE.iter().zip(1..) {
            assert_eq!(row.map_type, MapType(number));
            assert_eq!(by_name(row.name).map(|row| row.map_type), Some(row.map_type));
        }
        for unknown in [0, 34, 99, u32::MAX] {
            assert!(!MapType(unknown).is_known(), "{unknown}");
        }
        assert_eq!(MapType(99).name(), "type 99");
        assert_eq!(MapType::SOCKMAP.with_article(), "a sockmap");
        assert_eq!(MapType::INODE_STORAGE.with_article(), "an inode_storage");
        assert_eq!(MapType::ARRAY_OF_MAPS.with_article(), "an array_of_maps");
        assert_eq!(
            by_name("BPF_MAP_TYPE_LPM_TRIE").map(|row| row.map_type),
            Some(MapType::LPM_TRIE)
        );
    }

    #[test]
    fn properties_hold_for_these_types_only() {
        let of = |holds: fn(MapType) -> bool| {
            (0..=40).filter(|&number| holds(MapType(number))).collect::<Vec<u32>>()
        };
        assert_eq!(of(MapType::is_per_cpu), [5, 6, 10, 21]);
        assert_eq!(of(MapType::is_iterable), [1, 2, 5, 6, 9, 10]);
        assert_eq!(of(MapType::evicts), [9, 10]);
        assert_eq!(of(MapType::may_lock), [1, 2, 19, 24, 28, 29, 32]);
        assert_eq!(of(|map_type| !map_type.takes_conditions()), [3, 4, 8, 12, 14, 16]);
        assert_eq!(of(MapType::has_no_elements), [7, 26, 27, 31, 33]);
        let data = [1, 2, 5, 6, 9, 10, 11, 19, 21, 22, 23, 24, 28, 29, 32];
        assert_eq!(of(MapType::holds_data), data);
        assert_eq!(of(MapType::holds_maps), [12, 13]);
        assert_eq!(of(MapType::is_queue), [22, 23]);
        assert_eq!(of(MapType::is_indexed), [2, 3, 4, 6, 8, 12, 14, 15, 16, 17, 20]);
        let walked = [2, 3, 4, 6, 7, 8, 12, 14, 15, 16, 17, 20];
        assert_eq!(of(MapType::is_walked_by_index), walked);
        assert_eq!(of(MapType::is_filled), [2, 6]);
        assert_eq!(of(MapType::keeps_elements), [2, 6, 19, 21]);
        assert_eq!(of(MapType::is_keyed_by_descriptor), [24, 28, 29, 32]);
        let refused = [4, 7, 8, 12, 13, 14, 15, 16, 17, 18, 22, 23, 25, 26, 27, 31, 33];
        assert_eq!(of(|map_type| !map_type.takes_btf()), refused);
        assert_eq!(of(MapType::takes_descriptors), [3, 4, 8, 12, 13, 15, 17, 18, 20]);
        assert_eq!(of(|map_type| map_type.hides_values(4)), [4, 8, 15, 17, 18, 20]);
        assert_eq!(of(|map_type| map_type.hides_values(8)), [4, 8, 17]);
    }
}
