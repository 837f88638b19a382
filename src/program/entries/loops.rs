//! Loops over the bytes of text, with a fixed number of steps.

use super::generator::{Generator, Place};
use super::utf8;
use crate::program::assembler::Register::{self, *};
use crate::program::assembler::{If, Label, Op, Width};
use crate::program::printer::ARGUMENTS;

/// Where on the stack: how many bytes of the text are before the last NUL bytes.
pub(super) const END: i16 = ARGUMENTS - 8;

impl Generator {
    /// Jumps if a transition has one of these bits. R1 is lost.
    pub(super) fn any(&mut self, from: Register, bits: u16, label: Label) {
        self.out.asm.set(R1, from);
        self.out.asm.op(Op::And, R1, i32::from(bits));
        self.out.asm.jump_if(If::NotEqual, R1, 0, label);
    }

    /// Begins a loop over the numbers of bytes, in R9.
    pub(super) fn begin_loop(&mut self) -> Label {
        self.out.asm.set(R9, 0);
        self.out.asm.here()
    }

    pub(super) fn end_loop(&mut self, next: Label, len: usize) {
        self.out.asm.op(Op::Add, R9, 1);
        self.out.asm.jump_if(If::Below, R9, len as i32, next);
    }

    /// R1 becomes the byte with the number in R9.
    pub(super) fn load_byte(&mut self, place: Place) {
        let asm = &mut self.out.asm;
        asm.set(R1, place.base);
        asm.op(Op::Add, R1, R9);
        asm.op(Op::Add, R1, place.offset as i32);
        asm.load(Width::One, R1, R1, 0);
    }

    /// The table of the machine.
    pub(super) fn machine(&mut self) -> u32 {
        let out = &mut self.out;
        *self.machine.get_or_insert_with(|| out.asm.add_constant(utf8::table()))
    }
}
