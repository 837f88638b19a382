//! The program that adds to an integer: compares and exchanges the word that has it, and refuses a sum
//! that does not fit.

#[cfg(test)]
mod tests;

use super::assembler::Register::*;
use super::assembler::{Assembler, Atomic, Code, If, Label, Op, TooLong, Width};
use super::element::{self, ARGUMENTS, CONTENDED, MapShape, RunOutcome, TRIES};
use super::word::WordField;
use bpf_layout::{Atom, AtomClass, Slot, Type};

/// Where the context has the amount without its sign, whether it is negative, the word that was found,
/// or written if the outcome is `Done`, and the key.
const AMOUNT: usize = ARGUMENTS;
const NEGATIVE: usize = ARGUMENTS + 8;
const WORD: usize = ARGUMENTS + 16;
const KEY: usize = ARGUMENTS + 24;

/// An integer to add to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Addend {
    pub place: WordField,
    signed: bool,
    /// Whether it has the network's byte order.
    network: bool,
}

impl Addend {
    /// None unless `slot` is an integer in one word of a value of `size` bytes.
    pub fn new(slot: Slot, size: usize) -> Option<Addend> {
        let Type::Atom(atom) = slot.ty() else { return None };
        let place = WordField::of(slot, size)?;
        let (signed, network) = match Atom::class(*atom) {
            AtomClass::Unsigned => (false, false),
            AtomClass::Signed => (true, false),
            AtomClass::Network if slot.width().is_none() => (false, true),
            _ => return None,
        };
        Some(Addend { place, signed, network })
    }

    /// The context by which the program is called.
    pub fn context(cpu: u32, key: &[u8], amount: u64, negative: bool) -> Vec<u8> {
        let mut context = vec![0; KEY + key.len()];
        let words = [(element::CPU, cpu.into()), (AMOUNT, amount), (NEGATIVE, negative.into())];
        for (at, word) in words {
            context[at..at + 8].copy_from_slice(&u64::to_ne_bytes(word));
        }
        context[KEY..].copy_from_slice(key);
        context
    }

    /// The word that the program left in its context.
    pub fn word(context: &[u8]) -> u64 {
        context[WORD..].first_chunk().map_or(0, |word| u64::from_ne_bytes(*word))
    }

    /// The program.
    pub fn generate(&self, elements: &MapShape) -> Result<Code, TooLong> {
        let mut asm = element::begin();
        let [missing, refused, done, finish] = [(); 4].map(|()| asm.label());
        elements.find(&mut asm, KEY, missing);
        asm.load(Width::Eight, R8, R6, AMOUNT as i16);
        asm.load(Width::Eight, R9, R6, NEGATIVE as i16);
        asm.set(R1, R7);
        asm.op(Op::Add, R1, self.place.word.offset as i32);
        for _ in 0..TRIES {
            self.try_once(&mut asm, refused, done);
        }
        asm.set(R9, CONTENDED as i32);
        asm.jump(finish);
        asm.put(refused);
        asm.set(R9, RunOutcome::Refused as i32);
        asm.store(Width::Eight, R6, WORD as i16, R0);
        asm.jump(finish);
        asm.put(done);
        asm.set(R9, RunOutcome::Done as i32);
        asm.store(Width::Eight, R6, WORD as i16, R5);
        asm.put(finish);
        elements.release(&mut asm);
        element::end(&mut asm, R9);
        asm.put(missing);
        asm.set(R9, RunOutcome::Missing as i32);
        element::end(&mut asm, R9);
        asm.finish()
    }

    /// Reads the word at R1, adds R8 to it, or subtracts it if R9 is not 0, and exchanges it. Jumps to
    /// `refused` with the word in R0, to `done` with the new one in R5, or goes on.
    fn try_once(&self, asm: &mut Assembler, refused: Label, done: Label) {
        let WordField { word, shift, .. } = self.place;
        let (subtract, joined) = (asm.label(), asm.label());
        asm.load(word.width, R0, R1, 0);
        asm.set(R2, R0);
        asm.op(Op::ShiftRight, R2, i32::from(shift));
        asm.set_wide(R3, self.place.max());
        asm.op(Op::And, R2, R3);
        self.convert(asm);
        asm.jump_if(If::NotEqual, R9, 0, subtract);
        asm.op(Op::Sub, R3, R2);
        asm.jump_if(If::Greater, R8, R3, refused);
        asm.op(Op::Add, R2, R8);
        asm.jump(joined);
        asm.put(subtract);
        asm.jump_if(If::Greater, R8, R2, refused);
        asm.op(Op::Sub, R2, R8);
        asm.put(joined);
        self.convert(asm);
        asm.op(Op::ShiftLeft, R2, i32::from(shift));
        asm.set(R5, R0);
        asm.set_wide(R3, !self.place.mask());
        asm.op(Op::And, R5, R3);
        asm.op(Op::Or, R5, R2);
        asm.set(R4, R0);
        asm.atomic(Atomic::CompareExchange, word.width, R1, 0, R5);
        asm.jump_if(If::Equal, R0, R4, done);
    }

    /// Turns the integer in R2 into a number that is 0 for the smallest, or back. R4 is lost.
    fn convert(&self, asm: &mut Assembler) {
        if self.network {
            let width = Width::of(usize::from(self.place.bits) / 8).unwrap_or(Width::Eight);
            asm.swap_network(R2, width);
        }
        if self.signed {
            asm.set_wide(R4, 1 << (self.place.bits - 1));
            asm.op(Op::Xor, R2, R4);
        }
    }
}
