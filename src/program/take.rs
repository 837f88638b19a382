//! The program that copies values and resets their numbers to zero: each aligned word is exchanged, so that
//! every change by others is in the copy or in what stays.

#[cfg(test)]
mod tests;

use super::assembler::Register::*;
use super::assembler::{Assembler, Atomic, Code, If, TooLong, Width};
use super::element::{self, ARGUMENTS, MAX_CONTEXT, MapShape, RunOutcome, pieces};
use super::word::mark;
use bpf_layout::print::{self, Piece, has_sums, template};
use bpf_layout::{Slot, Type};
use std::ops::Range;

/// How many values a run takes at most.
const MAX_VALUES: usize = 32;
/// Instructions that take values, at most, unless one value has more: what is loaded takes time.
const MAX_INSTRUCTIONS: usize = 4096;

/// Why values cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untakable {
    #[error("no number to reset in {0}")]
    NoNumber(String),
    #[error("{0}: the number is not inside of an aligned word of 4 or 8 bytes of the value")]
    Field(String),
    #[error("values of {0} bytes are too large for a program")]
    TooLarge(usize),
}

/// A part of a value that is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// In bytes.
    pub offset: usize,
    pub width: Width,
    /// The bits that become zero, as the machine numbers them.
    pub reset: u64,
}

impl Part {
    /// The bytes of the value.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.width.bytes()
    }

    /// The bytes that become zero, as masks.
    pub fn reset_bytes(&self) -> Vec<u8> {
        let size = self.width.bytes();
        let bytes = self.reset.to_ne_bytes();
        match cfg!(target_endian = "big") {
            true => bytes[8 - size..].to_vec(),
            false => bytes[..size].to_vec(),
        }
    }
}

/// All of a value of `size` bytes, in parts, but for bytes that belong to the kernel. The numbers in
/// `printed` are reset.
pub fn parts(
    value: &Type,
    printed: &Type,
    size: usize,
    is_locked: bool,
) -> Result<Vec<Part>, Untakable> {
    let mut reset = vec![0u8; size];
    let (mut parts, mut from) = (Vec::new(), 0);
    for bytes in value.kernel_bytes().into_iter().chain(std::iter::once(size..size)) {
        let part = |(offset, width)| Part { offset, width, reset: 0 };
        parts.extend(pieces(from..bytes.start).map(part));
        from = bytes.end;
    }
    for piece in template(|values, out| print::plain(printed, values, out)) {
        let Piece::Leaf(leaf) = piece else { continue };
        let slot = leaf.slot();
        if !has_sums(slot) {
            continue;
        }
        let bytes = slot.offset()..slot.offset() + slot.len();
        let is_inside = |part: &Part| {
            let range = part.range();
            let is_word = matches!(part.width, Width::Four | Width::Eight);
            is_word && range.start <= bytes.start && bytes.end <= range.end
        };
        if !is_locked && !parts.iter().any(is_inside) {
            return Err(Untakable::Field(name(printed, slot)));
        }
        mark(slot, &mut reset);
    }
    if reset.iter().all(|byte| *byte == 0) {
        return Err(Untakable::NoNumber(printed.to_string()));
    }
    for part in &mut parts {
        let (size, mut word) = (part.width.bytes(), [0; 8]);
        let at = if cfg!(target_endian = "big") { 8 - size } else { 0 };
        word[at..at + size].copy_from_slice(&reset[part.range()]);
        part.reset = u64::from_ne_bytes(word);
    }
    Ok(parts)
}

/// The column that a number is part of.
fn name(ty: &Type, slot: Slot) -> String {
    let contains = |column: &print::Column| {
        let bits = column.slot.width().map_or(column.slot.len() as u64 * 8, u64::from);
        (column.slot.bit()..column.slot.bit() + bits).contains(&slot.bit())
    };
    let column = print::columns(ty).into_iter().find(contains);
    column.map(|column| column.name).filter(|name| !name.is_empty()).unwrap_or("value".into())
}

/// The taking of some values in one run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Take {
    parts: Vec<Part>,
    value_size: usize,
    key_size: usize,
    /// How many values.
    count: usize,
}

