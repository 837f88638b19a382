//! The program that writes fields of a value and leaves its other bits unchanged: by aligned stores, or by
//! exchanging the word that has a bitfield or a field of an odd size; on the condition that a field has
//! some content, if there is one.

#[cfg(test)]
mod tests;

use super::assembler::Register::*;
use super::assembler::{Assembler, Atomic, Code, If, Label, Op, TooLong, Width};
use super::element::{self, ARGUMENTS, CONTENDED, MapShape, RunOutcome, TRIES, pieces};
use super::word::{Word, mark};
use bpf_layout::Slot;
use std::ops::Range;

/// Bits of a value that are written at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// In bytes, a multiple of the width.
    pub offset: usize,
    pub width: Width,
    /// The bits that are written; None for all.
    pub mask: Option<u64>,
}

/// Fields to write, and a condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    writes: Vec<Write>,
    /// The word that has the field of the condition, and the bits of the field.
    test: Option<(Word, u64)>,
}

impl Write {
    /// The bytes of the value.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.width.bytes()
    }

    /// The bits that are written, as bytes of the value.
    pub fn mask_bytes(&self) -> Vec<u8> {
        let bytes = self.mask.unwrap_or(u64::MAX).to_ne_bytes();
        let size = self.width.bytes();
        match cfg!(target_endian = "big") {
            true => bytes[8 - size..].to_vec(),
            false => bytes[..size].to_vec(),
        }
    }

    /// What to write, of a value that has the new fields.
    fn bits(&self, value: &[u8]) -> u64 {
        let mut word = [0; 8];
        let size = self.width.bytes();
        let at = if cfg!(target_endian = "big") { 8 - size } else { 0 };
        word[at..at + size].copy_from_slice(&value[self.range()]);
        u64::from_ne_bytes(word) & self.mask.unwrap_or(u64::MAX)
    }
}

impl Store {
    /// To write `fields` of values of `size` bytes if the field `test` has some content. None if that
    /// is not possible by aligned words, with all fields and the condition in one of them unless
    /// `is_locked`.
    pub fn new(fields: &[Slot], test: Option<Slot>, size: usize, is_locked: bool) -> Option<Store> {
        let bits = |slot: Slot, word: Word| {
            let mut bits = vec![0; size];
            mark(slot, &mut bits);
            word.load(&bits)
        };
        if let (Some(test), false) = (test, is_locked) {
            let all = fields.iter().chain([&test]);
            let start = all.clone().map(Slot::offset).min()?;
            let end = all.map(|slot| slot.offset() + slot.len()).max()?;
            let word = Word::around(&(start..end), size)?;
            let written = fields.iter().fold(0, |all, field| all | bits(*field, word));
            let write = Write { offset: word.offset, width: word.width, mask: Some(written) };
            return Store { writes: vec![write], test: Some((word, bits(test, word))) }.check();
        }
        let mut writes = Vec::new();
        for field in fields {
            let bytes = field.offset()..field.offset() + field.len();
            let whole =
                pieces(bytes.clone()).map(|(offset, width)| Write { offset, width, mask: None });
            match (field.width(), Word::around(&bytes, size)) {
                (None, _) if pieces(bytes).count() == 1 => writes.extend(whole),
                (_, Some(word)) => writes.push(Write {
                    offset: word.offset,
                    width: word.width,
                    mask: Some(bits(*field, word)),
                }),
                (None, None) => writes.extend(whole),
                (Some(_), None) => return None,
            }
        }
        let test = match test {
            Some(test) => {
                let word = Word::around(&(test.offset()..test.offset() + test.len()), size)?;
                Some((word, bits(test, word)))
            }
            None => None,
        };
        Store { writes, test }.check()
    }

    /// None if an instruction cannot address a field.
    fn check(self) -> Option<Store> {
        let is_near = |end: usize| i16::try_from(end).is_ok();
        let ends = self.writes.iter().map(|write| write.range().end);
        let test = self.test.map(|(word, _)| word.range().end);
        let context = self.key() + element::MAX_KEY;
        ends.chain(test).chain([context]).all(is_near).then_some(self)
    }

