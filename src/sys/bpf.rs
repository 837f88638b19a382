//! bpf(2) on whole objects: open, create and describe maps, and fetch BTF.
//!
//! Layouts and numbers come from the kernel's `include/uapi/linux/bpf.h`, by
//! way of aya-obj's bindings, which are not visible outside this room.

use super::{Result, check};
use aya_obj::generated::{
    BPF_F_RDONLY, BPF_F_WRONLY, bpf_attr, bpf_btf_info, bpf_cmd, bpf_map_info,
};
use nix::errno::Errno;
use std::ffi::CStr;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// How a descriptor may be used. It bounds the bpf(2) commands of whoever holds
/// it, not what a program loaded over it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadWrite,
    ReadOnly,
    WriteOnly,
}

impl Access {
    fn flags(self) -> u32 {
        match self {
            Access::ReadWrite => 0,
            Access::ReadOnly => BPF_F_RDONLY,
            Access::WriteOnly => BPF_F_WRONLY,
        }
    }

    /// `rw`, `r` or `w`, as tables print it.
    pub fn name(self) -> &'static str {
        match self {
            Access::ReadWrite => "rw",
            Access::ReadOnly => "r",
            Access::WriteOnly => "w",
        }
    }
}

/// What the kernel tells of a map (`struct bpf_map_info`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapInfo {
    /// `enum bpf_map_type`, as a number: the kernel may know more than we do.
    pub kind: u32,
    pub id: u32,
    /// Bytes of a key; 0 for queues, stacks, bloom filters and ring buffers.
    pub key_size: u32,
    /// Bytes of a value; of one CPU's value in a per-CPU map, not rounded up.
    pub value_size: u32,
    pub max_entries: u32,
    /// `BPF_F_*` as given at creation, and what the kernel added to them.
    pub flags: u32,
    /// The kernel's name: at most 15 bytes, empty where none was given.
    pub name: Vec<u8>,
    /// The BTF object that the type ids below belong to; 0 for none.
    pub btf_id: u32,
    pub btf_key_type_id: u32,
    pub btf_value_type_id: u32,
    /// The value's type in the kernel's own BTF: of a struct_ops map, which has no other.
    pub btf_vmlinux_value_type_id: u32,
}

/// What to create, for [`map_create`].
#[derive(Default)]
pub struct MapSpec<'a> {
    pub kind: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: u32,
    /// Meant for types with parameters of their own, such as a bloom filter's
    /// number of hash functions.
    pub extra: u64,
    pub numa_node: u32,
    /// The kernel keeps the first 15 bytes, and takes `[A-Za-z0-9_.]` only.
    pub name: &'a [u8],
    /// The map that the inner maps of a map of maps must look like.
    pub inner: Option<BorrowedFd<'a>>,
    /// BTF, and the type ids of key and value in it.
    pub btf: Option<(BorrowedFd<'a>, u32, u32)>,
}

pub(super) fn new_attr() -> bpf_attr {
    // SAFETY: bpf_attr is a union of integers, for which all zeroes is valid.
    unsafe { zeroed() }
}

/// One bpf(2) call.
///
/// # Safety
/// Every pointer in `attr` must be good for what `cmd` reads and writes there.
pub(super) unsafe fn call(cmd: bpf_cmd, attr: &mut bpf_attr) -> Result<libc::c_long> {
    let size = size_of::<bpf_attr>();
    // SAFETY: attr is a live bpf_attr of that size; the rest is the caller's promise.
    check(unsafe { libc::syscall(libc::SYS_bpf, cmd as libc::c_long, &raw mut *attr, size) })
}

