//! bpf(2) on whole objects: opens, creates, pins and describes maps, programs and links, and reads
//! and loads BTF.

pub use crate::attribute::MAX_NAME;
use crate::attribute::{
    Attribute, BtfDescription, BtfLoad, Command, LinkDescription, MapCreate, MapDescription, ObjId,
    ObjInfo, ObjPath, ProgDescription, call, call_for_fd, name, name_member,
};
use crate::{AccessMode, Errno, MapType, Result};
use std::ffi::CStr;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What the kernel reports about a map (`struct bpf_map_info`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapInfo {
    /// The type of the map.
    pub map_type: MapType,
    /// The kernel's id of the map.
    pub id: u32,
    /// Bytes of a key; 0 for queues, stacks, bloom filters and ring buffers.
    pub key_size: u32,
    /// Bytes of a value; in a per-CPU map, of one CPU's value, not rounded up.
    pub value_size: u32,
    /// The number of entries that the map has room for.
    pub max_entries: u32,
    /// The flags of `BPF_MAP_CREATE` (`BPF_F_*`), and those that the kernel added.
    pub flags: u32,
    /// The kernel's name: at most 15 bytes, empty if none was given.
    pub name: Vec<u8>,
    /// The BTF object that the type ids below belong to; 0 for none.
    pub btf_id: u32,
    /// The type of a key; 0 for none.
    pub btf_key_type_id: u32,
    /// The type of a value; 0 for none.
    pub btf_value_type_id: u32,
    /// The type of a value in the kernel's own BTF: only struct_ops maps have it.
    pub btf_vmlinux_value_type_id: u32,
}

/// What the kernel reports about a program (`struct bpf_prog_info`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramInfo {
    /// `enum bpf_prog_type`.
    pub program_type: u32,
    /// The kernel's id of the program.
    pub id: u32,
    /// The kernel's name: at most 15 bytes, empty if none was given.
    pub name: Vec<u8>,
    /// A hash of the instructions, without the maps that they refer to.
    pub tag: [u8; 8],
    /// When the program was loaded, in nanoseconds since boot, suspended time included
    /// (CLOCK_BOOTTIME).
    pub load_time: u64,
    /// The user who loaded the program.
    pub created_by_uid: u32,
}

/// What the kernel reports about a link (`struct bpf_link_info`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkInfo {
    /// `enum bpf_link_type`.
    pub link_type: u32,
    /// The kernel's id of the link.
    pub id: u32,
    /// The id of the program that the link attaches; 0 for a type that has none.
    pub program_id: u32,
}

/// The properties of a map to be created by [`map_create`].
#[derive(Debug, Default)]
pub struct MapSpec<'a> {
    /// The type of the map.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// The number of entries that the map has room for.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// A parameter that depends on the type, such as the number of hash functions of a bloom
    /// filter.
    pub extra: u64,
    /// The NUMA node to allocate memory on; used only with `BPF_F_NUMA_NODE`.
    pub numa_node: u32,
    /// The kernel keeps the first 15 bytes, and accepts only `[A-Za-z0-9_.]`.
    pub name: &'a [u8],
    /// The map that the inner maps of a map of maps must be like.
    pub inner: Option<BorrowedFd<'a>>,
    /// BTF, and in it the type ids of key and value.
    pub btf: Option<(BorrowedFd<'a>, u32, u32)>,
}

/// Opens the object that is pinned at `path`, of any kind: see [`crate::fd::fd_type`].
///
/// # Errors
/// EINVAL for a link that is not opened read-write; a program ignores the mode.
pub fn obj_get(path: &CStr, mode: AccessMode) -> Result<OwnedFd> {
    let mut attributes =
        ObjPath { pathname: path.as_ptr() as u64, file_flags: mode.flags(), ..ObjPath::default() };
    // SAFETY: pathname points to a NUL-terminated string that outlives the call.
    unsafe { call_for_fd(Command::ObjGet, &mut attributes) }
}

