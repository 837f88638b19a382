//! The arguments, environment and file descriptors with which a program starts.
//!
//! Rust's runtime ignores SIGPIPE and opens /dev/null for closed standard streams before `main`,
//! and neither can be reverted for a command that is executed later. A program that hands over its
//! environment and file descriptors therefore starts at C's `main` ([`entry!`](crate::entry!)).

use crate::fd::{is_free, without_proc};
use crate::{Errno, Result, errno};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::sys::stat::Mode;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, OsString, c_char};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

/// Defines the `main` of a program that is `#![no_main]`: `run` receives the [`Startup`] and the
/// arguments, the program's name first, and returns the exit status.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        /// The function that C's start-up code calls.
        #[unsafe(no_mangle)]
        extern "C" fn main(count: i32, arguments: *const *const std::ffi::c_char) -> i32 {
            // SAFETY: these are the arguments of C's main, no other code has run before, and the
            // programs leave FD_CLOEXEC set on the file descriptors that they open.
            unsafe { $crate::startup::enter(count, arguments, $run) }
        }
    };
}

/// Reserves the numbers of closed standard streams, and calls `run`.
///
/// # Safety
/// `count` and `arguments` are those of C's `main`, which calls this first and once. The program
/// does not clear FD_CLOEXEC on a file descriptor that it owns: whether a number was inherited is
/// decided by that flag. It does not change the environment.
pub unsafe fn enter(
    count: i32,
    arguments: *const *const c_char,
    run: fn(Startup, Vec<OsString>) -> u8,
) -> i32 {
    hold_standard_streams();
    let arguments = (0..count as usize).map(|i| {
        // SAFETY: C's main receives `count` pointers to strings that live as long as the process.
        let argument = unsafe { CStr::from_ptr(*arguments.add(i)) };
        OsStr::from_bytes(argument.to_bytes()).to_owned()
    });
    i32::from(run(Startup { fds: RefCell::default() }, arguments.collect()))
}

/// Opens a file descriptor on each of 0, 1 and 2 that is closed. Otherwise a file that is opened
/// later might get the number 2, and messages would be written to it. Reading and writing the file
/// descriptor fail with EBADF, as if it were closed. It is close-on-exec, so the command finds the
/// stream closed, as this process did.
fn hold_standard_streams() {
    for standard in (0..=2).filter(|&number| is_free(number)) {
        // The lowest free number is the one that was checked. An error here recurs later.
        if let Ok(fd) = open("/", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) {
            debug_assert_eq!(fd.as_raw_fd(), standard);
            let _ = fd.into_raw_fd(); // stays open until exec
        }
    }
}

/// The environment and the file descriptors that this process was started with. One exists in a
/// process, so that no file descriptor gets two owners.
#[derive(Debug)]
pub struct Startup {
    /// The file descriptors that were requested, by number.
    fds: RefCell<BTreeMap<RawFd, InheritedFd>>,
}

/// A file descriptor that this process inherited. Several variables of the environment may name
/// the same number, so this may be cloned. Dropping it does not close the file descriptor.
#[derive(Clone, Debug)]
pub struct InheritedFd(Rc<RawFd>);

impl InheritedFd {
    /// The number of the file descriptor.
    pub fn number(&self) -> RawFd {
        *self.0
    }

    /// Another file descriptor for the same object, with the same access mode, close-on-exec.
    pub fn duplicate(&self) -> Result<OwnedFd> {
        self.as_fd().try_clone_to_owned().map_err(errno)
    }
}

impl AsFd for InheritedFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: open since the process started; Startup gives a number an owner only if no
        // other InheritedFd has it.
        unsafe { BorrowedFd::borrow_raw(*self.0) }
    }
}

impl Startup {
    /// The unchanged entries of the environment, including entries without `=` and names that
    /// appear twice.
    pub fn environment(&self) -> Vec<CString> {
        unsafe extern "C" {
            static mut environ: *const *const libc::c_char;
        }
        let mut entries = Vec::new();
        // SAFETY: the program never changes it.
        let mut at = unsafe { environ };
        // SAFETY: environ is null, or an array of strings that ends with a null pointer.
        while let Some(&entry) = unsafe { at.as_ref() } {
            if entry.is_null() {
                break;
            }
            // SAFETY: a NUL-terminated string that lives as long as the process.
            entries.push(unsafe { CStr::from_ptr(entry) }.to_owned());
            // SAFETY: the null pointer that ends the array has not been reached.
            at = unsafe { at.add(1) };
        }
        entries
    }