/// A call whose result is a new descriptor. The kernel makes them close-on-exec.
///
/// # Safety
/// As for [`call`], and `cmd` must be one that returns a descriptor.
pub(super) unsafe fn call_for_fd(cmd: bpf_cmd, attr: &mut bpf_attr) -> Result<OwnedFd> {
    // SAFETY: passed on to the caller.
    let fd = unsafe { call(cmd, attr)? };
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Opens what is pinned at `path` (BPF_OBJ_GET), whatever it is: ask
/// [`super::fd::kind`]. A link refuses every access but read-write with EINVAL;
/// a program ignores it.
pub fn obj_get(path: &CStr, access: Access) -> Result<OwnedFd> {
    let mut attr = new_attr();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    attr.__bindgen_anon_4.file_flags = access.flags();
    // SAFETY: pathname points to a NUL-terminated string that outlives the call.
    unsafe { call_for_fd(bpf_cmd::BPF_OBJ_GET, &mut attr) }
}

/// Pins what `fd` leads to at `path` (BPF_OBJ_PIN). EPERM where that is on no bpf
/// file system, or its name has a dot; EEXIST where something has the name.
pub fn obj_pin(fd: BorrowedFd, path: &CStr) -> Result<()> {
    let mut attr = new_attr();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    attr.__bindgen_anon_4.bpf_fd = fd.as_raw_fd() as u32;
    // SAFETY: pathname points to a NUL-terminated string that outlives the call.
    unsafe { call(bpf_cmd::BPF_OBJ_PIN, &mut attr) }.map(drop)
}

/// Opens a program by its id. Needs CAP_SYS_ADMIN; ENOENT where there is none.
pub fn prog_by_id(id: u32) -> Result<OwnedFd> {
    let mut attr = new_attr();
    attr.__bindgen_anon_6.__bindgen_anon_1.prog_id = id;
    // SAFETY: no pointers.
    unsafe { call_for_fd(bpf_cmd::BPF_PROG_GET_FD_BY_ID, &mut attr) }
}

/// Opens a map by its id. Needs CAP_SYS_ADMIN; ENOENT where there is none.
pub fn map_by_id(id: u32, access: Access) -> Result<OwnedFd> {
    let mut attr = new_attr();
    attr.__bindgen_anon_6.__bindgen_anon_1.map_id = id;
    attr.__bindgen_anon_6.open_flags = access.flags();
    // SAFETY: no pointers.
    unsafe { call_for_fd(bpf_cmd::BPF_MAP_GET_FD_BY_ID, &mut attr) }
}

/// The lowest map id above `id`, or None. Needs CAP_SYS_ADMIN.
pub fn next_map_id(id: u32) -> Result<Option<u32>> {
    let mut attr = new_attr();
    attr.__bindgen_anon_6.__bindgen_anon_1.start_id = id;
    // SAFETY: no pointers.
    match unsafe { call(bpf_cmd::BPF_MAP_GET_NEXT_ID, &mut attr) } {
        // SAFETY: the kernel wrote next_id, a plain integer.
        Ok(_) => Ok(Some(unsafe { attr.__bindgen_anon_6.next_id })),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Describes the map behind `fd`.
///
/// The caller makes sure that it *is* a map: of a program the kernel fills in
/// the same bytes with something else, and reports success.
pub fn map_info(fd: BorrowedFd) -> Result<MapInfo> {
    // SAFETY: integers and a byte array, for which all zeroes is valid.
    let mut info: bpf_map_info = unsafe { zeroed() };
    // SAFETY: bpf_map_info is what the kernel writes for a map, and at most its size.
    unsafe { obj_info(fd, &raw mut info as u64, size_of::<bpf_map_info>())? };
    let name = info.name.map(|c| c as u8);
    Ok(MapInfo {
        kind: info.type_,
        id: info.id,
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        flags: info.map_flags,
        name: name.split(|&b| b == 0).next().unwrap_or_default().to_vec(),
        btf_id: info.btf_id,
        btf_key_type_id: info.btf_key_type_id,
        btf_value_type_id: info.btf_value_type_id,
        btf_vmlinux_value_type_id: info.btf_vmlinux_value_type_id,
    })
}

/// BPF_OBJ_GET_INFO_BY_FD.
///
/// # Safety
/// `info` is the address of `length` bytes that the kernel may write.
pub(super) unsafe fn obj_info(fd: BorrowedFd, info: u64, length: usize) -> Result<()> {
    let mut attr = new_attr();
    attr.info.bpf_fd = fd.as_raw_fd() as u32;
    attr.info.info_len = length as u32;
    attr.info.info = info;
    // SAFETY: the kernel writes at most info_len bytes at info.
    unsafe { call(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)? };
    Ok(())
}

/// Makes a map. It lives as long as the descriptor, a duplicate or a pin does.
pub fn map_create(spec: &MapSpec) -> Result<OwnedFd> {
    let mut attr = new_attr();
    // SAFETY: all zeroes, as new_attr left it, is valid for every member.
    let create = unsafe { &mut attr.__bindgen_anon_1 };
    create.map_type = spec.kind;
    create.key_size = spec.key_size;
    create.value_size = spec.value_size;
    create.max_entries = spec.max_entries;
    create.map_flags = spec.flags;
    create.map_extra = spec.extra;
    create.numa_node = spec.numa_node;
    let room = create.map_name.len() - 1; // the last byte stays NUL
    for (to, from) in create.map_name[..room].iter_mut().zip(spec.name) {
        *to = *from as libc::c_char;
    }
    if let Some(inner) = spec.inner {
        create.inner_map_fd = inner.as_raw_fd() as u32;
    }
    if let Some((fd, key, value)) = spec.btf {
        create.btf_fd = fd.as_raw_fd() as u32;
        create.btf_key_type_id = key;
        create.btf_value_type_id = value;
    }
    // SAFETY: no pointers.
    unsafe { call_for_fd(bpf_cmd::BPF_MAP_CREATE, &mut attr) }
}

/// Loads BTF, as raw bytes in host order.
pub fn btf_load(blob: &[u8]) -> Result<OwnedFd> {
    let mut attr = new_attr();
    attr.__bindgen_anon_7.btf = blob.as_ptr() as u64;
    attr.__bindgen_anon_7.btf_size = blob.len() as u32;
    // SAFETY: btf points to btf_size readable bytes.
    unsafe { call_for_fd(bpf_cmd::BPF_BTF_LOAD, &mut attr) }
}

/// The raw bytes of a BTF object, in host order. Needs CAP_SYS_ADMIN.
pub fn btf_by_id(id: u32) -> Result<Vec<u8>> {
    let mut attr = new_attr();
    attr.__bindgen_anon_6.__bindgen_anon_1.btf_id = id;
    // SAFETY: no pointers.
    let fd = unsafe { call_for_fd(bpf_cmd::BPF_BTF_GET_FD_BY_ID, &mut attr)? };
    // The first guess is enough for the BTF of most objects, and saves a call.
    let mut blob = vec![0; 16 << 10];
    loop {
        // SAFETY: integers, for which all zeroes is valid.
        let mut info: bpf_btf_info = unsafe { zeroed() };
        info.btf = blob.as_mut_ptr() as u64;
        info.btf_size = blob.len() as u32;
        // SAFETY: info is a bpf_btf_info, whose btf points to btf_size writable bytes.
        unsafe { obj_info(fd.as_fd(), &raw mut info as u64, size_of::<bpf_btf_info>())? };
        let size = info.btf_size as usize; // the whole size, whatever fitted
        if size <= blob.len() {
            blob.truncate(size);
            return Ok(blob);
        }
        blob.resize(size, 0);
    }
}