/// Pins the object of `fd` at `path`.
///
/// # Errors
/// EPERM if `path` is not on a bpf file system, or its name contains a dot; EEXIST if a file has
/// the name.
pub fn obj_pin(fd: BorrowedFd, path: &CStr) -> Result<()> {
    let mut attributes = ObjPath {
        pathname: path.as_ptr() as u64,
        bpf_fd: fd.as_raw_fd() as u32,
        ..ObjPath::default()
    };
    // SAFETY: pathname points to a NUL-terminated string that outlives the call.
    unsafe { call(Command::ObjPin, &mut attributes) }.map(drop)
}

/// Opens a map by its id. Requires CAP_SYS_ADMIN.
///
/// # Errors
/// ENOENT if no map has this id.
pub fn map_by_id(id: u32, mode: AccessMode) -> Result<OwnedFd> {
    by_id(Command::MapGetFdById, id, mode.flags())
}

/// Opens a program by its id. Requires CAP_SYS_ADMIN.
///
/// # Errors
/// ENOENT if no program has this id.
pub fn program_by_id(id: u32) -> Result<OwnedFd> {
    by_id(Command::ProgGetFdById, id, 0)
}

/// Opens a link by its id. Requires CAP_SYS_ADMIN.
///
/// # Errors
/// ENOENT if no link has this id.
pub fn link_by_id(id: u32) -> Result<OwnedFd> {
    by_id(Command::LinkGetFdById, id, 0)
}

fn by_id(command: Command, id: u32, open_flags: u32) -> Result<OwnedFd> {
    let mut attributes = ObjId { id, open_flags, ..ObjId::default() };
    // SAFETY: no pointers.
    unsafe { call_for_fd(command, &mut attributes) }
}

/// The lowest map id above `id`, or None. Requires CAP_SYS_ADMIN.
pub fn next_map_id(id: u32) -> Result<Option<u32>> {
    next_id(Command::MapGetNextId, id)
}

/// The lowest program id above `id`, or None. Requires CAP_SYS_ADMIN.
pub fn next_program_id(id: u32) -> Result<Option<u32>> {
    next_id(Command::ProgGetNextId, id)
}

/// The lowest link id above `id`, or None. Requires CAP_SYS_ADMIN.
pub fn next_link_id(id: u32) -> Result<Option<u32>> {
    next_id(Command::LinkGetNextId, id)
}

