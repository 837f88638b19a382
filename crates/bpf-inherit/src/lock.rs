//! Maps whose values contain a `struct bpf_spin_lock`: the kernel copies a value under the lock
//! only if the call asks for it. Otherwise a part of a concurrent writer's value may be read.

use crate::attribute::{Command, call};
use crate::map::Map;
use crate::{Errno, Result};

/// `BPF_F_LOCK`.
const LOCK: u64 = 4;

/// An address in the last page of the address space, which no process can map. (Page 0 may be
/// mapped.)
const UNREADABLE: u64 = u64::MAX;

impl Map {
    /// Whether a value of the map contains a spin lock. Asks the kernel once.
    pub fn has_spin_lock(&self) -> Result<bool> {
        self.lock_flag().map(|flag| flag != 0)
    }

    /// `BPF_F_LOCK` for a map whose values have a spin lock, else 0. Asks the kernel once.
    ///
    /// The map's BTF also shows whether values have a lock, but reading BTF requires CAP_SYS_ADMIN.
    /// Whether the map has BTF is in its info.
    pub(crate) fn lock_flag(&self) -> Result<u64> {
        if !self.info().map_type.may_lock() || self.info().btf_value_type_id == 0 {
            return Ok(0);
        }
        match self.lock.get() {
            Some(&flag) => Ok(flag),
            None => self.probe_lock().map(|flag| *self.lock.get_or_init(|| flag)),
        }
    }

    /// Without a lock in the value the kernel refuses the flag (EINVAL), before it reads the key
    /// (EFAULT). It checks the access mode first.
    fn probe_lock(&self) -> Result<u64> {
        for command in [Command::MapLookupElem, Command::MapUpdateElem] {
            let mut attributes = self.element(&[], 0, LOCK);
            attributes.key = UNREADABLE;
            // SAFETY: the types that may have locks have keys. The kernel fails to read a key from
            // this address before it reads or writes a value.
            match unsafe { call(command, &mut attributes) } {
                // The file descriptor has another access mode, or the map is frozen.
                Err(Errno::EPERM) => {}
                Err(Errno::EINVAL) => return Ok(0),
                Err(Errno::EFAULT) => return Ok(LOCK),
                answer => return Err(answer.err().unwrap_or(Errno::EFAULT)),
            }
        }
        Ok(0)
    }
}
