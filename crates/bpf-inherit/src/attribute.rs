//! The commands of bpf(2), and their attributes: one structure per command or group of commands
//! with the same fields, laid out as in `union bpf_attr` of `include/uapi/linux/bpf.h`.
//!
//! The kernel accepts attributes of any size and reads missing bytes at the end as zeroes, so each
//! structure ends with the last field that is used here. A pointer is the address in a `u64`.

use crate::{Errno, Result, check};
use std::mem::size_of_val;
use std::os::fd::{FromRawFd, OwnedFd};

/// The used values of `enum bpf_cmd`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    MapCreate = 0,
    MapLookupElem = 1,
    MapUpdateElem = 2,
    MapDeleteElem = 3,
    MapGetNextKey = 4,
    ProgLoad = 5,
    ObjPin = 6,
    ObjGet = 7,
    ProgTestRun = 10,
    ProgGetNextId = 11,
    MapGetNextId = 12,
    ProgGetFdById = 13,
    MapGetFdById = 14,
    ObjGetInfoByFd = 15,
    BtfLoad = 18,
    BtfGetFdById = 19,
    MapLookupAndDeleteElem = 21,
    MapFreeze = 22,
    MapLookupBatch = 24,
    MapLookupAndDeleteBatch = 25,
    MapUpdateBatch = 26,
    MapDeleteBatch = 27,
    LinkCreate = 28,
    LinkGetFdById = 30,
    LinkGetNextId = 31,
    IterCreate = 33,
}

/// `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct MapCreate {
    pub map_type: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub map_flags: u32,
    pub inner_map_fd: u32,
    pub numa_node: u32,
    pub map_name: [u8; 16],
    pub map_ifindex: u32,
    pub btf_fd: u32,
    pub btf_key_type_id: u32,
    pub btf_value_type_id: u32,
    pub btf_vmlinux_value_type_id: u32,
    pub map_extra: u64,
}

/// `BPF_MAP_*_ELEM`, `BPF_MAP_GET_NEXT_KEY` (`value` points to the next key), and
/// `BPF_MAP_FREEZE` (only the map).
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct MapElem {
    pub map_fd: u32,
    pub padding: u32,
    pub key: u64,
    pub value: u64,
    pub flags: u64,
}

/// `BPF_MAP_*_BATCH`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct MapBatch {
    pub in_batch: u64,
    pub out_batch: u64,
    pub keys: u64,
    pub values: u64,
    pub count: u32,
    pub map_fd: u32,
    pub elem_flags: u64,
    pub flags: u64,
}

/// `BPF_OBJ_PIN` and `BPF_OBJ_GET`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct ObjPath {
    pub pathname: u64,
    pub bpf_fd: u32,
    pub file_flags: u32,
}

/// `BPF_*_GET_FD_BY_ID` and `BPF_*_GET_NEXT_ID`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct ObjId {
    pub id: u32,
    pub next_id: u32,
    pub open_flags: u32,
}

/// `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct ObjInfo {
    pub bpf_fd: u32,
    pub info_len: u32,
    pub info: u64,
}

/// `BPF_BTF_LOAD`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct BtfLoad {
    pub btf: u64,
    pub log_buf: u64,
    pub btf_size: u32,
    pub log_size: u32,
}

/// `struct bpf_map_info`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct MapDescription {
    pub map_type: u32,
    pub id: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub map_flags: u32,
    pub name: [u8; 16],
    pub ifindex: u32,
    pub btf_vmlinux_value_type_id: u32,
    pub netns_dev: u64,
    pub netns_ino: u64,
    pub btf_id: u32,
    pub btf_key_type_id: u32,
    pub btf_value_type_id: u32,
    padding: u32,
}

/// `struct bpf_prog_info`. All lengths of arrays are 0, so that the kernel writes none.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct ProgDescription {
    pub prog_type: u32,
    pub id: u32,
    pub tag: [u8; 8],
    pub jited_prog_len: u32,
    pub xlated_prog_len: u32,
    pub jited_prog_insns: u64,
    pub xlated_prog_insns: u64,
    pub load_time: u64,
    pub created_by_uid: u32,
    pub nr_map_ids: u32,
    pub map_ids: u64,
    pub name: [u8; 16],
}

