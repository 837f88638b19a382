//! Text, quoted and escaped as the codec does: loops of a fixed number of steps, for which the verifier
//! tracks the number of a step, but not the bytes that were read.

use super::generator::{Generator, Place, Quoting};
use super::loops::END;
use super::utf8::{BACKSLASH, BLANK, COMMA, COMPLETE, INVALID, QUOTE, SPACE, STATE, UNSAFE};
use crate::program::assembler::Register::*;
use crate::program::assembler::{If, Label, Op, Width};
use bpf_layout::print::Style;

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

    /// Runs the machine over the text: R0 becomes its last transition, R3 the bits of all transitions,
    /// R4 the bits of the first character.
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

    /// Prints the classified text, by the rules of the codec.
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
}
