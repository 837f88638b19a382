//! `NAME=` before a map on the command line: where it ends, and what it may be.

use crate::name::fault;
use anyhow::bail;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// `NAME=` is split off only where no `/` stands before the `=`.
pub fn split_name(value: &OsStr) -> (Option<&[u8]>, &[u8]) {
    let bytes = value.as_bytes();
    match bytes.iter().position(|&b| b == b'=' || b == b'/') {
        Some(at) if bytes[at] == b'=' => (Some(&bytes[..at]), &bytes[at + 1..]),
        _ => (None, bytes),
    }
}

/// Refuses names that a map reference could not tell from something else.
pub fn check_name(name: &[u8]) -> anyhow::Result<()> {
    match fault(name) {
        Some(fault) => bail!("the name {fault}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_off_where_no_slash_comes_before() {
        for (text, want) in [
            ("hits=/run/m", (Some("hits"), "/run/m")),
            ("/run/a=b", (None, "/run/a=b")),
            ("./a=b", (None, "./a=b")),
            ("a=b=c", (Some("a"), "b=c")),
            ("=x", (Some(""), "x")),
            ("plain", (None, "plain")),
        ] {
            let (name, rest) = split_name(OsStr::new(text));
            assert_eq!((name, rest), (want.0.map(str::as_bytes), want.1.as_bytes()), "{text}");
        }
    }
}
