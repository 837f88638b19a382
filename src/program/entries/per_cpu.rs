//! Values of all CPUs: their sum, and whether they are the same.

use super::generator::{Generator, Place};
use super::number::{bits, chunks, class, conversion};
use crate::program::assembler::Register::*;
use crate::program::assembler::{If, Label, Op};
use bpf_layout::{AtomClass, Slot};

impl Generator {
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
}
