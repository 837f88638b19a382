//! Errors of system calls, and their descriptions.

pub use nix::errno::Errno;

/// ENOTSUPP of the kernel, 524, which bpf(2) returns and C libraries do not have.
pub(crate) const ENOTSUPP: Errno = Errno::UnknownErrno;

/// The error of reading below /proc/self if it is missing: /proc is not mounted, or belongs to
/// another PID namespace. ENOENT would be taken for an object that was removed concurrently. No
/// system call of these packages returns this error.
pub const NO_PROC: Errno = Errno::ENOLINK;

/// The number behind an error of the standard library; EIO if the error has none.
pub fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// The C library's description of an error, in lower case unless it begins with an abbreviation.
pub fn describe(errno: Errno) -> String {
    if errno == ENOTSUPP {
        return "not supported by the kernel for this type".into();
    }
    if errno == NO_PROC {
        return "/proc/self is missing".into();
    }
    let words = std::io::Error::from_raw_os_error(errno as i32).to_string();
    let words = words.split(" (os error").next().unwrap_or_default();
    let mut letters = words.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            let rest = &words[first.len_utf8()..];
            first.to_lowercase().chain(rest.chars()).collect()
        }
        _ => words.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_begin_in_lower_case() {
        assert_eq!(describe(Errno::EBADF), "bad file descriptor");
        assert_eq!(describe(Errno::EXDEV), "invalid cross-device link");
        assert_eq!(describe(Errno::EIO), "input/output error");
        assert_eq!(describe(ENOTSUPP), "not supported by the kernel for this type");
    }
}
