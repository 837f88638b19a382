//! A run of padding as text.

use super::leaf::{Style, none};
use crate::escape;

/// The bytes of a run of padding that is not zero.
#[derive(Debug)]
pub enum Padding {
    /// Zeros in place of bits that belong to fields.
    Bytes(Vec<u8>),
    /// Of several CPUs, whose bytes differ.
    Mixed,
}

impl Padding {
    /// Appends `hex:` and the bytes.
    pub(super) fn print(&self, style: Style, out: &mut Vec<u8>) {
        let Padding::Bytes(bytes) = self else { return none(style, out) };
        let quotes: &[u8] = if style == Style::Json { b"\"" } else { b"" };
        out.extend_from_slice(quotes);
        out.extend_from_slice(b"hex:");
        escape::hex(bytes, out);
        out.extend_from_slice(quotes);
    }
}
