//! Numbers: loading them, names for some of them, sums over CPUs, and raw bytes in hex.

use super::{Generator, Place};
use crate::program::assembler::Register::{self, *};
use crate::program::assembler::{If, Label, Op, Width};
use bpf_layout::print::Style;
use bpf_layout::{AtomClass, Slot, Type};

/// The [`AtomClass`] of an integer or an enum.
fn class(slot: Slot) -> AtomClass {
    match slot.ty() {
        Type::Atom(atom) => atom.class(),
        Type::Enum(e) => e.carrier().class(),
        _ => AtomClass::Unsigned,
    }
}

fn bits(slot: Slot) -> u32 {
    slot.width().map_or(slot.ty().size() as u32 * 8, u32::from)
}

fn conversion(slot: Slot) -> &'static str {
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

    /// Prints the sum of a number over `count` CPUs, whose values are `stride` bytes apart.
    pub(super) fn sum(&mut self, slot: Slot, place: Place, stride: u32, count: u32) {
        let at = |cpu: u32| Place { offset: place.offset + cpu * stride, ..place };
        let signed = class(slot) == AtomClass::Signed;
        if bits(slot) + count.next_power_of_two().trailing_zeros() <= 64 {
            self.out.reserve(8);
            self.out.asm.set(R3, 0);
            for cpu in 0..count {
                self.load_number(R1, R2, slot, at(cpu));
                self.out.asm.op(Op::Add, R3, R1);
            }
            return self.argument(conversion(slot), R3);
        }
        self.out.flush();
        // R3 and R4 are the low and the high half.
        self.out.asm.set(R3, 0);
        self.out.asm.set(R4, 0);
        for cpu in 0..count {
            self.load_number(R1, R2, slot, at(cpu));
            self.add_wide(signed);
        }
        let (wide, positive, after) = self.labels();
        let asm = &mut self.out.asm;
        asm.set(R1, 0);
        if signed {
            asm.set(R1, R3);
            asm.op(Op::ShiftSigned, R1, 63);
        }
        asm.jump_if(If::NotEqual, R4, R1, wide);
        self.out.reserve(8);
        self.argument(conversion(slot), R3);
        self.out.flush();
        self.out.asm.jump(after);
        self.out.asm.put(wide);
        if signed {
            let asm = &mut self.out.asm;
            let digits = asm.label();
            asm.jump_if(If::SignedAtLeast, R4, 0, positive);
            asm.negate(R3);
            asm.op(Op::Xor, R4, -1);
            asm.jump_if(If::NotEqual, R3, 0, digits);
            asm.op(Op::Add, R4, 1);
            asm.put(digits);
            self.digits(b"-");
            self.out.asm.jump(after);
            self.out.asm.put(positive);
        }
        self.digits(b"");
        self.out.asm.put(after);
    }

    /// Adds R1 to the 128 bits in R3 and R4, without a jump: there would be as many paths as CPUs.
    fn add_wide(&mut self, signed: bool) {
        let asm = &mut self.out.asm;
        asm.set(R2, R3);
        asm.op(Op::And, R2, R1);
        asm.set(R5, R3);
        asm.op(Op::Or, R5, R1);
        asm.op(Op::Add, R3, R1);
        asm.set(R0, R3);
        asm.op(Op::Xor, R0, -1);
        asm.op(Op::And, R5, R0);
        asm.op(Op::Or, R2, R5);
        asm.op(Op::ShiftRight, R2, 63);
        asm.op(Op::Add, R4, R2);
        if signed {
            asm.op(Op::ShiftSigned, R1, 63);
            asm.op(Op::Add, R4, R1);
        }
    }

    /// Prints the positive number in R3 and R4, whose high half is small: in groups of nine digits.
    fn digits(&mut self, sign: &[u8]) {
        const GROUP: i32 = 1_000_000_000;
        // 2^64 = 18,446744073,709551616
        let groups = [(R1, 709_551_616), (R2, 446_744_073), (R5, 18)];
        let asm = &mut self.out.asm;
        asm.set(R1, R3);
        asm.op(Op::Mod, R1, GROUP);
        asm.set(R2, R3);
        asm.op(Op::Div, R2, GROUP);
        asm.set(R5, R2);
        asm.op(Op::Mod, R2, GROUP);
        asm.op(Op::Div, R5, GROUP);
        for (register, factor) in groups {
            asm.set(R0, R4);
            asm.op(Op::Mul, R0, factor);
            asm.op(Op::Add, register, R0);
        }
        for (low, high) in [(R1, R2), (R2, R5)] {
            asm.set(R0, low);
            asm.op(Op::Div, R0, GROUP);
            asm.op(Op::Add, high, R0);
            asm.op(Op::Mod, low, GROUP);
        }
        self.text(sign);
        self.out.reserve(24);
        self.argument("%llu", R5);
        self.argument("%09llu", R2);
        self.argument("%09llu", R1);
        self.out.flush();
    }

    /// Jumps to `differ` unless the values of all CPUs are the same in this slot.
    pub(super) fn check_agreement(
        &mut self,
        slot: Slot,
        place: Place,
        (stride, count): (u32, u32),
        differ: Label,
    ) {
        let at = |cpu: u32, byte: usize| Place {
            offset: place.offset + cpu * stride + byte as u32,
            ..place
        };
        if slot.width().is_some() {
            self.load_number(R3, R2, slot, place);
            for cpu in 1..count {
                self.load_number(R1, R2, slot, at(cpu, 0));
                self.out.asm.jump_if(If::NotEqual, R1, R3, differ);
            }
            return;
        }
        for (byte, width) in chunks(slot.len()) {
            self.load(width, R3, at(0, slot.offset() + byte));
            for cpu in 1..count {
                self.load(width, R1, at(cpu, slot.offset() + byte));
                self.out.asm.jump_if(If::NotEqual, R1, R3, differ);
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

    /// Loads from a place: a structure may be larger than the offset of an instruction reaches.
    pub(super) fn load(&mut self, width: Width, to: Register, place: Place) {
        match i16::try_from(place.offset) {
            Ok(offset) => self.out.asm.load(width, to, place.base, offset),
            Err(_) => {
                self.out.asm.set(to, place.base);
                self.out.asm.op(Op::Add, to, place.offset as i32);
                self.out.asm.load(width, to, to, 0);
            }
        }
    }

    /// Loads the integer in `slot`, extended to 64 bits. `other` is lost.
    fn load_number(&mut self, to: Register, other: Register, slot: Slot, place: Place) {
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
fn chunks(len: usize) -> Vec<(usize, Width)> {
    let (mut chunks, mut at) = (Vec::new(), 0);
    for (size, width) in [(8, Width::Eight), (4, Width::Four), (2, Width::Two), (1, Width::One)] {
        while len - at >= size {
            chunks.push((at, width));
            at += size;
        }
    }
    chunks
}
