//! The meanings of the errors of operations on entries.

use crate::errno::{ENOTSUPP, Errno, describe};
use std::fmt;

/// Why bpf(2) refused an operation on the entries of a map. It prints as the description of the
/// error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// The operation is not possible with this map: EOPNOTSUPP, or ENOTSUPP of the kernel (524).
    Unsupported(Errno),
    /// EPERM: the access mode of the file descriptor does not permit it, or the map is frozen.
    Denied,
    /// ENOENT: the key is missing.
    Missing,
    /// EEXIST: the key is present.
    Exists,
    /// E2BIG: the index is past the end of an array, or a hash or a queue is full.
    PastEnd,
    /// ENOSPC: a trie is full, the buffers of a batch have no room for the next bucket of a hash, or
    /// a value has no room for what it would contain.
    NoRoom,
    /// EINVAL: the buffers or flags do not suit the map, or the map type does not have the operation.
    Invalid,
    /// Any other error.
    Other(Errno),
}

/// The result of an operation on entries.
pub type MapResult<T> = Result<T, MapError>;

impl From<Errno> for MapError {
    fn from(errno: Errno) -> MapError {
        match errno {
            Errno::EOPNOTSUPP | ENOTSUPP => MapError::Unsupported(errno),
            Errno::EPERM => MapError::Denied,
            Errno::ENOENT => MapError::Missing,
            Errno::EEXIST => MapError::Exists,
            Errno::E2BIG => MapError::PastEnd,
            Errno::ENOSPC => MapError::NoRoom,
            Errno::EINVAL => MapError::Invalid,
            errno => MapError::Other(errno),
        }
    }
}

impl From<MapError> for Errno {
    fn from(error: MapError) -> Errno {
        match error {
            MapError::Unsupported(errno) | MapError::Other(errno) => errno,
            MapError::Denied => Errno::EPERM,
            MapError::Missing => Errno::ENOENT,
            MapError::Exists => Errno::EEXIST,
            MapError::PastEnd => Errno::E2BIG,
            MapError::NoRoom => Errno::ENOSPC,
            MapError::Invalid => Errno::EINVAL,
        }
    }
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&describe((*self).into()))
    }
}

impl std::error::Error for MapError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_keeps_its_number() {
        for number in 1..=133 {
            let errno = Errno::from_raw(number);
            assert_eq!(Errno::from(MapError::from(errno)), errno);
        }
    }

    #[test]
    fn both_numbers_of_an_unsupported_operation_have_one_meaning() {
        for number in [libc::EOPNOTSUPP, 524] {
            let error = MapError::from(Errno::from_raw(number));
            assert!(matches!(error, MapError::Unsupported(_)), "{number}");
        }
        let error = MapError::from(Errno::from_raw(524));
        assert_eq!(error.to_string(), "not supported by the kernel for this type");
    }
}
