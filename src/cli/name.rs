//! `NAME=` before an object on the command line.

use crate::name::fault;
use anyhow::bail;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Splits off `NAME=`, which is recognised only if no `/` precedes the `=`.
pub fn split_name(value: &OsStr) -> (Option<&[u8]>, &[u8]) {
    let bytes = value.as_bytes();
    match bytes.iter().position(|&b| b == b'=' || b == b'/') {
        Some(at) if bytes[at] == b'=' => (Some(&bytes[..at]), &bytes[at + 1..]),
        _ => (None, bytes),
    }
}

/// An error if a map reference with this name would be ambiguous.
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
    fn name_is_split_off_unless_a_slash_precedes() {
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
