//! Escaping of untrusted text for terminals, errors and JSON.

use std::fmt::{self, Write};

/// Escapes characters that could break a line or control a terminal: control characters, marks
/// that change the direction of writing, and bytes that are not UTF-8 (as `\xNN`). A backslash is
/// doubled, so the escaping is reversible.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_escaped(&mut out, c);
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}"); // a String takes everything
        }
    }
    out
}

fn push_escaped(out: &mut String, c: char) {
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

/// Reports whether `c` could mislead a terminal or a reader: control characters, and characters
/// that reorder or hide text (bidirectional controls, line separators, zero-width characters,
/// tags).
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Escapes text as [`escape`] does and adds double quotes, for text that may be empty or contain
/// spaces.
pub fn quote(text: impl AsRef<[u8]>) -> String {
    format!("\"{}\"", escape(text.as_ref()))
}

/// Appends two lower-case hex digits for each byte.
pub(crate) fn append_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Appends `text` as a JSON string with quotes; all unsafe characters are escaped.
pub fn append_json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        // Fast path: most text is printable ASCII.
        if matches!(c, ' '..='~') && c != '"' && c != '\\' || !c.is_ascii() && !is_unsafe(c) {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        plain = at + c.len_utf8();
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\r' => out.extend_from_slice(b"\\r"),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(b"\\u");
                    append_hex(&unit.to_be_bytes(), out);
                }
            }
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

/// Quotes untrusted text for an error: escaped as JSON, and truncated after 40 characters.
pub(crate) fn quote_excerpt(text: &str) -> Excerpt<'_> {
    Excerpt(text)
}

/// The text that [`quote_excerpt`] quotes.
pub(crate) struct Excerpt<'a>(&'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(40).map_or(self.0.len(), |(at, _)| at);
        let mut escaped = Vec::with_capacity(end + 2);
        append_json_string(&self.0[..end], &mut escaped);
        f.write_str(&String::from_utf8_lossy(&escaped))?;
        if end < self.0.len() { f.write_str("...") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn unsafe_characters_are_escaped() {
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
