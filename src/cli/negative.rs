//! Negative numbers on the command line of bpf-map. The option parser takes some of them for options,
//! such as -1e-9, -inf and -0x5: while it has the words, a NUL byte precedes these numbers.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The byte, which no argument of a program contains.
pub const MARK: char = '\0';

/// Marks a word that is meant as a negative number, whether it is a valid one or not.
pub fn mark(word: OsString) -> OsString {
    if !is_negative_number(word.as_bytes()) {
        return word;
    }
    let mut marked = vec![MARK as u8];
    marked.extend(word.into_vec());
    OsString::from_vec(marked)
}

/// The word without its mark, if it has one.
pub fn unmark(word: &OsStr) -> &OsStr {
    let bytes = word.as_bytes();
    OsStr::from_bytes(bytes.strip_prefix(&[MARK as u8]).unwrap_or(bytes))
}

fn is_negative_number(word: &[u8]) -> bool {
    match word.strip_prefix(b"-") {
        Some([b'0'..=b'9' | b'.', ..]) => true,
        Some(name) => {
            [b"inf".as_slice(), b"infinity", b"nan"].iter().any(|n| name.eq_ignore_ascii_case(n))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_negative_numbers_are_marked() {
        for (word, is_marked) in [
            ("-1", true),
            ("-.5", true),
            ("-0x5", true),
            ("-1e-9", true),
            ("-inf", true),
            ("-Infinity", true),
            ("-NaN", true),
            ("-1x", true),
            ("-", false),
            ("--", false),
            ("--1", false),
            ("-o", false),
            ("-info", false),
            ("1", false),
            ("", false),
        ] {
            let marked = mark(word.into());
            assert_eq!(marked != word, is_marked, "{word}");
            assert_eq!(unmark(&marked), word);
        }
    }
}
