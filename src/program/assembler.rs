//! Programs from instructions, with jumps to labels, and constants in a map that the program can only
//! read. Pure: nothing is loaded here.

pub use super::instruction::{Atomic, If, Instruction, Op, Operand, Register, Width};

use std::collections::HashMap;

/// A place to jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// A finished program.
#[derive(Debug, Default)]
pub struct Code {
    /// As they are in memory.
    pub instructions: Vec<u64>,
    /// The only value of an array.
    pub constants: Vec<u8>,
    /// The instructions whose immediate is to be the file descriptor of that array.
    pub references: Vec<usize>,
    /// The instructions whose immediate is to be the file descriptor of the map that the program is
    /// for.
    pub map_references: Vec<usize>,
}

/// A program could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the program would be too long")]
pub struct TooLong;

/// A program in the making.
#[derive(Debug, Default)]
pub struct Assembler {
    code: Code,
    /// Instructions that jump.
    jumps: Vec<(usize, Label)>,
    /// Where labels are, once known.
    labels: Vec<Option<usize>>,
    /// Where constants are.
    known: HashMap<Vec<u8>, u32>,
}

/// BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE and BPF_PSEUDO_KFUNC_CALL.
const MAP: u8 = 1;
const MAP_VALUE: u8 = 2;
const KERNEL_FUNCTION: u8 = 2;

impl Assembler {
    fn push(&mut self, code: u8, to: u8, from: u8, offset: i16, immediate: i32) {
        let instruction = Instruction { code, to, from, offset, immediate };
        self.code.instructions.push(instruction.pack());
    }

    fn with_operand(&mut self, code: u8, to: Register, operand: Operand, offset: i16) {
        match operand {
            Operand::Register(from) => self.push(code | 8, to as u8, from as u8, offset, 0),
            Operand::Immediate(number) => self.push(code, to as u8, 0, offset, number),
        }
    }

    /// `to = to OP operand`.
    pub fn op(&mut self, op: Op, to: Register, operand: impl Into<Operand>) {
        self.with_operand(0x07 | op as u8, to, operand.into(), 0);
    }

    /// `to = operand`.
    pub fn set(&mut self, to: Register, operand: impl Into<Operand>) {
        self.op(Op::Move, to, operand);
    }

    /// `to = -to`.
    pub fn negate(&mut self, to: Register) {
        self.push(0x87, to as u8, 0, 0, 0);
    }

    /// Turns the low 16, 32 or 64 bits from network byte order, or to it; the others become zero.
    pub fn swap_network(&mut self, to: Register, width: Width) {
        let bits = match width {
            Width::One => return self.op(Op::And, to, 0xff),
            Width::Two => 16,
            Width::Four => 32,
            Width::Eight => 64,
        };
        self.push(0xdc, to as u8, 0, 0, bits);
    }

    /// `to = number`, of any size.
    pub fn set_wide(&mut self, to: Register, number: u64) {
        match i32::try_from(number as i64) {
            Ok(small) => self.set(to, small),
            Err(_) => {
                self.push(0x18, to as u8, 0, 0, number as i32);
                self.push(0, 0, 0, 0, (number >> 32) as i32);
            }
        }
    }

    /// `to = *(from + offset)`, unsigned.
    pub fn load(&mut self, width: Width, to: Register, from: Register, offset: i16) {
        self.push(0x61 | width.code(), to as u8, from as u8, offset, 0);
    }

    /// `*(to + offset) = from`.
    pub fn store(&mut self, width: Width, to: Register, offset: i16, from: Register) {
        self.push(0x63 | width.code(), to as u8, from as u8, offset, 0);
    }

    /// `*(to + offset) = number`.
    pub fn store_number(&mut self, width: Width, to: Register, offset: i16, number: i32) {
        self.push(0x62 | width.code(), to as u8, 0, offset, number);
    }

    /// `to` = the address of the constant at `offset`.
    pub fn constant(&mut self, to: Register, offset: u32) {
        self.code.references.push(self.code.instructions.len());
        self.push(0x18, to as u8, MAP_VALUE, 0, 0);
        self.push(0, 0, 0, 0, offset as i32);
    }

    /// `to` = the map that the program is for.
    pub fn map(&mut self, to: Register) {
        self.code.map_references.push(self.code.instructions.len());
        self.push(0x18, to as u8, MAP, 0, 0);
        self.push(0, 0, 0, 0, 0);
    }

    /// Changes `*(to + offset)`, which is aligned, atomically; `width` is four or eight bytes.
    pub fn atomic(&mut self, op: Atomic, width: Width, to: Register, offset: i16, from: Register) {
        self.push(0xc3 | width.code(), to as u8, from as u8, offset, op as i32);
    }

    /// Adds a constant and returns its offset; equal ones are stored once.
    pub fn add_constant(&mut self, bytes: &[u8]) -> u32 {
        let constants = &mut self.code.constants;
        *self.known.entry(bytes.to_vec()).or_insert_with(|| {
            constants.extend_from_slice(bytes);
            (constants.len() - bytes.len()) as u32
        })
    }