/// What a run did with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Missing = 0,
    Taken = 1,
    /// There was none.
    Unused = 2,
}

impl Take {
    /// To take `wanted` values in one run, or as many as is possible.
    pub fn new(
        parts: Vec<Part>,
        value_size: usize,
        key_size: usize,
        wanted: usize,
    ) -> Result<Take, Untakable> {
        let instructions = 4 * parts.len() + 2 * pieces(0..key_size).count() + 16;
        let take = Take { parts, value_size, key_size, count: 1 };
        let room = (MAX_CONTEXT - ARGUMENTS) / take.stride();
        if room == 0 {
            return Err(Untakable::TooLarge(value_size));
        }
        let fast = (MAX_INSTRUCTIONS / instructions).clamp(1, MAX_VALUES);
        Ok(Take { count: room.min(fast).min(wanted.max(1)), ..take })
    }

    /// How many values a run takes at most.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes in the context for each value: what was done, the key, the value.
    fn stride(&self) -> usize {
        self.value() + self.value_size.next_multiple_of(8)
    }

    /// Where the value is in them.
    fn value(&self) -> usize {
        8 + self.key_size.next_multiple_of(8)
    }

    /// The context for at most `count` keys, one after the other.
    pub fn context(&self, cpu: u32, keys: &[u8]) -> Vec<u8> {
        let mut context = vec![0; ARGUMENTS + self.count * self.stride()];
        context[element::CPU..][..8].copy_from_slice(&u64::from(cpu).to_ne_bytes());
        let mut keys = keys.chunks_exact(self.key_size);
        for entry in context[ARGUMENTS..].chunks_exact_mut(self.stride()) {
            match keys.next() {
                Some(key) => entry[8..8 + self.key_size].copy_from_slice(key),
                None => entry[..8].copy_from_slice(&(Status::Unused as u64).to_ne_bytes()),
            }
        }
        context
    }

    /// The values that a run took, in the order of the keys; None if a key is missing.
    pub fn values<'c>(&self, context: &'c [u8]) -> impl Iterator<Item = Option<&'c [u8]>> {
        let (value, size) = (self.value(), self.value_size);
        context[ARGUMENTS..].chunks_exact(self.stride()).map(move |entry| {
            let taken = entry[..8] == (Status::Taken as u64).to_ne_bytes();
            taken.then(|| &entry[value..value + size])
        })
    }

    /// The program.
    pub fn generate(&self, elements: &MapShape) -> Result<Code, TooLong> {
        let mut asm = element::begin();
        for at in 0..self.count {
            let entry = ARGUMENTS + at * self.stride();
            let next = asm.label();
            asm.load(Width::Eight, R1, R6, entry as i16);
            asm.jump_if(If::NotEqual, R1, Status::Missing as i32, next);
            elements.find(&mut asm, entry + 8, next);
            for part in &self.parts {
                self.copy(&mut asm, part, entry + self.value());
            }
            elements.release(&mut asm);
            asm.store_number(Width::Eight, R6, entry as i16, Status::Taken as i32);
            asm.put(next);
        }
        asm.set(R9, RunOutcome::Done as i32);
        element::end(&mut asm, R9);
        asm.finish()
    }

    /// Copies a part of the value at R7 to the context, and resets numbers in it.
    fn copy(&self, asm: &mut Assembler, part: &Part, to: usize) {
        let (offset, all) = (part.offset as i16, u64::MAX >> (64 - 8 * part.width.bytes()));
        match (part.reset, part.width) {
            (0, _) => asm.load(part.width, R2, R7, offset),
            // Only below a lock.
            (reset, Width::One | Width::Two) => {
                asm.load(part.width, R2, R7, offset);
                asm.set(R3, R2);
                asm.op(super::assembler::Op::And, R3, !reset as i32);
                asm.store(part.width, R7, offset, R3);
            }
            (reset, _) if reset == all => {
                asm.set(R2, 0);
                asm.atomic(Atomic::Exchange, part.width, R7, offset, R2);
            }
            (reset, _) => {
                asm.set_wide(R2, !reset);
                asm.atomic(Atomic::And, part.width, R7, offset, R2);
            }
        }
        asm.store(part.width, R6, (to + part.offset) as i16, R2);
    }
}
