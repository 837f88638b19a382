//! Access to bitfields in memory.
//!
//! C numbers the bits of a byte from the low end on little-endian machines and from the high end
//! on big-endian machines; BTF uses the same numbers.

/// Whether this machine is big-endian.
pub(crate) const BIG: bool = cfg!(target_endian = "big");

/// Returns the bytes that a field of `width` bits at `bit` occupies, and the distance in bits from
/// the low end of these bytes to the field.
fn window(bit: u64, width: u8, big: bool) -> (std::ops::Range<usize>, u32) {
    let (first, head) = ((bit / 8) as usize, (bit % 8) as usize);
    let bytes = (head + usize::from(width)).div_ceil(8);
    let shift = if big { bytes * 8 - head - usize::from(width) } else { head };
    (first..first + bytes, shift as u32)
}

// A field of 64 bits occupies at most 9 bytes, so a u128 holds every window.
fn load_window(bytes: &[u8], big: bool) -> u128 {
    let mut word = [0; 16];
    if big {
        word[16 - bytes.len()..].copy_from_slice(bytes);
        u128::from_be_bytes(word)
    } else {
        word[..bytes.len()].copy_from_slice(bytes);
        u128::from_le_bytes(word)
    }
}

fn mask(width: u8) -> u128 {
    (1 << width) - 1
}

/// Returns a mask for a range of bit numbers within one byte (0 to 8).
pub(crate) fn byte_mask(bits: std::ops::Range<u64>, big: bool) -> u8 {
    let mask = ((1u16 << bits.end) - (1 << bits.start)) as u8;
    if big { mask.reverse_bits() } else { mask }
}

/// Reads `width` bits (1 to 64) at `bit`, as an unsigned number.
pub(crate) fn read_bits(bytes: &[u8], bit: u64, width: u8, big: bool) -> u64 {
    let (range, shift) = window(bit, width, big);
    (load_window(&bytes[range], big) >> shift & mask(width)) as u64
}

/// Writes the low `width` bits (1 to 64) of `value` at `bit` and keeps all other bits.
pub(crate) fn write_bits(bytes: &mut [u8], bit: u64, width: u8, value: u64, big: bool) {
    let (range, shift) = window(bit, width, big);
    let len = range.len();
    let old = load_window(&bytes[range.clone()], big) & !(mask(width) << shift);
    let new = old | (u128::from(value) & mask(width)) << shift;
    if big {
        bytes[range].copy_from_slice(&new.to_be_bytes()[16 - len..]);
    } else {
        bytes[range].copy_from_slice(&new.to_le_bytes()[..len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitfield_write_reads_back_and_keeps_neighbours() {
        for big in [false, true] {
            for bit in 0..24 {
                for width in 1..=64 {
                    for fill in [0, 0xff] {
                        let mut bytes = [fill; 16];
                        let value = 0xa5c3_9617_5a3c_69e8 & mask(width) as u64;
                        write_bits(&mut bytes, bit, width, value, big);
                        assert_eq!(read_bits(&bytes, bit, width, big), value);
                        write_bits(
                            &mut bytes,
                            bit,
                            width,
                            if fill == 0 { 0 } else { u64::MAX },
                            big,
                        );
                        assert_eq!(bytes, [fill; 16]);
                    }
                }
            }
        }
    }

    #[test]
    fn bit_numbers_follow_the_byte_order() {
        assert_eq!(read_bits(&[0b0000_0110], 1, 2, false), 0b11);
        assert_eq!(read_bits(&[0b0110_0000], 1, 2, true), 0b11);
        assert_eq!(read_bits(&[0x34, 0x12], 4, 8, false), 0x23);
        assert_eq!(read_bits(&[0x12, 0x34], 4, 8, true), 0x23);
    }
}
