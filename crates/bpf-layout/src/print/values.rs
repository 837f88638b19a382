//! What can be printed: the trait, its implementation for bytes, and padding.

use super::leaf::{self, Style, append_null};
use crate::text;
use crate::{Gap, Number, Slot};

/// What can be printed: one value's bytes, or the sum over CPUs of several ([`PerCpu`]).
///
/// Bytes must be at least as long as the type, or the call panics: check `value_size` once.
pub trait Values {
    /// Appends one scalar, text, or LPM key.
    #[doc(hidden)]
    fn leaf(&self, slot: Slot<'_>, style: Style, out: &mut Vec<u8>);

    /// The number in `slot`; None where there is none.
    fn number(&self, slot: Slot<'_>) -> Option<Number>;

    /// A run of padding in the struct or union that begins at byte `base`; None if it is zero.
    #[doc(hidden)]
    fn padding(&self, base: usize, gap: &Gap) -> Option<PaddingValue>;
}

impl Values for [u8] {
    fn leaf(&self, slot: Slot<'_>, style: Style, out: &mut Vec<u8>) {
        leaf::append_leaf(slot, self, style, out);
    }

    fn number(&self, slot: Slot<'_>) -> Option<Number> {
        slot.number(self)
    }

    fn padding(&self, base: usize, gap: &Gap) -> Option<PaddingValue> {
        // Nearly always: then nothing is allocated.
        if gap.is_zero(self, base) {
            return None;
        }
        Some(PaddingValue::Bytes(gap.bytes(self, base).collect()))
    }
}

/// The bytes of a run of padding that is not zero.
#[derive(Debug)]
pub enum PaddingValue {
    /// Zeros in place of bits that belong to fields.
    Bytes(Vec<u8>),
    /// Of several CPUs, whose bytes differ.
    Mixed,
}

impl PaddingValue {
    /// Appends `hex:` and the bytes.
    pub(super) fn print(&self, style: Style, out: &mut Vec<u8>) {
        let PaddingValue::Bytes(bytes) = self else { return append_null(style, out) };
        let quotes: &[u8] = if style == Style::Json { b"\"" } else { b"" };
        out.extend_from_slice(quotes);
        out.extend_from_slice(b"hex:");
        text::append_hex(bytes, out);
        out.extend_from_slice(quotes);
    }
}
