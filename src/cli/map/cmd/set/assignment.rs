//! What `set` writes, as it was given: values of fields, or the whole value.

use crate::cli::map::arguments;
use crate::text::escape;
use anyhow::bail;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// A value as it was given, of a field or of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment<'a> {
    pub field: Option<&'a OsStr>,
    pub text: &'a OsStr,
}

/// `KEY VALUE` or `KEY .FIELD VALUE...`, in which the key of an array with one entry can be omitted if
/// there are several fields.
pub fn split_fields<'a>(
    key: &'a OsStr,
    words: &[&'a OsStr],
) -> anyhow::Result<(&'a OsStr, Vec<Assignment<'a>>)> {
    let all = [&[key], words].concat();
    let (key, pairs) = match words {
        [text] => return Ok((key, vec![Assignment { field: None, text }])),
        _ if words.len() % 2 == 1 && arguments::is_field(key) => (OsStr::new("0"), &all[..]),
        _ => (key, words),
    };
    let (pairs, rest) = pairs.as_chunks::<2>();
    let wrong = pairs.iter().map(|[path, _]| path).find(|path| !arguments::is_field(path));
    if let Some(path) = wrong.or(rest.first()) {
        // `packets=9 bytes=90`, without the quotes that make it one value.
        if !arguments::is_field(path) && path.as_bytes().contains(&b'=') {
            bail!(
                "{}: the words of a value are one argument: quote them (see bpf-map set --help)",
                escape(path.as_bytes())
            );
        }
        bail!(
            "{}: a field such as .NAME goes before the value (see bpf-map set --help)",
            escape(path.as_bytes())
        );
    }
    Ok((key, pairs.iter().map(|[path, text]| Assignment { field: Some(path), text }).collect()))
}

/// `.FIELD=OLD`.
pub fn split_expected(text: &OsStr) -> anyhow::Result<Assignment<'_>> {
    let bytes = text.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) if arguments::is_field(text) => Ok(Assignment {
            field: Some(OsStr::from_bytes(&bytes[..at])),
            text: OsStr::from_bytes(&bytes[at + 1..]),
        }),
        _ => bail!("--if {}: expected .FIELD=OLD", escape(bytes)),
    }
}
