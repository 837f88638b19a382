//! Valid names of maps, programs and links.

use crate::text::is_unsafe;

/// The reason why a map reference, a shell or a terminal could misinterpret `name`; None if it is
/// valid.
pub fn fault(name: &[u8]) -> Option<&'static str> {
    let has = |byte: u8| matches!(byte, b'/' | b':' | b'=') || byte.is_ascii_control();
    // C1 control bytes control terminals, whether or not they are encoded as UTF-8.
    let steers = |chunk: std::str::Utf8Chunk| {
        chunk.valid().chars().any(is_unsafe) || chunk.invalid().iter().any(|b| *b < 0xa0)
    };
    if name.is_empty() {
        Some("is empty")
    } else if name.iter().all(u8::is_ascii_digit) {
        Some("is a number")
    } else if name[0] == b'-' {
        Some("begins with a hyphen")
    } else if name.iter().copied().any(has) {
        Some("contains '/', ':', '=' or a control byte")
    } else if name.utf8_chunks().any(steers) {
        Some("contains a control or an invisible character")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn ambiguous_names_have_a_fault() {
        for (name, want) in [
            (&b"hits"[..], None),
            (b"0x1", None),
            (b"a-b.c", None),
            ("größe".as_bytes(), None),
            (b"gr\xf6\xdfe", None),
            (b"", Some("is empty")),
            (b"12", Some("is a number")),
            (b"--help", Some("begins with a hyphen")),
            (b"-x", Some("begins with a hyphen")),
            (b"a/b", Some("contains '/', ':', '=' or a control byte")),
            (b"id:3", Some("contains '/', ':', '=' or a control byte")),
            (b"a=b", Some("contains '/', ':', '=' or a control byte")),
            (b"a\nLD_PRELOAD=x", Some("contains '/', ':', '=' or a control byte")),
            (b"\x1b[2J", Some("contains '/', ':', '=' or a control byte")),
            (b"\x9b2J", Some("contains a control or an invisible character")),
            ("\u{9b}2J".as_bytes(), Some("contains a control or an invisible character")),
            ("a\u{202e}b".as_bytes(), Some("contains a control or an invisible character")),
        ] {
            assert_eq!(fault(name), want, "{}", name.escape_ascii());
        }
    }
}