    /// Calls a helper, by its number in `enum bpf_func_id`.
    pub fn call(&mut self, helper: i32) {
        self.push(0x85, 0, 0, 0, helper);
    }

    /// Calls a function of the kernel, by its id in the kernel's BTF.
    pub fn call_kernel(&mut self, function: u32) {
        self.push(0x85, 0, KERNEL_FUNCTION, 0, function as i32);
    }

    /// Ends the program with the result in R0.
    pub fn exit(&mut self) {
        self.push(0x95, 0, 0, 0, 0);
    }

    /// A label, to be put later.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Puts a label before the next instruction.
    pub fn put(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.instructions.len());
    }

    /// A label before the next instruction.
    pub fn here(&mut self) -> Label {
        let label = self.label();
        self.put(label);
        label
    }

    /// Jumps.
    pub fn jump(&mut self, label: Label) {
        self.jumps.push((self.code.instructions.len(), label));
        self.push(0x05, 0, 0, 0, 0);
    }

    /// Jumps if the comparison of `register` with `operand` holds.
    pub fn jump_if(
        &mut self,
        condition: If,
        register: Register,
        operand: impl Into<Operand>,
        label: Label,
    ) {
        self.jumps.push((self.code.instructions.len(), label));
        self.with_operand(0x05 | condition as u8, register, operand.into(), 0);
    }

    /// The program with its jumps.
    pub fn finish(mut self) -> Result<Code, TooLong> {
        /// BPF_COMPLEXITY_LIMIT_INSNS.
        const MAX: usize = 1_000_000;
        if self.code.instructions.len() > MAX {
            return Err(TooLong);
        }
        for (at, label) in self.jumps {
            let target = self.labels[label.0].ok_or(TooLong)?;
            let distance = i16::try_from(target as i64 - at as i64 - 1).map_err(|_| TooLong)?;
            // The offset is in the bytes 2 and 3, whatever the byte order.
            let mut bytes = self.code.instructions[at].to_ne_bytes();
            bytes[2..4].copy_from_slice(&distance.to_ne_bytes());
            self.code.instructions[at] = u64::from_ne_bytes(bytes);
        }
        Ok(self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::Register::*;
    use super::*;

    fn listing(code: &Code) -> Vec<(u8, u8, u8, i16, i32)> {
        let parts = |packed: &u64| {
            let i = Instruction::unpack(*packed);
            (i.code, i.to, i.from, i.offset, i.immediate)
        };
        code.instructions.iter().map(parts).collect()
    }

    #[test]
    fn instructions_are_encoded_as_the_kernel_reads_them() {
        let mut asm = Assembler::default();
        let end = asm.label();
        asm.load(Width::Eight, R6, R1, 8);
        asm.jump_if(If::Equal, R6, 0, end);
        asm.set_wide(R2, 0x1_2345_6789);
        asm.set_wide(R3, u64::MAX);
        asm.op(Op::Add, R2, R3);
        asm.swap_network(R2, Width::Two);
        asm.store(Width::Four, R10, -4, R2);
        asm.constant(R1, 3);
        asm.call(126);
        asm.call_kernel(7);
        asm.put(end);
        asm.set(R0, 0);
        asm.exit();
        let code = asm.finish().expect("short");
        assert_eq!(
            listing(&code),
            [
                (0x79, 6, 1, 8, 0),
                (0x15, 6, 0, 10, 0),
                (0x18, 2, 0, 0, 0x2345_6789),
                (0, 0, 0, 0, 1),
                (0xb7, 3, 0, 0, -1),
                (0x0f, 2, 3, 0, 0),
                (0xdc, 2, 0, 0, 16),
                (0x63, 10, 2, -4, 0),
                (0x18, 1, 2, 0, 0),
                (0, 0, 0, 0, 3),
                (0x85, 0, 0, 0, 126),
                (0x85, 0, 2, 0, 7),
                (0xb7, 0, 0, 0, 0),
                (0x95, 0, 0, 0, 0),
            ]
        );
        assert_eq!(code.references, [8]);
    }

    #[test]
    fn equal_constants_are_stored_once() {
        let mut asm = Assembler::default();
        assert_eq!([b"ab", b"cd", b"ab"].map(|text| asm.add_constant(text)), [0, 2, 0]);
        assert_eq!(asm.finish().expect("short").constants, b"abcd");
    }

    #[test]
    fn jump_that_is_too_far_is_refused() {
        for (instructions, fits) in [(32767, true), (32768, false)] {
            let mut asm = Assembler::default();
            let end = asm.label();
            asm.jump(end);
            (0..instructions).for_each(|_| asm.set(R0, 0));
            asm.put(end);
            asm.exit();
            assert_eq!(asm.finish().is_ok(), fits);
        }
    }
}
