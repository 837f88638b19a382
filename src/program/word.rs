//! Fields of a value as bits of aligned words, which is what the kernel changes atomically.
//!
//! The kernel aligns values to 8 bytes. A program may not touch bytes past the size of the value,
//! so a field near its end may have no word.

use super::assembler::Width;
use bpf_layout::Slot;
use std::ops::Range;

/// 4 or 8 bytes of a value, at a multiple of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Word {
    /// In bytes.
    pub offset: usize,
    pub width: Width,
}

impl Word {
    /// The smallest word that has all of `bytes`, in a value of `size` bytes.
    pub fn around(bytes: &Range<usize>, size: usize) -> Option<Word> {
        [Width::Four, Width::Eight].into_iter().find_map(|width| {
            let offset = bytes.start - bytes.start % width.bytes();
            let end = offset + width.bytes();
            (bytes.end <= end && end <= size).then_some(Word { offset, width })
        })
    }

    /// The bytes of the value.
    pub fn range(self) -> Range<usize> {
        self.offset..self.offset + self.width.bytes()
    }

    /// Reads it from a value.
    pub fn load(self, value: &[u8]) -> u64 {
        let mut word = 0u64.to_ne_bytes();
        word[self.lowest()].copy_from_slice(&value[self.range()]);
        u64::from_ne_bytes(word)
    }

    /// Writes it into a value.
    pub fn store(self, word: u64, value: &mut [u8]) {
        value[self.range()].copy_from_slice(&word.to_ne_bytes()[self.lowest()]);
    }

    /// The bytes of a u64 that have the number of this word.
    fn lowest(self) -> Range<usize> {
        match cfg!(target_endian = "big") {
            true => 8 - self.width.bytes()..8,
            false => 0..self.width.bytes(),
        }
    }
}

/// A field in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WordField {
    pub word: Word,
    /// The bits below the field.
    pub shift: u8,
    /// The bits of the field: 1 to 64.
    pub bits: u8,
}

impl WordField {
    /// Where `slot` is in a value of `size` bytes; None if it is in no word.
    pub fn of(slot: Slot, size: usize) -> Option<WordField> {
        let bytes = slot.offset()..slot.offset() + slot.len();
        let word = Word::around(&bytes, size)?;
        let bits = slot.width().map_or(slot.len() * 8, usize::from);
        // Bits are numbered from the low end on little-endian machines, else from the high end.
        let first = slot.bit() as usize - word.offset * 8;
        let shift = match cfg!(target_endian = "big") {
            true => word.width.bytes() * 8 - first - bits,
            false => first,
        };
        (bits > 0).then_some(WordField { word, shift: shift as u8, bits: bits as u8 })
    }

    /// The largest number in the field.
    pub fn max(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// The bits of the field in the word.
    pub fn mask(self) -> u64 {
        self.max() << self.shift
    }
}

/// Sets the bits of a field in a value of zeros.
pub fn mark(slot: Slot, bits: &mut [u8]) {
    let Some(width) = slot.width() else {
        return bits[slot.offset()..][..slot.len()].fill(0xff);
    };
    for bit in slot.bit()..slot.bit() + u64::from(width) {
        // As C numbers the bits of a byte.
        let in_byte = (bit % 8) as u8;
        let in_byte = if cfg!(target_endian = "big") { 7 - in_byte } else { in_byte };
        bits[(bit / 8) as usize] |= 1 << in_byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_is_the_smallest_inside_the_value() {
        use Width::{Eight, Four};
        for (bytes, size, want) in [
            (0..1, 4, Some((0, Four))),
            (3..4, 4, Some((0, Four))),
            (0..1, 3, None),
            (2..6, 8, Some((0, Eight))),
            (4..8, 8, Some((4, Four))),
            (8..9, 11, None),
            (6..10, 16, None),
            (8..16, 16, Some((8, Eight))),
            (4..12, 16, None),
            (0..16, 16, None),
        ] {
            let word = want.map(|(offset, width)| Word { offset, width });
            assert_eq!(Word::around(&bytes, size), word, "{bytes:?} of {size}");
        }
    }

    #[test]
    fn word_that_is_stored_reads_back() {
        let mut value: Vec<u8> = (1..=16).collect();
        for (offset, width) in [(4, Width::Four), (8, Width::Eight)] {
            let word = Word { offset, width };
            let number = word.load(&value);
            value.fill(0);
            word.store(number, &mut value);
            assert_eq!(word.load(&value), number);
            assert_eq!(value[offset], offset as u8 + 1);
            value = (1..=16).collect();
        }
    }

    #[test]
    fn mask_has_the_bits_of_the_field() {
        let layout = "struct{a: u8, b: u16:3, c: u16:13, d: u32}".parse().expect("a type");
        let (layout, mut value): (bpf_layout::Type, _) = (layout, [0; 8]);
        for path in ["a", "b", "c", "d"] {
            let slot = layout.field(path).expect("a field");
            let place = WordField::of(slot, 8).expect("a word");
            place.word.store(place.mask(), &mut value);
            let number = slot.number(&value).expect("a number").to_f64();
            assert_eq!(number, place.max() as f64, "{path}");
            value.fill(0);
        }
    }
}
