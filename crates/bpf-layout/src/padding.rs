//! Padding: the bits of a struct or union that belong to no field, as runs of bytes.
//!
//! Programs that do not clear a key leave bytes of their stack in the padding. The kernel compares
//! padding like any other byte, so two keys can differ in padding alone.

use super::bits;

/// A run of bytes that each contain at least one bit of padding.
#[derive(Debug)]
pub struct Gap {
    /// Offset of the run in bytes, from the start of the struct or union.
    at: usize,
    len: usize,
    /// Bytes of the run that also contain bits of fields: the index of the byte in the run, and a
    /// mask of its padding.
    shared: Vec<(usize, u8)>,
}

impl Gap {
    /// Returns the name of the run: `@` and its offset in bytes.
    pub(super) fn name(&self) -> String {
        format!("@{}", self.at)
    }

    /// Returns the offset of the run in bytes, from the start of the struct or union.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// Returns the number of bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns a mask of the padding for each byte.
    pub(super) fn masks(&self) -> impl Iterator<Item = u8> {
        let mut shared = self.shared.iter().peekable();
        (0..self.len).map(move |at| shared.next_if(|byte| byte.0 == at).map_or(0xff, |byte| byte.1))
    }

    /// Returns the bytes of the run in a value whose struct or union begins at byte `base`. Bits
    /// of fields are zero.
    pub(super) fn bytes(&self, value: &[u8], base: usize) -> impl Iterator<Item = u8> {
        let run = &value[base + self.at..][..self.len];
        run.iter().zip(self.masks()).map(|(byte, mask)| byte & mask)
    }

    /// Reports whether all bits of the padding are zero.
    pub(super) fn is_zero(&self, value: &[u8], base: usize) -> bool {
        self.bytes(value, base).all(|byte| byte == 0)
    }

    /// Extends the run by the padding between two bits, which follows the run. Returns false if a
    /// byte without padding separates them.
    fn extend(&mut self, from: u64, to: u64) -> bool {
        let (first, end) = ((from / 8) as usize, to.div_ceil(8) as usize);
        if first > self.at + self.len {
            return false;
        }
        self.len = end - self.at;
        // Only the first and the last byte can contain bits of fields.
        for byte in [first, end - 1] {
            let start = byte as u64 * 8;
            let bits = from.saturating_sub(start)..(to - start).min(8);
            let (place, mask) = (byte - self.at, bits::byte_mask(bits, bits::BIG));
            match self.shared.last_mut() {
                Some(last) if last.0 == place => last.1 |= mask,
                _ if mask != 0xff => self.shared.push((place, mask)),
                _ => {}
            }
        }
        true
    }
}

/// Returns the padding of a struct or union of `size` bytes, in the order of its bytes. `taken`
/// contains the first bit and the bit after the last bit of each field.
pub(super) fn find_gaps(taken: impl Iterator<Item = (u64, u64)>, size: usize) -> Box<[Gap]> {
    let mut taken: Vec<(u64, u64)> = taken.collect();
    taken.sort_unstable();
    let end = size as u64 * 8;
    let mut gaps: Vec<Gap> = Vec::new();
    let mut free = 0;
    for (from, to) in taken.into_iter().chain([(end, end)]) {
        if from > free && !gaps.last_mut().is_some_and(|gap| gap.extend(free, from)) {
            let mut gap = Gap { at: (free / 8) as usize, len: 0, shared: Vec::new() };
            gap.extend(free, from);
            gaps.push(gap);
        }
        free = free.max(to);
    }
    gaps.into()
}

#[cfg(test)]
mod tests {
    use crate::tests::ty;

    /// The offset of a run and its masks.
    type ExpectedGap<'m> = (usize, &'m [u8]);

    /// Returns the offset and the masks of each run, with bits numbered as on little-endian
    /// machines.
    fn gaps(notation: &str) -> Vec<(usize, Vec<u8>)> {
        let ty = ty(notation);
        let record = ty.as_record().expect("a struct");
        let masks = |mask: u8| if cfg!(target_endian = "big") { mask.reverse_bits() } else { mask };
        let gaps = record.gaps().iter();
        gaps.map(|gap| (gap.offset(), gap.masks().map(masks).collect())).collect()
    }

    #[test]
    fn gaps_cover_the_bits_without_fields() {
        let table: [(&str, &[ExpectedGap]); 13] = [
            ("struct{a: u32, b: u64}", &[(4, &[0xff; 4])]),
            ("struct{a: u64, b: u8}", &[(9, &[0xff; 7])]),
            ("struct{a: u8, pad[2], b: u8, c: u32}", &[(1, &[0xff; 2])]),
            ("struct{a: u32, b: u32}", &[]),
            ("struct{a: u8:3, pad:2, b: u8:3}", &[(0, &[0b0001_1000])]),
            ("struct{a: u8:1, pad:2, b: u8:1, pad:2, c: u8:2}", &[(0, &[0b0011_0110])]),
            // Adjacent bytes form one run, whichever of their bits are padding.
            ("struct{a: u8:4, b: u8:5}", &[(0, &[0xf0, 0xe0])]),
            ("struct{a: u16:3, b: u32}", &[(0, &[0xf8, 0xff, 0xff, 0xff])]),
            ("struct{a: u8:4, pad:4, b: u8, pad[1]}", &[(0, &[0xf0]), (2, &[0xff])]),
            ("union{a: u8, b: struct{c: u8, d: u16}, e: u8[3]}", &[]),
            ("union{a: u8, b: u32:12}", &[(1, &[0xf0, 0xff, 0xff])]),
            // The padding of a nameless struct belongs to the outer struct; that of a named struct
            // does not.
            ("struct{a: u8, struct{b: u8, c: u16}}", &[(1, &[0xff]), (3, &[0xff])]),
            ("struct{a: u16, b: struct{b: u8, c: u16}}", &[]),
        ];
        for (notation, expected) in table {
            let expected: Vec<_> =
                expected.iter().map(|(at, masks)| (*at, masks.to_vec())).collect();
            assert_eq!(gaps(notation), expected, "{notation}");
        }
    }

    #[test]
    fn huge_padding_is_one_gap() {
        assert_eq!(ty("struct{pad[0x3fffffff]}").as_record().expect("a struct").gaps().len(), 1);
    }
}