    /// The writes, in their order.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Where the context has the key; before it, what is written, and what the condition expects.
    fn key(&self) -> usize {
        ARGUMENTS + 8 * (self.writes.len() + 1)
    }

    /// The context by which the program is called. `value` has the new fields, `expected` the field of
    /// the condition.
    pub fn context(&self, cpu: u32, key: &[u8], value: &[u8], expected: &[u8]) -> Vec<u8> {
        let mut context = vec![0; self.key() + key.len()];
        let expected = self.test.map_or(0, |(word, mask)| word.load(expected) & mask);
        let bits = self.writes.iter().map(|write| write.bits(value));
        let words = [u64::from(cpu), expected].into_iter().chain(bits);
        for (to, word) in context.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        context[self.key()..].copy_from_slice(key);
        context
    }

    /// The program.
    pub fn generate(&self, elements: &MapShape) -> Result<Code, TooLong> {
        let mut asm = element::begin();
        let [missing, refused, contended, finish] = [(); 4].map(|()| asm.label());
        elements.find(&mut asm, self.key(), missing);
        if self.test.is_some() {
            asm.load(Width::Eight, R9, R6, ARGUMENTS as i16);
        }
        if let (Some((word, mask)), Some(_)) = (self.test, elements.lock) {
            asm.load(word.width, R0, R7, word.offset as i16);
            test_word(&mut asm, mask, refused);
        }
        for (at, write) in self.writes.iter().enumerate() {
            asm.load(Width::Eight, R8, R6, (ARGUMENTS + 8 * (at + 1)) as i16);
            match write.mask {
                None => asm.store(write.width, R7, write.offset as i16, R8),
                Some(mask) => {
                    let test = self.test.filter(|_| elements.lock.is_none());
                    let test = test.map(|(_, mask)| (mask, refused));
                    exchange(&mut asm, write, mask, test, contended);
                }
            }
        }
        asm.set(R9, RunOutcome::Done as i32);
        asm.put(finish);
        elements.release(&mut asm);
        element::end(&mut asm, R9);
        // The verifier refuses instructions that are never reached.
        if self.writes.iter().any(|write| write.mask.is_some()) {
            asm.put(contended);
            asm.set(R9, CONTENDED as i32);
            asm.jump(finish);
        }
        if self.test.is_some() {
            asm.put(refused);
            asm.set(R9, RunOutcome::Refused as i32);
            asm.jump(finish);
        }
        asm.put(missing);
        asm.set(R9, RunOutcome::Missing as i32);
        element::end(&mut asm, R9);
        asm.finish()
    }
}

/// Jumps to `refused` unless the bits in `mask` of the word in R0 are those of R9.
fn test_word(asm: &mut Assembler, mask: u64, refused: Label) {
    asm.set(R2, R0);
    asm.set_wide(R3, mask);
    asm.op(Op::And, R2, R3);
    asm.jump_if(If::NotEqual, R2, R9, refused);
}

/// Writes the bits of R8 that are in `mask`.
fn exchange(
    asm: &mut Assembler,
    write: &Write,
    mask: u64,
    test: Option<(u64, Label)>,
    contended: Label,
) {
    let (offset, done) = (write.offset as i16, asm.label());
    for _ in 0..TRIES {
        asm.load(write.width, R0, R7, offset);
        if let Some((mask, refused)) = test {
            test_word(asm, mask, refused);
        }
        asm.set(R5, R0);
        asm.set_wide(R3, !mask);
        asm.op(Op::And, R5, R3);
        asm.op(Op::Or, R5, R8);
        asm.set(R4, R0);
        asm.atomic(Atomic::CompareExchange, write.width, R7, offset, R5);
        asm.jump_if(If::Equal, R0, R4, done);
    }
    asm.jump(contended);
    asm.put(done);
}
