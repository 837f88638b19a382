//! The variables of socket activation, by which a service manager announces the file descriptors
//! from 3 upwards to the process that it starts (sd_listen_fds(3)).
//!
//! Pure. bpf-exec executes the command with its own process id, so the command would use fds that
//! bpf-exec has taken for itself.

use std::ffi::CString;
use std::os::fd::RawFd;

/// LISTEN_PIDFDID exists since systemd 258.
const VARIABLES: [&[u8]; 4] =
    [b"LISTEN_FDS=", b"LISTEN_PID=", b"LISTEN_FDNAMES=", b"LISTEN_PIDFDID="];
const FIRST: RawFd = 3;

/// The environment without these variables, if they announce one of the fds in `used`.
pub fn remove_used(mut environment: Vec<CString>, used: &[RawFd]) -> Vec<CString> {
    let count = environment.iter().find_map(|entry| entry.as_bytes().strip_prefix(VARIABLES[0]));
    let count: Option<RawFd> = count.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    // A malformed count could announce any fd.
    let end = count.map_or(RawFd::MAX, |count| FIRST.saturating_add(count));
    if used.iter().any(|fd| (FIRST..end).contains(fd)) {
        let ours = |entry: &[u8]| VARIABLES.iter().any(|name| entry.starts_with(name));
        environment.retain(|entry| !ours(entry.as_bytes()));
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_announce_a_used_fd_are_removed() {
        for (count, used, removed) in [
            (Some("1"), &[3][..], true),
            (Some("2"), &[4], true),
            (Some("2"), &[7, 3], true),
            (Some("x"), &[9], true),
            (None, &[3], true),
            (Some("1"), &[4], false),
            (Some("0"), &[3], false),
            (Some("-1"), &[3], false),
            (Some("2147483647"), &[3], true),
            (Some("1"), &[], false),
        ] {
            let entry = |text: &str| CString::new(text).unwrap();
            let mut environment = vec![entry("A=LISTEN_FDS=9"), entry("LISTEN_FD=3")];
            let kept = environment.clone();
            environment.extend(count.map(|count| entry(&format!("LISTEN_FDS={count}"))));
            let others = ["LISTEN_PID=7", "LISTEN_FDNAMES=a:b", "LISTEN_PIDFDID=12"];
            environment.extend(others.map(entry));
            let want = if removed { kept } else { environment.clone() };
            assert_eq!(remove_used(environment, used), want, "{count:?} {used:?}");
        }
    }
}
