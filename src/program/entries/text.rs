//! Text, quoted and escaped as the codec does: loops of a fixed number of steps, for which the verifier
//! needs to know the number of a step but not what was read.

use super::utf8::{
    BACKSLASH, BLANK, COMMA, COMPLETE, INVALID, LENGTH_SHIFT, QUOTE, SPACE, STATE, UNSAFE,
};
use super::{Generator, Place, Quoting};
use crate::program::assembler::Register::*;
use crate::program::assembler::{If, Label, Op, Width};
use crate::program::printer::ARGUMENTS;
use bpf_layout::print::Style;

/// Where on the stack: how many bytes of the text are before the last NUL bytes.
const END: i16 = ARGUMENTS - 8;
/// The state of the machine.
const MACHINE: i16 = ARGUMENTS - 16;
/// Bytes of a row in a table of replacements: the text, and last its length.
const ROW: usize = 8;

impl Generator {
    /// Prints `len` bytes as text. `mark_dash` is whether text that is `-` is quoted in a cell.
    pub(super) fn characters(&mut self, len: usize, place: Place, style: Style, mark_dash: bool) {
        let json = style == Style::Json;
        if json {
            self.mark();
        }
        if len > 0 {
            self.out.flush();
            self.find_end(len, place);
            self.classify(len, place);
            self.print_text(len, place, style, mark_dash);
        } else if !json {
            match (style, self.quoting) {
                (Style::Cell, Quoting::Cell) => self.text(b"\"\""),
                (Style::Cell, _) => {}
                _ => self.text(b"\"\""),
            }
        }
        if json {
            self.mark();
        }
    }

    /// A quote of JSON.
    fn mark(&mut self) {
        self.text(if self.quoting == Quoting::Doubled { b"\"\"" } else { b"\"" });
    }

    /// R5 becomes how many bytes there are before the last NUL bytes.
    fn find_end(&mut self, len: usize, place: Place) {
        self.out.asm.set(R5, 0);
        let next = self.begin_loop();
        self.load_byte(place);
        let asm = &mut self.out.asm;
        // All ones if the byte is not NUL.
        asm.set(R2, R1);
        asm.negate(R2);
        asm.op(Op::ShiftSigned, R2, 63);
        asm.set(R3, R9);
        asm.op(Op::Add, R3, 1);
        asm.op(Op::And, R3, R2);
        asm.op(Op::Xor, R2, -1);
        asm.op(Op::And, R5, R2);
        asm.op(Op::Or, R5, R3);
        self.end_loop(next, len);
    }

    /// Runs the machine over the text: R0 becomes its last transition, R3 the bits of all, R4 those of
    /// the first character.
    fn classify(&mut self, len: usize, place: Place) {
        let machine = self.machine();
        for register in [R0, R3, R4] {
            self.out.asm.set(register, 0);
        }
        let next = self.begin_loop();
        self.load_byte(place);
        let asm = &mut self.out.asm;
        asm.set(R2, R0);
        asm.op(Op::And, R2, i32::from(STATE));
        asm.op(Op::ShiftLeft, R2, 8);
        // Not Or: before Linux 6.10 the verifier forgets the bounds of its result.
        asm.op(Op::Add, R2, R1);
        asm.op(Op::ShiftLeft, R2, 1);
        asm.constant(R1, machine);
        asm.op(Op::Add, R1, R2);
        asm.load(Width::Two, R1, R1, 0);
        // All ones before the end.
        asm.set(R2, R9);
        asm.op(Op::Sub, R2, R5);
        asm.op(Op::ShiftSigned, R2, 63);
        asm.op(Op::And, R1, R2);
        asm.op(Op::Xor, R2, -1);
        asm.op(Op::And, R0, R2);
        asm.op(Op::Or, R0, R1);
        // All ones up to the first complete character.
        asm.set(R2, R3);
        asm.op(Op::ShiftRight, R2, COMPLETE.trailing_zeros() as i32);
        asm.op(Op::And, R2, 1);
        asm.op(Op::Sub, R2, 1);
        asm.op(Op::And, R2, R1);
        asm.op(Op::Or, R4, R2);
        asm.op(Op::Or, R3, R1);
        self.end_loop(next, len);
    }

