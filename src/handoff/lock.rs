//! A seccomp filter that restricts bpf(2) to operations on map entries.

use crate::error::Error;
use bpf_inherit::privilege::CAP_SYS_ADMIN;
use nix::unistd::getresuid;

const LOCK: &str = "install seccomp filter";

/// Installs the filter, with no_new_privs, for this process and all its children.
///
/// Other bpf(2) commands, such as creating, pinning, freezing, loading and attaching, then fail
/// with EPERM. The filter compares the low 32 bits of the command, which are all that the kernel
/// reads. The x32 system call number of bpf(2) is refused completely.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
pub fn install() -> Result<(), Error> {
    let fail = |cause: String| Error::new("--lock", LOCK, cause);
    let program = filter().map_err(|e| fail(e.to_string()))?;
    seccompiler::apply_filter(&program).map_err(|e| fail(e.to_string()))
}

/// Seccomp filters are not supported for this architecture.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
pub fn install() -> Result<(), Error> {
    Err(Error::new("--lock", LOCK, "not supported on this architecture"))
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
fn filter() -> Result<seccompiler::BpfProgram, seccompiler::BackendError> {
    use seccompiler::{
        SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    };
    /// `enum bpf_cmd`: lookup, update, delete, next key, OBJ_GET, OBJ_GET_INFO_BY_FD,
    /// lookup and delete, and the four batch commands.
    const ALLOWED: [u64; 11] = [1, 2, 3, 4, 7, 15, 21, 24, 25, 26, 27];
    const X32_SYSCALL_BIT: i64 = 0x4000_0000;
    let differs = |cmd| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, cmd);
    let none_of_them = ALLOWED.into_iter().map(differs).collect::<Result<Vec<_>, _>>()?;
    let rules = [
        (libc::SYS_bpf, vec![SeccompRule::new(none_of_them)?]),
        (libc::SYS_bpf | X32_SYSCALL_BIT, vec![]),
    ];
    SeccompFilter::new(
        rules.into_iter().collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()
}

/// The reason why the filter does not restrict the command; None if it does. Root and processes
/// with CAP_SYS_ADMIN can bypass the filter.
pub fn find_bypass() -> Option<&'static str> {
    let uids = getresuid().ok()?;
    if uids.real.is_root() || uids.effective.is_root() || uids.saved.is_root() {
        return Some("the command runs as root, which the filter does not restrict");
    }
    // For other users, execve(2) keeps ambient capabilities only.
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let ambient = status.lines().find_map(|line| line.strip_prefix("CapAmb:"))?;
    let ambient = u64::from_str_radix(ambient.trim(), 16).ok()?;
    let has = ambient & (1 << CAP_SYS_ADMIN) != 0;
    has.then_some("the command runs with CAP_SYS_ADMIN, which the filter does not restrict")
}