    /// The inherited file descriptor `number`.
    ///
    /// # Errors
    /// EBADF if `number` is closed, or was opened by this process: file descriptors that this
    /// process opened are close-on-exec, and inherited ones are not.
    pub fn fd(&self, number: RawFd) -> Result<InheritedFd> {
        if is_free(number) {
            return Err(Errno::EBADF);
        }
        let mut fds = self.fds.borrow_mut();
        Ok(fds.entry(number).or_insert_with(|| InheritedFd(Rc::new(number))).clone())
    }

    /// All inherited file descriptors, in ascending order, from /proc/self/fd.
    ///
    /// # Errors
    /// [`NO_PROC`](crate::NO_PROC), and those of reading the directory.
    pub fn fds(&self) -> Result<Vec<InheritedFd>> {
        let mut numbers = Vec::new();
        let entries = std::fs::read_dir("/proc/self/fd");
        for entry in entries.map_err(|error| without_proc(errno(error)))? {
            let name = entry.map_err(errno)?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.parse::<RawFd>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers.into_iter().filter_map(|number| self.fd(number).ok()).collect())
    }

    /// Takes ownership of an inherited file descriptor, and makes it close-on-exec.
    ///
    /// # Errors
    /// EBUSY while another clone of `fd` exists.
    pub fn take(&self, fd: InheritedFd) -> Result<OwnedFd> {
        let number = fd.number();
        // One is in the list, and the caller has the other.
        if Rc::strong_count(&fd.0) > 2 {
            return Err(Errno::EBUSY);
        }
        self.fds.borrow_mut().remove(&number);
        drop(fd);
        // SAFETY: open since the process started, and no InheritedFd has it.
        let owned = unsafe { OwnedFd::from_raw_fd(number) };
        fcntl(&owned, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        Ok(owned)
    }

    /// Replaces an inherited file descriptor by `fd`, for the command to inherit.
    pub fn replace(&self, inherited: &InheritedFd, fd: OwnedFd) -> Result<()> {
        // SAFETY: no pointers. The number stays open, and still has no owner.
        let replaced = unsafe { libc::dup3(fd.as_raw_fd(), inherited.number(), 0) };
        crate::check(replaced.into()).map(drop)
    }

    /// Moves `fd` to `number`, for the command to inherit.
    ///
    /// # Errors
    /// EBUSY if `number` is open; EINVAL if it is not below the soft limit on open files.
    pub fn place(&self, fd: OwnedFd, number: RawFd) -> Result<()> {
        if fd.as_raw_fd() == number {
            fcntl(&fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
            let _ = fd.into_raw_fd(); // stays open for the command
            return Ok(());
        }
        let placed = fcntl(&fd, FcntlArg::F_DUPFD(number))?;
        if placed != number {
            // SAFETY: the kernel has just made it for us.
            drop(unsafe { OwnedFd::from_raw_fd(placed) });
            return Err(Errno::EBUSY);
        }
        Ok(())
    }

    /// Takes ownership of the sockets that a service manager announced with LISTEN_FDS, with
    /// their names (sd_listen_fds(3)). They become close-on-exec.
    ///
    /// # Errors
    /// A variable that is not a number, or the number of a socket that is not open.
    pub fn listen_fds(&self) -> std::result::Result<Vec<(OwnedFd, String)>, ListenFdsError> {
        const FIRST: RawFd = 3;
        let number = |name| match std::env::var_os(name) {
            Some(text) => {
                let number = text.to_str().and_then(|text| text.parse::<RawFd>().ok());
                number.filter(|number| *number >= 0).map(Some).ok_or(ListenFdsError::Variable(name))
            }
            None => Ok(None),
        };
        if number("LISTEN_PID")? != Some(std::process::id() as RawFd) {
            return Ok(Vec::new());
        }
        let count = number("LISTEN_FDS")?.unwrap_or(0);
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(str::to_owned);
        let mut listed = Vec::new();
        for number in (FIRST..=RawFd::MAX).take(count as usize) {
            let taken = self.fd(number).and_then(|fd| self.take(fd));
            let fd = taken.map_err(|errno| ListenFdsError::Fd(number, errno))?;
            listed.push((fd, names.next().unwrap_or_default()));
        }
        Ok(listed)
    }
}

/// Why the sockets of a service manager cannot be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenFdsError {
    /// The variable is not a number.
    Variable(&'static str),
    /// The file descriptor with this number cannot be used.
    Fd(RawFd, Errno),
}
