//! Executing a command, and file descriptors of other processes.

use crate::{Errno, Result, check};
use nix::sys::signal::SigSet;
use std::ffi::{CStr, CString};
use std::mem::zeroed;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Executes `file`, which is searched in PATH as execvp(3) does, instead of this program. Returns
/// only on failure.
pub fn exec(file: &CStr, arguments: &[CString], environment: &[CString]) -> Errno {
    let pointers = |strings: &[CString]| {
        let end = std::iter::once(std::ptr::null());
        strings.iter().map(|s| s.as_ptr()).chain(end).collect::<Vec<_>>()
    };
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays hold live strings and end with a null pointer.
    unsafe { libc::execvpe(file.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Errno::last()
}

/// A pidfd of the process `pid` (pidfd_open(2)).
///
/// # Errors
/// ESRCH if there is no such process.
pub fn pidfd_open(pid: i32) -> Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel has just made it for us, close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A duplicate of the file descriptor `number` of another process, with the same access mode
/// (pidfd_getfd(2)). Requires permission to trace that process.
pub fn pidfd_getfd(pidfd: BorrowedFd, number: RawFd) -> Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) })?;
    // SAFETY: the kernel has just made it for us, close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Whether the process of `pidfd` has not been reaped, so that no other process can have its number
/// (pidfd_send_signal(2) with signal 0).
pub fn is_alive(pidfd: BorrowedFd) -> bool {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed, and signal 0 is only checked.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), 0, none, 0) };
    sent == 0 || Errno::last() == Errno::EPERM
}

/// Whether this process ignores the signal `number`.
pub fn is_ignored(number: i32) -> bool {
    // SAFETY: zeroes are a valid sigaction to be written over.
    let mut action: libc::sigaction = unsafe { zeroed() };
    // SAFETY: with no new action only the old one is written, into action.
    let asked = unsafe { libc::sigaction(number, std::ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Signals that do not end a process by default, or that cannot be blocked (signal(7)).
const NOT_ENDING: [libc::c_int; 9] = [
    libc::SIGCHLD,
    libc::SIGCONT,
    libc::SIGURG,
    libc::SIGWINCH,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGSTOP,
    libc::SIGKILL,
];

/// The signals whose default action ends the process, real-time signals included, without those
/// that this process ignores or blocks: a blocked signal is queued even if it is ignored.
pub fn ending_signals() -> Result<SigSet> {
    let before = SigSet::thread_get_mask()?;
    // SAFETY: zeroes are a valid set to be written over.
    let mut ending: libc::sigset_t = unsafe { zeroed() };
    // SAFETY: a live set.
    unsafe { libc::sigemptyset(&raw mut ending) };
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: an initialized set.
        let is_blocked = unsafe { libc::sigismember(before.as_ref(), number) } == 1;
        if !NOT_ENDING.contains(&number) && !is_blocked && !is_ignored(number) {
            // EINVAL for signals that the C library reserves.
            // SAFETY: an initialized set.
            unsafe { libc::sigaddset(&raw mut ending, number) };
        }
    }
    // SAFETY: an initialized set.
    Ok(unsafe { SigSet::from_sigset_t_unchecked(ending) })
}

/// Whether the kernel gave this process privileges that its caller does not have, because the
/// executable is set-user-ID or set-group-ID, or has file capabilities (AT_SECURE of getauxval(3)).
pub fn is_secure_execution() -> bool {
    // SAFETY: no pointers; it returns a number of the vector that the kernel made at exec.
    (unsafe { libc::getauxval(libc::AT_SECURE) }) != 0
}

/// The exit status that reports an error. An error without a number of its own, such as ENOTSUPP of
/// the kernel, has the number 0 in [`Errno`], which would report success.
fn exit_status(errno: Errno) -> i32 {
    const UNKNOWN: i32 = 255;
    if errno == Errno::UnknownErrno { UNKNOWN } else { errno as i32 }
}

/// Runs `work` in a child process, which continues if this process is killed, and waits for it. The
/// child ignores SIGTERM and the signals of a terminal. Only for a process with one thread: locks
/// held by other threads would stay locked in the child.
///
/// # Errors
/// Those of fork(2) and of `work`; EINTR if the child was killed, so that the part of `work` that
/// was done is unknown.
pub fn run_in_child(work: impl FnOnce() -> Result<()>) -> Result<()> {
    // SAFETY: the child makes system calls, and exits with _exit.
    match check(unsafe { libc::fork() }.into())? {
        0 => {
            // A signal to the process group must not stop it halfway.
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGTSTP]
            {
                // SAFETY: ignoring a signal calls nothing.
                unsafe { libc::signal(signal, libc::SIG_IGN) };
            }
            let status = work().err().map_or(0, exit_status);
            // SAFETY: ends the process.
            unsafe { libc::_exit(status) }
        }
        child => {
            let mut status = 0;
            loop {
                // SAFETY: status is written to.
                let waited = unsafe { libc::waitpid(child as libc::pid_t, &raw mut status, 0) };
                match check(waited.into()) {
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(errno),
                    Ok(_) => break,
                }
            }
            match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
                (true, 0) => Ok(()),
                (true, errno) => Err(Errno::from_raw(errno)),
                (false, _) => Err(Errno::EINTR),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_an_exit_status_that_reports_it() {
        // 524 is ENOTSUPP.
        for number in [libc::EPERM, libc::EHWPOISON, 524] {
            let (errno, status) = (Errno::from_raw(number), exit_status(Errno::from_raw(number)));
            assert!((1..=255).contains(&status), "{number}");
            assert_eq!(Errno::from_raw(status), errno, "{number}");
        }
    }
}