/// `struct bpf_link_info`, without the fields that depend on the type.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct LinkDescription {
    pub link_type: u32,
    pub id: u32,
    pub prog_id: u32,
    padding: u32,
}

/// `struct bpf_btf_info`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct BtfDescription {
    pub btf: u64,
    pub btf_size: u32,
    pub id: u32,
}

/// A structure of this file: integers only, without padding that the compiler chooses.
///
/// # Safety
/// The kernel reads, and for some commands writes, every byte of it.
pub(crate) unsafe trait Attribute {}

macro_rules! attributes {
    ($($structure:ty),*) => {
        // SAFETY: `repr(C)` structures of integers, whose padding is in fields.
        $(unsafe impl Attribute for $structure {})*
    };
}
attributes!(MapCreate, MapElem, MapBatch, ObjPath, ObjId, ObjInfo, BtfLoad);
attributes!(MapDescription, ProgDescription, LinkDescription, BtfDescription);

/// One bpf(2) call.
///
/// # Safety
/// `attributes` are those of `command`, and every pointer in them is valid for the bytes that the
/// command reads and writes.
pub(crate) unsafe fn call<A: Attribute>(
    command: Command,
    attributes: &mut A,
) -> Result<libc::c_long> {
    let size = size_of_val(attributes);
    // SAFETY: attributes are live and of that size; the caller guarantees the rest.
    check(unsafe {
        libc::syscall(libc::SYS_bpf, command as libc::c_long, &raw mut *attributes, size)
    })
}

/// A call whose result is a new file descriptor. The kernel makes it close-on-exec.
///
/// # Safety
/// As for [`call`], and `command` is one that returns a file descriptor.
pub(crate) unsafe fn call_for_fd<A: Attribute>(
    command: Command,
    attributes: &mut A,
) -> Result<OwnedFd> {
    // SAFETY: passed on to the caller.
    let fd = unsafe { call(command, attributes)? };
    // SAFETY: the kernel has just made this file descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Converts the result of a command on an entry: false if the error is ENOENT, for a missing key.
pub(crate) fn present(result: Result<libc::c_long>) -> Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// The longest name of an object, in bytes (`BPF_OBJ_NAME_LEN`, less the NUL).
pub const MAX_NAME: usize = 15;

/// The bytes of a name before its NUL.
pub(crate) fn name(bytes: &[u8; 16]) -> Vec<u8> {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default().to_vec()
}

/// A name as a member of a structure: its first [`MAX_NAME`] bytes.
pub(crate) fn name_member(name: &[u8]) -> [u8; MAX_NAME + 1] {
    let mut member = [0; MAX_NAME + 1];
    let len = name.len().min(MAX_NAME);
    member[..len].copy_from_slice(&name[..len]);
    member
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    #[test]
    fn fields_have_the_offsets_of_the_kernel() {
        assert_eq!(offset_of!(MapCreate, map_ifindex), 44);
        assert_eq!((offset_of!(MapCreate, map_extra), size_of::<MapCreate>()), (64, 72));
        assert_eq!((offset_of!(MapElem, key), size_of::<MapElem>()), (8, 32));
        assert_eq!((offset_of!(MapBatch, elem_flags), size_of::<MapBatch>()), (40, 56));
        assert_eq!((offset_of!(BtfLoad, btf_size), size_of::<BtfLoad>()), (16, 24));
        assert_eq!((offset_of!(MapDescription, btf_id), size_of::<MapDescription>()), (64, 80));
        assert_eq!((offset_of!(ProgDescription, name), size_of::<ProgDescription>()), (64, 80));
        assert_eq!(size_of::<LinkDescription>(), 16);
        assert_eq!(size_of::<BtfDescription>(), 16);
    }
}
