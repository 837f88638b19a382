//! Errors of one line: object, operation, cause.

use crate::text::escape_argument;
use bpf_inherit::{Errno, MapError, describe};
use std::borrow::Cow;
use std::fmt;

/// A failed operation on a named object.
///
/// It prints as `OBJECT: OPERATION: CAUSE`, in one line, with untrusted text
/// escaped: `/run/m: open pin: not on a bpf file system`.
#[derive(Debug, thiserror::Error)]
#[error("{object}: {operation}: {cause}")]
pub struct Error {
    object: String,
    operation: &'static str,
    cause: Cause,
}

/// Why an operation failed.
#[derive(Debug)]
pub enum Cause {
    /// The system call's error.
    Errno(Errno),
    /// The system call's error, and its certain remedy.
    Hint(Errno, &'static str),
    /// A map is full.
    NoRoom(String),
    /// The verifier refused a program: the last message of its log, and the log, both escaped.
    Verifier { message: String, log: String },
    /// Any other cause.
    Text(Cow<'static, str>),
}

impl Error {
    /// Whether the error is that a map is full.
    pub fn is_no_room(error: &anyhow::Error) -> bool {
        matches!(error.downcast_ref(), Some(Error { cause: Cause::NoRoom(_), .. }))
    }

    /// The log of the verifier, if the verifier refused a program.
    pub fn verifier_log(error: &anyhow::Error) -> Option<&str> {
        match error.downcast_ref() {
            Some(Error { cause: Cause::Verifier { log, .. }, .. }) => Some(log),
            _ => None,
        }
    }

    /// `OPERATION: CAUSE`, for a place that names the object itself.
    pub fn without_object(&self) -> String {
        format!("{}: {}", self.operation, self.cause)
    }

    /// `object` is as the user wrote it, unescaped.
    pub fn new(
        object: impl AsRef<[u8]>,
        operation: &'static str,
        cause: impl Into<Cause>,
    ) -> Error {
        Error { object: escape_argument(object.as_ref()), operation, cause: cause.into() }
    }
}

impl Cause {
    /// EPERM, with the capability that the operation needs. If a seccomp filter is installed, such as
    /// that of `bpf-exec --lock`, the kernel does not report which of the two is the reason.
    pub fn denied(needed: &'static str) -> Cause {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        match status.lines().any(|line| line == "Seccomp:\t2") {
            true => {
                let eperm = describe(Errno::EPERM);
                format!("{eperm} ({needed}, and a seccomp filter such as --lock may refuse it)")
                    .into()
            }
            false => Cause::Hint(Errno::EPERM, needed),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Cause::Errno(errno) => f.write_str(&describe(*errno)),
            Cause::Hint(errno, hint) => write!(f, "{} ({hint})", describe(*errno)),
            Cause::NoRoom(text) => f.write_str(text),
            Cause::Verifier { message, .. } => f.write_str(message),
            Cause::Text(text) => f.write_str(text),
        }
    }
}

impl From<Errno> for Cause {
    fn from(errno: Errno) -> Cause {
        Cause::Errno(errno)
    }
}

impl From<MapError> for Cause {
    fn from(error: MapError) -> Cause {
        Cause::Errno(error.into())
    }
}

impl From<std::io::Error> for Cause {
    fn from(error: std::io::Error) -> Cause {
        match error.raw_os_error() {
            Some(number) => Cause::Errno(Errno::from_raw(number)),
            None => Cause::Text(error.to_string().into()),
        }
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Cause {
        Cause::Text(text.into())
    }
}

impl From<&'static str> for Cause {
    fn from(text: &'static str) -> Cause {
        Cause::Text(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_one_line_with_the_object_escaped() {
        let error = Error::new(b"/run/a\nb", "open pin", Errno::ENOENT);
        assert_eq!(error.to_string(), "/run/a\\nb: open pin: no such file or directory");
    }
}
