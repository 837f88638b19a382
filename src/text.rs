//! Text in messages: untrusted bytes escaped, and numbers of things.

pub use bpf_layout::text::{escape, is_unsafe, quote};

/// A number of things: `1 map`, `2 maps`.
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
