//! Text in messages: untrusted bytes escaped, and counted nouns.

pub use bpf_layout::text::{escape, is_unsafe, quote};

/// An argument in a message: escaped, and visible if it is empty.
pub fn escape_argument(bytes: &[u8]) -> String {
    if bytes.is_empty() { "\"\"".to_owned() } else { escape(bytes) }
}

/// A number with its noun: `1 map`, `2 maps`.
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Untrusted bytes in double quotes, with every byte escaped that could end the quotation or the
/// line.
pub fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", escape(bytes).replace('"', "\\\""))
}
