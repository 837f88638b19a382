//! The buffer that receives parsed bytes. For unions it records the bits that were given, so that
//! members of a union may be given together if they agree on their common bits.

use super::error::Problem;
use crate::padding::Gap;
use crate::{Slot, Type, bits};

/// Size in bytes up to which the marks are not allocated.
const INLINE: usize = 256;

/// The memory for the marks of a [`Sink`], which can be reused.
pub(super) struct Scratch {
    small: [u8; INLINE],
    large: Vec<u8>,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch { small: [0; INLINE], large: Vec::new() }
    }
}

pub(super) struct Sink<'b> {
    bytes: &'b mut [u8],
    /// A mark for each bit of `bytes`; empty if no fields overlap.
    given: &'b mut [u8],
}

impl Scratch {
    /// Returns a sink for a whole value of type `ty` and sets `bytes` to zero.
    pub(super) fn value_sink<'b>(
        &'b mut self,
        ty: &Type,
        bytes: &'b mut [u8],
    ) -> Result<Sink<'b>, Problem> {
        match bytes.len() {
            found if found != ty.size() => Err(Problem::Size { expected: ty.size(), found }),
            _ => self.slot_sink(ty.into(), bytes),
        }
    }

    /// Returns a sink for one slot of the value in `bytes` and sets the slot to zero.
    pub(super) fn slot_sink<'b>(
        &'b mut self,
        slot: Slot<'_>,
        bytes: &'b mut [u8],
    ) -> Result<Sink<'b>, Problem> {
        let end = slot.offset() + slot.len();
        if bytes.len() < end {
            return Err(Problem::Size { expected: end, found: bytes.len() });
        }
        match slot.width {
            Some(width) => bits::write_bits(bytes, slot.bit, width, 0, bits::BIG),
            None => bytes[slot.offset()..end].fill(0),
        }
        let marks = if slot.ty.overlaps() { end } else { 0 };
        let given = if marks <= INLINE {
            self.small[..marks].fill(0);
            &mut self.small[..marks]
        } else {
            self.large.clear();
            self.large.resize(marks, 0);
            &mut self.large[..]
        };
        Ok(Sink { bytes, given })
    }
}

impl<'b> Sink<'b> {
    /// Returns a sink for a slot without unions; the old bytes are kept until they are replaced.
    pub(super) fn over(slot: Slot<'_>, bytes: &'b mut [u8]) -> Result<Sink<'b>, Problem> {
        let end = slot.offset() + slot.len();
        match bytes.len() {
            found if found < end => Err(Problem::Size { expected: end, found }),
            _ => Ok(Sink { bytes, given: &mut [] }),
        }
    }

    /// Stores whole bytes.
    pub(super) fn store_bytes(&mut self, at: usize, data: &[u8]) -> Result<(), Problem> {
        let target = &mut self.bytes[at..at + data.len()];
        if self.given.is_empty() {
            target.copy_from_slice(data);
            return Ok(());
        }
        let given = &mut self.given[at..at + data.len()];
        for ((old, mark), new) in target.iter_mut().zip(given).zip(data) {
            if (*old ^ new) & *mark != 0 {
                return Err(Problem::Disagree);
            }
            (*old, *mark) = (*new, 0xff);
        }
        Ok(())
    }

    /// Stores zeros. The bytes are zero already, unless another member of a union was given.
    pub(super) fn store_zeros(&mut self, at: usize, len: usize) -> Result<(), Problem> {
        if self.given.is_empty() {
            return Ok(());
        }
        (at..at + len).try_for_each(|at| self.store_bytes(at, &[0]))
    }

    /// Stores a run of padding of the struct or union that begins at byte `base`. Bits of fields
    /// are kept.
    pub(super) fn store_padding(
        &mut self,
        base: usize,
        gap: &Gap,
        data: impl Iterator<Item = u8>,
    ) -> Result<(), Problem> {
        for (at, (new, mask)) in (base + gap.offset()..).zip(data.zip(gap.masks())) {
            let (old, new) = (self.bytes[at] & mask, new & mask);
            match self.given.get_mut(at) {
                Some(given) if (old ^ new) & *given != 0 => return Err(Problem::Disagree),
                Some(given) => *given |= mask,
                None if old != 0 && old != new => return Err(Problem::Duplicate),
                None => {}
            }
            self.bytes[at] = self.bytes[at] & !mask | new;
        }
        Ok(())
    }

    /// Stores the low `width` bits of `value` in a bitfield.
    pub(super) fn store_bits(&mut self, bit: u64, width: u8, value: u64) -> Result<(), Problem> {
        if !self.given.is_empty() {
            let old = bits::read_bits(self.bytes, bit, width, bits::BIG);
            let mark = bits::read_bits(self.given, bit, width, bits::BIG);
            if (old ^ value) & mark != 0 {
                return Err(Problem::Disagree);
            }
            bits::write_bits(self.given, bit, width, u64::MAX, bits::BIG);
        }
        bits::write_bits(self.bytes, bit, width, value, bits::BIG);
        Ok(())
    }
}
