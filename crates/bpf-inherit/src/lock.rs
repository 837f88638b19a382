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
            match self.refuse_key(command, LOCK) {
                // The file descriptor has another access mode, or the map is frozen.
                Errno::EPERM => {}
                Errno::EINVAL => return Ok(0),
                Errno::EFAULT => return Ok(LOCK),
                errno => return Err(errno),
            }
        }
        Ok(0)
    }

    /// Whether an update of an entry is permitted. Nothing is written.
    ///
    /// # Errors
    /// EPERM if the file descriptor is read-only, or the map is frozen. EINVAL for a map without
    /// keys.
    pub fn check_writable(&self) -> Result<()> {
        match self.key_len() {
            0 => Err(Errno::EINVAL),
            // The kernel refuses the flag for a map without a lock before it reads the key, which
            // saves a page fault.
            _ => match self.refuse_key(Command::MapUpdateElem, LOCK) {
                Errno::EFAULT | Errno::EINVAL => Ok(()),
                errno => Err(errno),
            },
        }
    }

    /// The error of a command on an entry whose key cannot be read: the kernel checks the access
    /// mode and the flags first. Only for maps with keys.
    fn refuse_key(&self, command: Command, flags: u64) -> Errno {
        let mut attributes = self.element(&[], 0, flags);
        attributes.key = UNREADABLE;
        // SAFETY: the map has keys. The kernel fails to read a key from this address before it
        // reads or writes a value.
        match unsafe { call(command, &mut attributes) } {
            Ok(_) => Errno::EFAULT,
            Err(errno) => errno,
        }
    }
}