    /// Prints what was classified, by the rules of the codec.
    fn print_text(&mut self, len: usize, place: Place, style: Style, mark_dash: bool) {
        let (hex, escape, after) = self.labels();
        let (quote_cell, _, _) = self.labels();
        self.out.asm.store(Width::Eight, R10, END, R5);
        self.any(R3, INVALID, hex);
        self.any(R0, STATE, hex);
        let is_json = style == Style::Json;
        self.starts_with(b"hex:", len, place, if is_json { hex } else { escape });
        let is_cell = style == Style::Cell;
        if is_json {
            self.any(R3, UNSAFE | QUOTE | BACKSLASH, escape);
        } else {
            self.any(R3, UNSAFE, escape);
            self.any(R4, QUOTE, escape);
            if !is_cell {
                self.out.asm.jump_if(If::Equal, R5, 0, escape);
            }
            if !is_cell || mark_dash {
                let longer = self.out.asm.label();
                self.out.asm.jump_if(If::NotEqual, R5, 1, longer);
                self.starts_with(b"-", len, place, escape);
                self.out.asm.put(longer);
            }
        }
        match style {
            Style::Word => {
                self.any(R3, SPACE, escape);
                self.starts_with(b"[", len, place, escape);
                self.starts_with(b"{", len, place, escape);
            }
            Style::Bare => {
                self.any(R4, SPACE, escape);
                self.any(R0, SPACE, escape);
            }
            _ => {}
        }
        let is_csv = self.quoting == Quoting::Cell;
        if is_csv {
            self.any(R3, COMMA | QUOTE, quote_cell);
            self.any(R4, BLANK, quote_cell);
            self.any(R0, BLANK, quote_cell);
            self.out.asm.jump_if(If::Equal, R5, 0, quote_cell);
        }
        self.whole(len, place, after);
        if is_csv {
            self.out.asm.put(quote_cell);
            self.literal(b"\"");
            let table = self.replacements(false);
            self.each_character(len, place, table);
            self.literal(b"\"");
            self.out.asm.jump(after);
        }
        self.out.asm.put(hex);
        self.text(b"hex:");
        self.hex(place, len);
        self.out.flush();
        self.out.asm.jump(after);
        self.out.asm.put(escape);
        if !is_json {
            self.literal(if is_csv { b"\"\"\"" } else { b"\"" });
        }
        let table = self.replacements(true);
        self.each_character(len, place, table);
        if !is_json {
            self.literal(if is_csv { b"\"\"\"" } else { b"\"" });
        }
        self.length += 6 * len;
        self.out.asm.put(after);
    }

    /// Writes text now, on one of several paths.
    fn literal(&mut self, text: &[u8]) {
        self.text(text);
        self.out.flush();
    }

    /// Writes all bytes up to the end.
    fn whole(&mut self, len: usize, place: Place, after: Label) {
        let asm = &mut self.out.asm;
        asm.load(Width::Eight, R3, R10, END);
        // Never, but the verifier does not know.
        asm.jump_if(If::Greater, R3, len as i32, after);
        asm.set(R2, place.base);
        asm.op(Op::Add, R2, place.offset as i32);
        self.out.write();
        self.out.asm.jump(after);
    }

    /// Writes the text character by character: those of ASCII as `table` has them, others as they are
    /// unless they are unsafe.
    fn each_character(&mut self, len: usize, place: Place, table: u32) {
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
    fn if_length(
        &mut self,
        more: i32,
        place: Place,
        code: impl FnOnce(&mut Generator, crate::program::assembler::Register),
    ) {
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
    fn code_point(&mut self, more: i32, first: crate::program::assembler::Register) {
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

    /// Jumps if the text begins with `prefix`. R1 is lost.
    fn starts_with(&mut self, prefix: &[u8], len: usize, place: Place, label: Label) {
        if prefix.len() > len {
            return;
        }
        let other = self.out.asm.label();
        for (at, byte) in prefix.iter().enumerate() {
            self.load(Width::One, R1, Place { offset: place.offset + at as u32, ..place });
            self.out.asm.jump_if(If::NotEqual, R1, i32::from(*byte), other);
        }
        self.out.asm.jump(label);
        self.out.asm.put(other);
    }

    /// Jumps if a transition has one of these bits. R1 is lost.
    fn any(&mut self, from: crate::program::assembler::Register, bits: u16, label: Label) {
        self.out.asm.set(R1, from);
        self.out.asm.op(Op::And, R1, i32::from(bits));
        self.out.asm.jump_if(If::NotEqual, R1, 0, label);
    }

    /// Begins a loop over the numbers of bytes, in R9.
    fn begin_loop(&mut self) -> Label {
        self.out.asm.set(R9, 0);
        self.out.asm.here()
    }

    fn end_loop(&mut self, next: Label, len: usize) {
        self.out.asm.op(Op::Add, R9, 1);
        self.out.asm.jump_if(If::Below, R9, len as i32, next);
    }

    /// R1 becomes the byte with the number in R9.
    fn load_byte(&mut self, place: Place) {
        let asm = &mut self.out.asm;
        asm.set(R1, place.base);
        asm.op(Op::Add, R1, R9);
        asm.op(Op::Add, R1, place.offset as i32);
        asm.load(Width::One, R1, R1, 0);
    }

    /// The table of the machine.
    fn machine(&mut self) -> u32 {
        let out = &mut self.out;
        *self.machine.get_or_insert_with(|| out.asm.add_constant(super::utf8::table()))
    }

    /// The characters of ASCII as JSON escapes them, or as they are; with quotes doubled in CSV.
    fn replacements(&mut self, escape: bool) -> u32 {
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
                text = double(&text);
            }
            let length = text.len() as u8;
            text.resize(ROW - 1, 0);
            text.push(length);
            table.extend(text);
        }
        self.out.asm.add_constant(&table)
    }
}

/// Doubles quotes, as CSV does in a quoted cell.
pub(super) fn double(text: &[u8]) -> Vec<u8> {
    let mut doubled = Vec::with_capacity(text.len());
    for byte in text {
        doubled.push(*byte);
        if *byte == b'"' {
            doubled.push(b'"');
        }
    }
    doubled
}
