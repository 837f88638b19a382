//! bpf(2) on programs: loads them, runs SYSCALL programs, attaches iterators.
//!
//! What a program may do is the verifier's decision. The functions here only pass slices whose
//! sizes are those of the call, and own the file descriptors that it returns.

use crate::attribute::{Attribute, Command, call, call_for_fd, name_member};
use crate::{Errno, Result};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// `BPF_PROG_TYPE_TRACING`: iterators are of this type.
pub const TRACING: u32 = 26;
/// `BPF_PROG_TYPE_SYSCALL`.
pub const SYSCALL: u32 = 31;
/// `BPF_TRACE_ITER`, an attach type.
pub const TRACE_ITER: u32 = 28;
/// `BPF_F_SLEEPABLE`, which a SYSCALL program needs.
pub const F_SLEEPABLE: u32 = 1 << 4;

/// What to load, for [`load`].
#[derive(Debug, Default)]
pub struct ProgramSpec<'a> {
    /// `enum bpf_prog_type`.
    pub program_type: u32,
    /// `enum bpf_attach_type`; 0 for types that have none.
    pub attach_type: u32,
    /// The function of the kernel that the program is attached to, in the BTF of the kernel; 0 for
    /// none.
    pub attach_btf_id: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// The kernel keeps the first 15 bytes, and accepts only `[A-Za-z0-9_.]`.
    pub name: &'a [u8],
    /// The kernel compares it with the licenses that it accepts as compatible with the GPL.
    pub license: &'a CStr,
    /// `struct bpf_insn`, 8 bytes each as they are in memory. Maps are referred to by the numbers
    /// of file descriptors, which must stay open during the call.
    pub instructions: &'a [u64],
    /// The types of its functions, and the lines of its source.
    pub btf: Option<ProgramBtf<'a>>,
}

/// The BTF of a program, for [`ProgramSpec`].
#[derive(Debug)]
pub struct ProgramBtf<'a> {
    /// BTF that was loaded.
    pub fd: BorrowedFd<'a>,
    /// `struct bpf_func_info`: for each function its first instruction and its type. All functions
    /// are there, or none.
    pub functions: &'a [[u32; 2]],
    /// `struct bpf_line_info`: instruction, file name, text, and line and column.
    pub lines: &'a [[u32; 4]],
}

/// `BPF_PROG_LOAD`.
#[repr(C)]
#[derive(Debug, Default)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
    attach_btf_obj_fd: u32,
    padding: u32,
}

/// `BPF_LINK_CREATE`, of an iterator.
#[repr(C)]
#[derive(Debug, Default)]
struct LinkCreate {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    iter_info: u64,
    iter_info_len: u32,
    padding: u32,
}

/// `BPF_ITER_CREATE`.
#[repr(C)]
#[derive(Debug, Default)]
struct IterCreate {
    link_fd: u32,
    flags: u32,
}

/// `BPF_PROG_TEST_RUN`.
#[repr(C)]
#[derive(Debug, Default)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
}

// SAFETY: `repr(C)` structures of integers without padding of the compiler's.
unsafe impl Attribute for ProgLoad {}
// SAFETY: likewise.
unsafe impl Attribute for LinkCreate {}
// SAFETY: likewise.
unsafe impl Attribute for IterCreate {}
// SAFETY: likewise.
unsafe impl Attribute for TestRun {}

