//! The way into a binary, in place of Rust's own.
//!
//! Rust's runtime ignores SIGPIPE and opens /dev/null for closed standard
//! streams before `main`, and neither can be undone for a command that is
//! executed later. So the binaries enter here, from C's `main`.

use super::fd;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::ffi::{CStr, OsStr, OsString, c_char};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;

/// Defines the `main` of a binary that is `#![no_main]`: `run` takes the arguments,
/// the program's name first, and returns the exit status.
#[macro_export]
#[doc(hidden)]
macro_rules! entry {
    ($run:path) => {
        /// What the C start-up code calls.
        #[unsafe(no_mangle)]
        extern "C" fn main(count: i32, arguments: *const *const std::ffi::c_char) -> i32 {
            // SAFETY: these are the arguments that C's main was given.
            unsafe { $crate::internals::enter(count, arguments, $run) }
        }
    };
}

/// Calls `run` with the standard streams safe from being taken for others.
///
/// # Safety
/// `count` and `arguments` are those of C's `main`.
pub unsafe fn enter(
    count: i32,
    arguments: *const *const c_char,
    run: fn(Vec<OsString>) -> u8,
) -> i32 {
    hold_standard_streams();
    let arguments = (0..count as usize).map(|i| {
        // SAFETY: C's main is given `count` pointers to strings that live for ever.
        let argument = unsafe { CStr::from_ptr(*arguments.add(i)) };
        OsStr::from_bytes(argument.to_bytes()).to_owned()
    });
    i32::from(run(arguments.collect()))
}

/// Puts a descriptor on each of 0, 1 and 2 that is closed, so that nothing opened
/// later lands there and is written to as stderr. Reading and writing it fail
/// with EBADF, as if it were closed; and it is close-on-exec, so the command
/// finds it closed, as the caller left it.
fn hold_standard_streams() {
    for standard in (0..=2).filter(|&n| fd::is_free(n)) {
        // The lowest free number is the one looked at. What fails here fails later too.
        if let Ok(fd) = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) {
            debug_assert_eq!(fd.as_raw_fd(), standard);
            let _ = fd.into_raw_fd(); // stays until exec
        }
    }
}
