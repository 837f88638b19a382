//! The trait of everything that can be printed, its implementation for bytes, and padding.

use super::leaf::{self, Style, append_null};
use crate::padding::Gap;
use crate::text;
use crate::{Number, Slot};

/// A value that can be printed: the bytes of one value, the sum of several
/// ([`PerCpu`](super::PerCpu)), or a difference ([`Change`](super::Change)).
///
/// Only this crate implements the trait. The methods panic if the bytes are shorter than the type.
pub trait Values {
    /// Appends a scalar, a text or an LPM key.
    #[doc(hidden)]
    fn leaf(&self, slot: Slot<'_>, style: Style, out: &mut Vec<u8>);

    /// Returns the number in `slot`; None if the slot is not a number.
    fn number(&self, slot: Slot<'_>) -> Option<Number>;

    /// Returns a run of padding of the struct or union that begins at byte `base`; None if it is
    /// zero.
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
        // Padding is zero in most values, so nothing is allocated for them.
        if gap.is_zero(self, base) {
            return None;
        }
        Some(PaddingValue::Bytes(gap.bytes(self, base).collect()))
    }
}

/// A run of padding that is not zero.
#[derive(Debug)]
pub enum PaddingValue {
    /// The bytes; bits of fields are zero.
    Bytes(Vec<u8>),
    /// The padding differs between CPUs.
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
