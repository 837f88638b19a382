//! The window size of a terminal.

use std::os::fd::{AsRawFd, BorrowedFd};

/// The numbers of rows and columns of the terminal `fd`; None if `fd` is not a terminal, or has no
/// size.
pub fn window(fd: BorrowedFd) -> Option<(usize, usize)> {
    // SAFETY: integers, for which all zeroes is valid.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: TIOCGWINSZ writes one winsize.
    let asked = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    let known = asked == 0 && size.ws_row > 0 && size.ws_col > 0;
    known.then_some((size.ws_row.into(), size.ws_col.into()))
}
