//! Giving up what a long-lived process does not need (prctl(2), capabilities(7)).

use crate::{Errno, Result, check};

/// The capability to administer the system (capabilities(7)).
pub const CAP_SYS_ADMIN: u32 = 21;

/// Lets nobody but root look into this process, take its descriptors or have its memory
/// dumped; and gives no program that it may execute more privileges than it has.
pub fn shut_off() -> Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0)?;
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Gives up every capability but those of `keep`, for ever. Those of `keep` that it does not
/// have it does not get. Returns whether it has all of them.
pub fn drop_capabilities(keep: &[u32]) -> Result<bool> {
    // The bounding set first: changing that wants CAP_SETPCAP. Without it nothing can be
    // gained either, since no program is executed.
    for capability in 0..64 {
        if !keep.contains(&capability) {
            match prctl(libc::PR_CAPBSET_DROP, capability.into()) {
                // The last one that this kernel knows has been dropped.
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
