//! Bytes of other programs as text: hex digits, JSON strings, quotations in errors.

use crate::text::is_unsafe;
use std::fmt;

/// Appends two lower-case hex digits for each byte.
pub fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Appends `text` as a JSON string, quotes included, with everything unsafe escaped.
pub fn json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        // ASCII letters are by far the most: one comparison for them.
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
                    hex(&unit.to_be_bytes(), out);
                }
            }
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

/// Untrusted text for an error: quoted, escaped, and cut after 40 characters.
pub fn quoted(text: &str) -> Quoted<'_> {
    Quoted(text)
}

/// See [`quoted`].
pub struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(40).map_or(self.0.len(), |(at, _)| at);
        let mut escaped = Vec::with_capacity(end + 2);
        json_string(&self.0[..end], &mut escaped);
        f.write_str(&String::from_utf8_lossy(&escaped))?;
        if end < self.0.len() { f.write_str("...") } else { Ok(()) }
    }
}
