//! Instructions of BPF and their operands, encoded as the kernel reads them
//! (Documentation/bpf/standardization/instruction-set.rst).

/// A register. R0 has the result of calls, R1 to R5 their arguments and are lost in them, R6 to R9
/// are kept, R10 is the end of the stack of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

/// The second operand of an instruction.
#[derive(Clone, Copy, Debug)]
pub enum Operand {
    Register(Register),
    /// Extended to 64 bits with its sign.
    Immediate(i32),
}

impl From<Register> for Operand {
    fn from(register: Register) -> Operand {
        Operand::Register(register)
    }
}

impl From<i32> for Operand {
    fn from(number: i32) -> Operand {
        Operand::Immediate(number)
    }
}

/// An operation on 64 bits. All of them are unsigned, but for `ShiftSigned`.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Add = 0x00,
    Sub = 0x10,
    Mul = 0x20,
    Div = 0x30,
    Or = 0x40,
    And = 0x50,
    ShiftLeft = 0x60,
    ShiftRight = 0x70,
    Mod = 0x90,
    Xor = 0xa0,
    Move = 0xb0,
    ShiftSigned = 0xc0,
}

/// A comparison of 64 bits.
#[derive(Clone, Copy, Debug)]
pub enum If {
    Equal = 0x10,
    NotEqual = 0x50,
    /// Unsigned.
    Greater = 0x20,
    /// Unsigned.
    AtLeast = 0x30,
    /// Unsigned.
    Below = 0xa0,
    SignedAtLeast = 0x70,
}

/// An atomic operation on a word of 4 or 8 bytes in memory, which returns the old word.
#[derive(Clone, Copy, Debug)]
pub enum Atomic {
    /// `old & register`; the register becomes the old word.
    And = 0x51,
    /// The register, which becomes the old word.
    Exchange = 0xe1,
    /// The register, if the old word is R0; R0 becomes the old word.
    CompareExchange = 0xf1,
}

/// How much is read or written, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    One,
    Two,
    Four,
    Eight,
}

impl Width {
    /// For a size that there is.
    pub fn of(bytes: usize) -> Option<Width> {
        Some(match bytes {
            1 => Width::One,
            2 => Width::Two,
            4 => Width::Four,
            8 => Width::Eight,
            _ => return None,
        })
    }

    pub fn bytes(self) -> usize {
        match self {
            Width::One => 1,
            Width::Two => 2,
            Width::Four => 4,
            Width::Eight => 8,
        }
    }

    pub fn code(self) -> u8 {
        match self {
            Width::Four => 0x00,
            Width::Two => 0x08,
            Width::One => 0x10,
            Width::Eight => 0x18,
        }
    }
}

/// One instruction: `struct bpf_insn`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    pub code: u8,
    pub to: u8,
    pub from: u8,
    pub offset: i16,
    pub immediate: i32,
}

impl Instruction {
    pub fn pack(self) -> u64 {
        let registers = match cfg!(target_endian = "big") {
            true => self.to << 4 | self.from,
            false => self.from << 4 | self.to,
        };
        let [o0, o1] = self.offset.to_ne_bytes();
        let [i0, i1, i2, i3] = self.immediate.to_ne_bytes();
        u64::from_ne_bytes([self.code, registers, o0, o1, i0, i1, i2, i3])
    }

    #[cfg(test)]
    pub fn unpack(packed: u64) -> Instruction {
        let [code, registers, o0, o1, i0, i1, i2, i3] = packed.to_ne_bytes();
        let (low, high) = (registers & 15, registers >> 4);
        let (to, from) = if cfg!(target_endian = "big") { (high, low) } else { (low, high) };
        let offset = i16::from_ne_bytes([o0, o1]);
        Instruction { code, to, from, offset, immediate: i32::from_ne_bytes([i0, i1, i2, i3]) }
    }
}