fn next_id(command: Command, id: u32) -> Result<Option<u32>> {
    let mut attributes = ObjId { id, ..ObjId::default() };
    // SAFETY: no pointers.
    match unsafe { call(command, &mut attributes) } {
        Ok(_) => Ok(Some(attributes.next_id)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Describes the map of `fd`.
///
/// The caller has checked that the object is a map: for a program the kernel writes other fields to
/// the same bytes, and reports success.
pub fn map_info(fd: BorrowedFd) -> Result<MapInfo> {
    let mut info = MapDescription::default();
    // SAFETY: all lengths are 0.
    unsafe { obj_info(fd, &mut info)? };
    Ok(MapInfo {
        map_type: MapType(info.map_type),
        id: info.id,
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        flags: info.map_flags,
        name: name(&info.name),
        btf_id: info.btf_id,
        btf_key_type_id: info.btf_key_type_id,
        btf_value_type_id: info.btf_value_type_id,
        btf_vmlinux_value_type_id: info.btf_vmlinux_value_type_id,
    })
}

/// Describes the object of `fd`, which the caller has checked to be a program.
pub fn program_info(fd: BorrowedFd) -> Result<ProgramInfo> {
    let mut info = ProgDescription::default();
    // SAFETY: all lengths are 0.
    unsafe { obj_info(fd, &mut info)? };
    Ok(ProgramInfo {
        program_type: info.prog_type,
        id: info.id,
        name: name(&info.name),
        tag: info.tag,
        load_time: info.load_time,
        created_by_uid: info.created_by_uid,
    })
}

/// The ids of the maps that a program uses. The caller has checked that `fd` is a program.
pub fn program_maps(fd: BorrowedFd) -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    loop {
        let mut info = ProgDescription {
            nr_map_ids: ids.len() as u32,
            map_ids: ids.as_mut_ptr() as u64,
            ..ProgDescription::default()
        };
        // SAFETY: map_ids points to nr_map_ids integers that may be written; other lengths are 0.
        unsafe { obj_info(fd, &mut info)? };
        let all = info.nr_map_ids as usize; // the whole number, even if not all were written
        if all <= ids.len() {
            ids.truncate(all);
            return Ok(ids);
        }
        ids.resize(all, 0u32);
    }
}

/// Describes the object of `fd`, which the caller has checked to be a link.
pub fn link_info(fd: BorrowedFd) -> Result<LinkInfo> {
    let mut info = LinkDescription::default();
    // SAFETY: all lengths are 0.
    unsafe { obj_info(fd, &mut info)? };
    Ok(LinkInfo { link_type: info.link_type, id: info.id, program_id: info.prog_id })
}

/// `BPF_OBJ_GET_INFO_BY_FD`: at most the bytes of `info` are written.
///
/// # Safety
/// The arrays that `info` points to are writable for their lengths, or have length 0.
unsafe fn obj_info<A: Attribute>(fd: BorrowedFd, info: &mut A) -> Result<()> {
    let mut attributes = ObjInfo {
        bpf_fd: fd.as_raw_fd() as u32,
        info_len: size_of::<A>() as u32,
        info: &raw mut *info as u64,
    };
    // SAFETY: info has info_len bytes, for which any value is valid; the caller guarantees its
    // arrays.
    unsafe { call(Command::ObjGetInfoByFd, &mut attributes) }.map(drop)
}

/// Creates a map. The map exists as long as the file descriptor, a duplicate of it or a pin.
pub fn map_create(spec: &MapSpec) -> Result<OwnedFd> {
    let mut attributes = MapCreate {
        map_type: spec.map_type.0,
        key_size: spec.key_size,
        value_size: spec.value_size,
        max_entries: spec.max_entries,
        map_flags: spec.flags,
        numa_node: spec.numa_node,
        map_extra: spec.extra,
        ..MapCreate::default()
    };
    attributes.map_name = name_member(spec.name);
    if let Some(inner) = spec.inner {
        attributes.inner_map_fd = inner.as_raw_fd() as u32;
    }
    if let Some((fd, key, value)) = spec.btf {
        attributes.btf_fd = fd.as_raw_fd() as u32;
        attributes.btf_key_type_id = key;
        attributes.btf_value_type_id = value;
    }
    // SAFETY: no pointers.
    unsafe { call_for_fd(Command::MapCreate, &mut attributes) }
}

/// Loads BTF, as raw bytes in host order.
pub fn btf_load(blob: &[u8]) -> Result<OwnedFd> {
    let mut attributes =
        BtfLoad { btf: blob.as_ptr() as u64, btf_size: blob.len() as u32, ..BtfLoad::default() };
    // SAFETY: btf points to btf_size readable bytes.
    unsafe { call_for_fd(Command::BtfLoad, &mut attributes) }
}

/// The raw bytes of a BTF object, in host order. Requires CAP_SYS_ADMIN.
pub fn btf_by_id(id: u32) -> Result<Vec<u8>> {
    let fd = by_id(Command::BtfGetFdById, id, 0)?;
    // The first size is sufficient for the BTF of most objects, and saves a call.
    let mut blob = vec![0u8; 16 << 10];
    loop {
        let mut info = BtfDescription {
            btf: blob.as_mut_ptr() as u64,
            btf_size: blob.len() as u32,
            ..BtfDescription::default()
        };
        // SAFETY: btf points to btf_size writable bytes.
        unsafe { obj_info(fd.as_fd(), &mut info)? };
        let size = info.btf_size as usize; // the whole size, even if not all bytes were written
        if size <= blob.len() {
            blob.truncate(size);
            return Ok(blob);
        }
        blob.resize(size, 0);
    }
}
