//! Maps whose values contain a `struct bpf_spin_lock`: the kernel copies a value under the lock only if
//! the call asks for that. Otherwise a concurrent writer's value is read in part.

use super::Errno;
use super::bpf;
use super::elem::MapFd;
use aya_obj::generated::bpf_cmd;

/// BPF_F_LOCK.
const LOCK: u64 = 4;

impl MapFd {
    /// BPF_F_LOCK for a map whose values have a spin lock, else 0. Asks the kernel once.
    ///
    /// BTF has the answer as well, but needs CAP_SYS_ADMIN. Whether the map has BTF is always known.
    pub(super) fn lock_flag(&self) -> u64 {
        // The types that may have locks in their values, which takes BTF (`map_check_btf`).
        let may_lock = matches!(self.info().kind, 1 | 2 | 19 | 24 | 28 | 29 | 32);
        if !may_lock || self.info().btf_value_type_id == 0 {
            return 0;
        }
        *self.lock.get_or_init(|| self.probe_lock())
    }

    /// Without a lock the kernel refuses the flag (EINVAL), before it reads the key (EFAULT if the
    /// pointer is null). The access mode is checked first of all.
    fn probe_lock(&self) -> u64 {
        for cmd in [bpf_cmd::BPF_MAP_LOOKUP_ELEM, bpf_cmd::BPF_MAP_UPDATE_ELEM] {
            let mut attr = self.attr(&[], 0, LOCK);
            // SAFETY: the types that may have locks have keys, and the kernel reads none from null.
            match unsafe { bpf::call(cmd, &mut attr) } {
                // Not opened for this, or frozen.
                Err(Errno::EPERM) => {}
                Err(Errno::EINVAL) => return 0,
                _ => return LOCK,
            }
        }
        0
    }
}
