//! Maps whose values contain a `struct bpf_spin_lock`: the kernel copies a value under the lock only if
//! the call asks for that. Otherwise a concurrent writer's value is read in part.

use super::bpf;
use super::elem::MapFd;
use super::{Errno, Result};
use aya_obj::generated::bpf_cmd;

/// BPF_F_LOCK.
const LOCK: u64 = 4;

/// In the last page of the address space, which no process can map. (Page 0 may be mapped.)
const UNREADABLE: u64 = u64::MAX;

impl MapFd {
    /// BPF_F_LOCK for a map whose values have a spin lock, else 0. Asks the kernel until it has answered.
    ///
    /// BTF has the answer as well, but needs CAP_SYS_ADMIN. Whether the map has BTF is always known.
    pub(super) fn lock_flag(&self) -> Result<u64> {
        // The types that may have locks in their values, which takes BTF (`map_check_btf`).
        let may_lock = matches!(self.info().kind, 1 | 2 | 19 | 24 | 28 | 29 | 32);
        if !may_lock || self.info().btf_value_type_id == 0 {
            return Ok(0);
        }
        match self.lock.get() {
            Some(&flag) => Ok(flag),
            None => self.probe_lock().map(|flag| *self.lock.get_or_init(|| flag)),
        }
    }

    /// Without a lock the kernel refuses the flag (EINVAL), before it reads the key (EFAULT). The
    /// access mode is checked first of all.
    fn probe_lock(&self) -> Result<u64> {
        for cmd in [bpf_cmd::BPF_MAP_LOOKUP_ELEM, bpf_cmd::BPF_MAP_UPDATE_ELEM] {
            let mut attr = self.attr(&[], 0, LOCK);
            attr.__bindgen_anon_2.key = UNREADABLE;
            // SAFETY: the types that may have locks have keys, and the kernel fails to read one from
            // this address, before it reads or writes a value.
            match unsafe { bpf::call(cmd, &mut attr) } {
                // Not opened for this, or frozen.
                Err(Errno::EPERM) => {}
                Err(Errno::EINVAL) => return Ok(0),
                Err(Errno::EFAULT) => return Ok(LOCK),
                answer => return Err(answer.err().unwrap_or(Errno::EFAULT)),
            }
        }
        Ok(0)
    }
}
