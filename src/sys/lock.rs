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

    /// Without a lock the kernel refuses the flag, before it looks at the key.
    fn probe_lock(&self) -> u64 {
        let (key, mut value) = (vec![0; self.key_len()], vec![0; self.value_len()]);
        let mut attr = self.attr(&key, value.as_mut_ptr() as u64, LOCK);
        // SAFETY: both pointers lead to as many bytes as the map's sizes.
        match unsafe { bpf::call(bpf_cmd::BPF_MAP_LOOKUP_ELEM, &mut attr) } {
            Err(Errno::EINVAL) => 0,
            // A write-only descriptor: a batch of nothing is refused in the same way.
            Err(Errno::EPERM) if self.update_none(LOCK).is_err() => 0,
            _ => LOCK,
        }
    }
}
