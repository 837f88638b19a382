//! The program that asks the kernel for the number of entries of a hash, which the kernel counts as they
//! come and go.

use super::assembler::Register::*;
use super::assembler::{Assembler, Code, TooLong, Width};
use super::kernel::{self, Unmade, Unsupported};
use super::{ProgramError, load};
use bpf_inherit::program::run;
use bpf_inherit::{AccessMode, Map, MapType};
use bpf_layout::Btf;
use std::os::fd::AsFd;

/// The function that adds up the counters of all CPUs (Linux 6.6). For types without counters it
/// returns 0.
const FUNCTION: &str = "bpf_map_sum_elem_count";

/// Maps with room for no more entries are walked: to find the kernel's counter takes as long.
const MAX_WALKED: u32 = 4096;

/// The number of entries of `map` by the kernel's counter, if that is possible, and faster than a
/// walk. Not for write-only file descriptors, which do not permit a walk either.
pub fn ask_kernel(map: &Map) -> Option<u64> {
    let is_readable = map.access_mode() != Ok(AccessMode::WriteOnly);
    let is_large = map.info().max_entries > MAX_WALKED;
    (is_readable && is_large).then(|| count_entries(map).ok().flatten()).flatten()
}

/// The number of entries of `map`, in constant time; None for a type whose entries the kernel does not
/// count.
///
/// # Errors
/// Without CAP_BPF, and from kernels without [`FUNCTION`].
fn count_entries(map: &Map) -> Result<Option<u64>, ProgramError> {
    if !MapType::COUNTED.contains(&map.info().map_type) {
        return Ok(None);
    }
    let blob = kernel::read_btf().map_err(ProgramError::NoBtf)?;
    let function = Btf::find_function(&blob, FUNCTION);
    let function = function.ok_or(Unsupported::Function(FUNCTION)).map_err(Unmade::from)?;
    let code = generate(function).map_err(Unmade::from)?;
    let program = load::load_for_map("count", code, map)?;
    let mut context = [0; 8];
    run(program.as_fd(), &mut context).map_err(ProgramError::Run)?;
    Ok(Some(u64::from_ne_bytes(context)))
}

fn generate(function: u32) -> Result<Code, TooLong> {
    let mut asm = Assembler::default();
    asm.set(R6, R1);
    asm.map(R1);
    asm.call_kernel(function);
    asm.store(Width::Eight, R6, 0, R0);
    asm.set(R0, 0);
    asm.exit();
    asm.finish()
}