/// Loads a program. It exists as long as the file descriptor, a duplicate of it, a pin or a link.
///
/// If the verifier refuses the program, it writes an error, and the path to the refused instruction,
/// to the start of `log`, terminated by a NUL byte. Nothing is written if `log` is empty.
///
/// # Errors
/// EPERM without CAP_BPF (and CAP_PERFMON for iterators), and from kernels that refuse the type;
/// EACCES or EINVAL from the verifier; ENOSPC if `log` is too short.
pub fn load(spec: &ProgramSpec, log: &mut [u8]) -> Result<OwnedFd> {
    let mut attributes = ProgLoad {
        prog_type: spec.program_type,
        insn_cnt: u32::try_from(spec.instructions.len()).map_err(|_| Errno::E2BIG)?,
        insns: spec.instructions.as_ptr() as u64,
        license: spec.license.as_ptr() as u64,
        prog_flags: spec.flags,
        expected_attach_type: spec.attach_type,
        attach_btf_id: spec.attach_btf_id,
        ..ProgLoad::default()
    };
    if let Some(btf) = &spec.btf {
        attributes.prog_btf_fd = btf.fd.as_raw_fd() as u32;
        attributes.func_info_rec_size = size_of::<[u32; 2]>() as u32;
        attributes.func_info = btf.functions.as_ptr() as u64;
        attributes.func_info_cnt = u32::try_from(btf.functions.len()).map_err(|_| Errno::E2BIG)?;
        attributes.line_info_rec_size = size_of::<[u32; 4]>() as u32;
        attributes.line_info = btf.lines.as_ptr() as u64;
        attributes.line_info_cnt = u32::try_from(btf.lines.len()).map_err(|_| Errno::E2BIG)?;
    }
    if !log.is_empty() {
        attributes.log_level = 1;
        attributes.log_size = u32::try_from(log.len()).map_err(|_| Errno::E2BIG)?;
        attributes.log_buf = log.as_mut_ptr() as u64;
    }
    attributes.prog_name = name_member(spec.name);
    // SAFETY: insns points to insn_cnt instructions, license to a NUL-terminated string, func_info
    // and line_info to as many records of these sizes, and log_buf to log_size writable bytes; all
    // outlive the call.
    unsafe { call_for_fd(Command::ProgLoad, &mut attributes) }
}

/// Makes an iterator of a loaded program: over the entries of `map`, or over all objects of the
/// kind that the program iterates over. Each reader of the link, and of its pins, starts a new
/// walk.
///
/// # Errors
/// EINVAL for a map of a type that cannot be iterated; EACCES if the program reads past the size of
/// the map's values.
pub fn create_iterator(program: BorrowedFd, map: Option<BorrowedFd>) -> Result<OwnedFd> {
    // union bpf_iter_link_info
    let map = map.map(|map| map.as_raw_fd() as u32);
    let mut attributes = LinkCreate {
        prog_fd: program.as_raw_fd() as u32,
        attach_type: TRACE_ITER,
        ..LinkCreate::default()
    };
    if let Some(map) = &map {
        attributes.iter_info = &raw const *map as u64;
        attributes.iter_info_len = size_of::<u32>() as u32;
    }
    // SAFETY: iter_info is 0, or points to iter_info_len bytes that outlive the call.
    unsafe { call_for_fd(Command::LinkCreate, &mut attributes) }
}

/// Starts a walk: a file whose bytes are the output of the iterator's program.
pub fn open_iterator(link: BorrowedFd) -> Result<OwnedFd> {
    let mut attributes = IterCreate { link_fd: link.as_raw_fd() as u32, flags: 0 };
    // SAFETY: no pointers.
    unsafe { call_for_fd(Command::IterCreate, &mut attributes) }
}

/// Runs a SYSCALL program once on `context`, which the program may change; returns its result.
///
/// # Errors
/// EINVAL for a program of another type, or a context larger than 64 KiB.
pub fn run(program: BorrowedFd, context: &mut [u8]) -> Result<u32> {
    let mut attributes = TestRun {
        prog_fd: program.as_raw_fd() as u32,
        ctx_size_in: u32::try_from(context.len()).map_err(|_| Errno::EINVAL)?,
        // The kernel copies the context back to the same memory.
        ctx_in: context.as_mut_ptr() as u64,
        ..TestRun::default()
    };
    // SAFETY: ctx_in points to ctx_size_in bytes that may be read and written.
    unsafe { call(Command::ProgTestRun, &mut attributes) }?;
    Ok(attributes.retval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn fields_are_where_the_kernel_has_them() {
        assert_eq!(offset_of!(ProgLoad, prog_name), 48);
        assert_eq!(offset_of!(ProgLoad, func_info), 80);
        assert_eq!(offset_of!(ProgLoad, line_info), 96);
        assert_eq!((offset_of!(ProgLoad, attach_btf_id), size_of::<ProgLoad>()), (108, 120));
        assert_eq!((offset_of!(LinkCreate, iter_info), size_of::<LinkCreate>()), (16, 32));
        assert_eq!(size_of::<IterCreate>(), 8);
        assert_eq!((offset_of!(TestRun, ctx_in), size_of::<TestRun>()), (48, 64));
    }
}
