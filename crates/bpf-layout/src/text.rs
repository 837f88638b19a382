//! Untrusted bytes made fit for a terminal and for one line.

use std::fmt::Write;

/// Escapes what could break a line or steer a terminal: control characters,
/// marks that change the direction of writing, and bytes that are not UTF-8
/// (as `\xNN`). A backslash is doubled, so that the result can be read back.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push(&mut out, c);
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}"); // a String takes everything
        }
    }
    out
}

fn push(out: &mut String, c: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        '\r' => out.push_str("\\r"),
        c if c.is_ascii_control() => {
            let _ = write!(out, "\\x{:02x}", c as u32);
        }
        c if is_unsafe(c) => {
            let _ = write!(out, "\\u{{{:x}}}", c as u32);
        }
        c => out.push(c),
    }
}

/// Whether a terminal or a reader could be misled by `c`: control characters, and those that
/// reorder or hide text (bidirectional controls, line separators, zero width, tags).
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// [`escape`]d, in double quotes: for what could be empty or look like the words around it.
pub fn quote(text: impl AsRef<[u8]>) -> String {
    format!("\"{}\"", escape(text.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn what_could_break_a_line_or_steer_a_terminal_is_escaped() {
        for (bytes, want) in [
            (&b"hits"[..], "hits"),
            (b"two words", "two words"),
            ("größe".as_bytes(), "größe"),
            (b"a\nb\tc\r", "a\\nb\\tc\\r"),
            (b"\x1b[2J", "\\x1b[2J"),
            (b"a\\nb", "a\\\\nb"),
            (b"\xff\xfeok", "\\xff\\xfeok"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            ("\u{202e}txt".as_bytes(), "\\u{202e}txt"),
            ("\u{2028}".as_bytes(), "\\u{2028}"),
        ] {
            assert_eq!(escape(bytes), want);
        }
    }
}
