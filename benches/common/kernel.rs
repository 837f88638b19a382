//! System calls of the benches.

// Each bench uses only a part of this module.
#![allow(dead_code)]

use super::Result;
use std::error::Error;
use std::ffi::CString;
use std::os::fd::{FromRawFd, OwnedFd};
use std::{io, ptr};

/// The directory on which a bench mounts a bpffs.
pub const BPFFS: &str = "/sys/fs/bpf";

/// Mounts a bpffs that only this process and its children see.
pub fn private_bpffs() -> Result<()> {
    // SAFETY: no memory is involved, and this process has one thread.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } < 0 {
        return Err(last_error("unshare (needs root)"));
    }
    let (root, target) = (c"/".as_ptr(), CString::new(BPFFS)?);
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the strings end in NUL; the other arguments may be null.
    let private = unsafe { libc::mount(c"none".as_ptr(), root, ptr::null(), flags, ptr::null()) };
    let bpf = c"bpf".as_ptr();
    // SAFETY: as above.
    let mounted = unsafe { libc::mount(bpf, target.as_ptr(), bpf, 0, ptr::null()) };
    if private < 0 || mounted < 0 { Err(last_error("mount")) } else { Ok(()) }
}

/// Creates a map without a name, of this type, with keys and values of these sizes in bytes.
pub fn create(kind: u32, key: u32, value: u32, entries: u32) -> Result<OwnedFd> {
    const BPF_MAP_CREATE: libc::c_long = 0;
    // The beginning of `union bpf_attr` in linux/bpf.h.
    let create = [kind, key, value, entries];
    // SAFETY: the kernel reads the given size, and no pointer is in it.
    let map = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_MAP_CREATE, &raw const create, size_of_val(&create))
    };
    if map < 0 {
        return Err(last_error("BPF_MAP_CREATE"));
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(map)?) })
}

pub fn last_error(operation: &str) -> Box<dyn Error> {
    format!("{operation}: {}", io::Error::last_os_error()).into()
}
