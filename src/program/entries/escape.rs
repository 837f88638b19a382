//! Text that is written character by character: escaped, or with its quotes doubled.

use super::generator::{Generator, Place, Quoting, double_quotes};
use super::loops::END;
use super::utf8::{COMPLETE, LENGTH_SHIFT, STATE, UNSAFE};
use crate::program::assembler::Register::{self, *};
use crate::program::assembler::{If, Op, Width};
use crate::program::printer::ARGUMENTS;

/// The state of the machine.
const MACHINE: i16 = ARGUMENTS - 16;
/// Bytes of a row in a table of replacements: the text, and last its length.
const ROW: usize = 8;

impl Generator {
    /// Writes the text character by character: ASCII characters as `table` has them, and others
    /// unchanged unless they are unsafe.
    pub(super) fn each_character(&mut self, len: usize, place: Place, table: u32) {
        let machine = self.machine();
        let (done, ascii, unsafe_one) = self.labels();
        let (step, _, _) = self.labels();
        self.out.asm.store_number(Width::Eight, R10, MACHINE, 0);
        let next = self.begin_loop();
        let asm = &mut self.out.asm;
        // The difference, so that the verifier does not learn the end from the comparison.
        asm.load(Width::Eight, R2, R10, END);
        asm.set(R1, R9);
        asm.op(Op::Sub, R1, R2);
        asm.jump_if(If::SignedAtLeast, R1, 0, done);
        self.load_byte(place);
        let asm = &mut self.out.asm;
        asm.load(Width::Eight, R2, R10, MACHINE);
        asm.op(Op::And, R2, i32::from(STATE));
        asm.op(Op::ShiftLeft, R2, 8);
        // Not Or: before Linux 6.10 the verifier forgets the bounds of its result.
        asm.op(Op::Add, R2, R1);
        asm.op(Op::ShiftLeft, R2, 1);
        asm.constant(R3, machine);
        asm.op(Op::Add, R3, R2);
        asm.load(Width::Two, R3, R3, 0);
        asm.set(R2, R3);
        asm.op(Op::And, R2, i32::from(STATE));
        asm.store(Width::Eight, R10, MACHINE, R2);
        asm.set(R4, R3);
        asm.op(Op::And, R4, i32::from(COMPLETE));
        asm.jump_if(If::Equal, R4, 0, step);
        asm.set(R4, R3);
        asm.op(Op::ShiftRight, R4, LENGTH_SHIFT);
        asm.op(Op::And, R4, 3);
        asm.jump_if(If::Equal, R4, 0, ascii);
        self.any(R3, UNSAFE, unsafe_one);
        for more in 1..4 {
            self.if_length(more, place, |out, first| {
                out.out.asm.set(R2, first);
                out.out.asm.set(R3, more + 1);
                out.out.write();
                out.out.asm.jump(step);
            });
        }
        self.out.asm.jump(step);
        self.out.asm.put(unsafe_one);
        for more in 1..4 {
            self.if_length(more, place, |out, first| {
                out.code_point(more, first);
                out.escape_code_point(more);
                out.out.asm.jump(step);
            });
        }
        self.out.asm.jump(step);
        self.out.asm.put(ascii);
        let asm = &mut self.out.asm;
        asm.op(Op::And, R1, 0x7f);
        asm.op(Op::ShiftLeft, R1, ROW.trailing_zeros() as i32);
        asm.constant(R2, table);
        asm.op(Op::Add, R2, R1);
        asm.load(Width::One, R3, R2, ROW as i16 - 1);
        asm.op(Op::And, R3, ROW as i32 - 1);
        self.out.write();
        self.out.asm.put(step);
        self.end_loop(next, len);
        self.out.asm.put(done);
    }

    /// Code for a character of `more` + 1 bytes, whose length less one is in R4: with the address of
    /// its first byte in R5. It must jump.
    fn if_length(&mut self, more: i32, place: Place, code: impl FnOnce(&mut Generator, Register)) {
        let other = self.out.asm.label();
        let asm = &mut self.out.asm;
        asm.jump_if(If::NotEqual, R4, more, other);
        // Never, but the verifier does not know: the character would begin before the text.
        asm.jump_if(If::Below, R9, more, other);
        asm.set(R5, place.base);
        asm.op(Op::Add, R5, R9);
        asm.op(Op::Add, R5, place.offset as i32 - more);
        code(self, R5);
        self.out.asm.put(other);
    }

    /// R1 becomes the code point of the character of `more` + 1 bytes at `first`.
    fn code_point(&mut self, more: i32, first: Register) {
        let asm = &mut self.out.asm;
        asm.load(Width::One, R1, first, 0);
        asm.op(Op::And, R1, 0x3f >> more);
        for at in 1..=more {
            asm.load(Width::One, R2, first, at as i16);
            asm.op(Op::And, R2, 0x3f);
            asm.op(Op::ShiftLeft, R1, 6);
            asm.op(Op::Or, R1, R2);
        }
    }

    /// Prints the code point in R1 as JSON escapes it.
    fn escape_code_point(&mut self, more: i32) {
        if more == 3 {
            let asm = &mut self.out.asm;
            // A pair of surrogates.
            asm.op(Op::Sub, R1, 0x10000);
            asm.set(R3, R1);
            asm.op(Op::And, R3, 0x3ff);
            asm.op(Op::Or, R3, 0xdc00);
            asm.op(Op::ShiftRight, R1, 10);
            asm.op(Op::And, R1, 0x3ff);
            asm.op(Op::Or, R1, 0xd800);
        }
        self.text(b"\\u");
        self.out.reserve(8);
        self.argument("%04llx", R1);
        if more == 3 {
            self.text(b"\\u");
            self.out.reserve(8);
            self.argument("%04llx", R3);
        }
        self.out.flush();
    }

    /// The characters of ASCII as JSON escapes them, or as they are; with quotes doubled in CSV.
    pub(super) fn replacements(&mut self, escape: bool) -> u32 {
        let mut table = Vec::new();
        for byte in 0..0x80u8 {
            let mut text = Vec::new();
            match escape {
                true => {
                    bpf_layout::text::append_json_string(&char::from(byte).to_string(), &mut text);
                    text = text[1..text.len() - 1].to_vec();
                }
                false => text.push(byte),
            }
            if self.quoting != Quoting::None {
                text = double_quotes(&text);
            }
            let length = text.len() as u8;
            text.resize(ROW - 1, 0);
            text.push(length);
            table.extend(text);
        }
        self.out.asm.add_constant(&table)
    }
}
