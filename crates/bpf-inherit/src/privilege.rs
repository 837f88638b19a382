//! Drops privileges that a daemon does not need (prctl(2), capabilities(7)).

use crate::{Errno, Result, check};

/// The capability to administer the system (capabilities(7)).
pub const CAP_SYS_ADMIN: u32 = 21;
/// For programs of the network, and for some types of maps.
pub const CAP_NET_ADMIN: u32 = 12;
/// The capability to load programs that read kernel memory (tracing).
pub const CAP_PERFMON: u32 = 38;
/// The capability to load programs and create maps.
pub const CAP_BPF: u32 = 39;

/// Makes this process non-dumpable, so that only root can trace it, take its file descriptors or
/// get a core dump; and sets no_new_privs.
pub fn restrict_process() -> Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0)?;
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Drops all capabilities except those in `keep`, permanently. Returns whether the process had all
/// capabilities in `keep`: it does not gain capabilities.
pub fn drop_capabilities(keep: &[u32]) -> Result<bool> {
    // The bounding set is dropped first, because that requires CAP_SETPCAP. Without CAP_SETPCAP the
    // bounding set is unchanged, which is harmless, because no program is executed.
    for capability in 0..64 {
        if !keep.contains(&capability) {
            match prctl(libc::PR_CAPBSET_DROP, capability.into()) {
                // The number after the last capability of this kernel.
                Err(Errno::EINVAL) => break,
                Err(Errno::EPERM) => break,
                dropped => dropped?,
            }
        }
    }
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong)?;
    let wanted = keep.iter().fold(0u64, |mask, capability| mask | 1 << capability);
    let mut data = capabilities()?;
    let mut has = 0;
    for (at, half) in data.iter_mut().enumerate() {
        let mask = (wanted >> (32 * at)) as u32;
        *half = Half {
            effective: half.permitted & mask,
            permitted: half.permitted & mask,
            inheritable: 0,
        };
        has |= u64::from(half.effective) << (32 * at);
    }
    let header = Header { version: VERSION_3, pid: 0 };
    // SAFETY: the header, and as many halves as its version says.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })?;
    Ok(has == wanted)
}

/// `_LINUX_CAPABILITY_VERSION_3` of `include/uapi/linux/capability.h`: two halves.
const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Whether the effective set of this process contains a capability.
pub fn has_capability(capability: u32) -> Result<bool> {
    let halves = capabilities()?;
    let half = halves.get(capability as usize / 32).ok_or(Errno::EINVAL)?;
    Ok(half.effective >> (capability % 32) & 1 == 1)
}

fn capabilities() -> Result<[Half; 2]> {
    let header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Half::default(); 2];
    // SAFETY: the header, and as many halves as its version says.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    Ok(data)
}

fn prctl(option: libc::c_int, value: libc::c_ulong) -> Result<()> {
    let none: libc::c_ulong = 0;
    // SAFETY: none of the options used here takes a pointer.
    check(unsafe { libc::prctl(option, value, none, none, none) }.into()).map(drop)
}
