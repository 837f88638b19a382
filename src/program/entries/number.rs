//! Numbers: loading them, names for some of them, and raw bytes in hex.

use super::generator::{Generator, Place};
use crate::program::assembler::Register::{self, *};
use crate::program::assembler::{If, Label, Op, Width};
use bpf_layout::print::Style;
use bpf_layout::{AtomClass, Slot, Type};

/// The [`AtomClass`] of an integer or an enum.
pub(super) fn class(slot: Slot) -> AtomClass {
    match slot.ty() {
        Type::Atom(atom) => atom.class(),
        Type::Enum(e) => e.carrier().class(),
        _ => AtomClass::Unsigned,
    }
}

pub(super) fn bits(slot: Slot) -> u32 {
    slot.width().map_or(slot.ty().size() as u32 * 8, u32::from)
}

pub(super) fn conversion(slot: Slot) -> &'static str {
    if class(slot) == AtomClass::Signed { "%lld" } else { "%llu" }
}

impl Generator {
    /// Prints an integer.
    pub(super) fn number(&mut self, slot: Slot, place: Place) {
        self.length += bits(slot) as usize * 3 / 10 + 2;
        self.out.reserve(8);
        self.load_number(R1, R2, slot, place);
        self.argument(conversion(slot), R1);
    }

    /// Prints a pointer.
    pub(super) fn pointer(&mut self, slot: Slot, place: Place, style: Style) {
        self.length += 16;
        self.quotes(style);
        self.text(b"0x");
        self.out.reserve(8);
        self.load_number(R1, R2, slot, place);
        self.argument("%llx", R1);
        self.quotes(style);
    }

    /// Prints the name of a number, or else the number.
    pub(super) fn name(&mut self, slot: Slot, place: Place, mut names: Vec<(u64, Vec<u8>)>) {
        names.sort();
        if names.is_empty() {
            return self.number(slot, place);
        }
        self.out.flush();
        let (write, otherwise, after) = self.labels();
        self.load_number(R1, R2, slot, place);
        self.choose(&names, write, otherwise);
        self.out.asm.put(otherwise);
        self.out.reserve(8);
        self.argument(conversion(slot), R1);
        self.out.flush();
        self.out.asm.jump(after);
        self.out.asm.put(write);
        self.out.write();
        self.out.asm.put(after);
    }

    /// Searches R1 among sorted numbers: R2 and R3 become the text.
    fn choose(&mut self, names: &[(u64, Vec<u8>)], write: Label, otherwise: Label) {
        if let [(number, text)] = names {
            self.compare(If::NotEqual, *number, otherwise);
            let at = self.out.asm.add_constant(text);
            self.length += text.len();
            self.out.asm.constant(R2, at);
            self.out.asm.set(R3, text.len() as i32);
            return self.out.asm.jump(write);
        }
        let (low, high) = names.split_at(names.len() / 2);
        let above = self.out.asm.label();
        self.compare(If::AtLeast, high[0].0, above);
        self.choose(low, write, otherwise);
        self.out.asm.put(above);
        self.choose(high, write, otherwise);
    }

    fn compare(&mut self, condition: If, number: u64, label: Label) {
        match i32::try_from(number as i64) {
            Ok(small) => self.out.asm.jump_if(condition, R1, small, label),
            Err(_) => {
                self.out.asm.set_wide(R2, number);
                self.out.asm.jump_if(condition, R1, R2, label);
            }
        }
    }

    /// Prints `len` bytes in hex.
    pub(super) fn hex(&mut self, place: Place, len: usize) {
        self.length += 2 * len;
        for (at, width) in chunks(len) {
            self.out.reserve(8);
            self.load(width, R1, Place { offset: place.offset + at as u32, ..place });
            self.out.asm.swap_network(R1, width);
            let conversion = match width {
                Width::One => "%02llx",
                Width::Two => "%04llx",
                Width::Four => "%08llx",
                Width::Eight => "%016llx",
            };
            self.argument(conversion, R1);
        }
    }

    /// Loads the integer in `slot`, extended to 64 bits. `other` is lost.
    pub(super) fn load_number(&mut self, to: Register, other: Register, slot: Slot, place: Place) {
        let at =
            |byte: usize| Place { offset: place.offset + (slot.offset() + byte) as u32, ..place };
        let mut unused = 64 - bits(slot) as i32;
        let width = slot.width().is_none().then(|| Width::of(slot.len())).flatten();
        if let Some(width) = width {
            self.load(width, to, at(0));
            if class(slot) == AtomClass::Network {
                self.out.asm.swap_network(to, width);
                unused = 0;
            }
        } else {
            // The bytes by significance.
            let len = slot.len();
            let big = cfg!(target_endian = "big");
            let byte = |rank: usize| if big { len - 1 - rank } else { rank };
            let head = (slot.bit() % 8) as i32;
            let low = if big { len as i32 * 8 - head - bits(slot) as i32 } else { head };
            self.load(Width::One, to, at(byte(0)));
            self.out.asm.op(Op::ShiftRight, to, low);
            for rank in 1..len {
                self.load(Width::One, other, at(byte(rank)));
                self.out.asm.op(Op::ShiftLeft, other, 8 * rank as i32 - low);
                self.out.asm.op(Op::Or, to, other);
            }
        }
        let signed = class(slot) == AtomClass::Signed;
        // A plain load has extended it with zeros.
        if unused > 0 && (signed || width.is_none()) {
            self.out.asm.op(Op::ShiftLeft, to, unused);
            let right = if signed { Op::ShiftSigned } else { Op::ShiftRight };
            self.out.asm.op(right, to, unused);
        }
    }
}

/// Splits `len` bytes into parts that one instruction loads, with their offsets.
pub(super) fn chunks(len: usize) -> Vec<(usize, Width)> {
    let (mut chunks, mut at) = (Vec::new(), 0);
    for (size, width) in [(8, Width::Eight), (4, Width::Four), (2, Width::Two), (1, Width::One)] {
        while len - at >= size {
            chunks.push((at, width));
            at += size;
        }
    }
    chunks
}
