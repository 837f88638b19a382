//! Memory and registers, and the instructions that generated programs consist of.

use crate::program::assembler::{Code, Instruction};

pub(super) const CONTEXT: u64 = 1 << 32;
pub(super) const META: u64 = 2 << 32;
pub(super) const CONSTANTS: u64 = 3 << 32;
pub(super) const KEY: u64 = 4 << 32;
pub(super) const VALUE: u64 = 5 << 32;
pub(super) const STACK: u64 = 6 << 32;
pub(super) const STACK_SIZE: u64 = 512;

pub(super) const SEQ: u64 = 7 << 32;
pub(super) const MAP: u64 = 8 << 32;

/// Changes the value as another writer would.
pub(super) type Interfere = Box<dyn FnMut(&mut [u8])>;

pub(super) struct Machine {
    pub(super) registers: [u64; 11],
    pub(super) memory: Vec<(u64, Vec<u8>)>,
    pub(super) out: Vec<u8>,
    pub(super) is_locked: bool,
    pub(super) interfere: Interfere,
}

impl Machine {
    pub(super) fn new(memory: Vec<(u64, Vec<u8>)>) -> Machine {
        let mut registers = [0xdead; 11];
        registers[1] = CONTEXT;
        registers[10] = STACK + STACK_SIZE;
        let (out, interfere) = (Vec::new(), Box::new(|_: &mut [u8]| ()));
        Machine { registers, memory, out, is_locked: false, interfere }
    }

    pub(super) fn bytes(&mut self, at: u64, len: usize) -> &mut [u8] {
        let found = self.memory.iter_mut().find(|(base, _)| *base >> 32 == at >> 32);
        let (base, bytes) = found.expect("an address");
        let at = (at - *base) as usize;
        bytes.get_mut(at..at + len).expect("inside the memory")
    }

    fn load(&mut self, at: u64, len: usize) -> u64 {
        let bytes = self.bytes(at, len);
        match len {
            1 => bytes[0].into(),
            2 => u16::from_ne_bytes(bytes.try_into().expect("2")).into(),
            4 => u32::from_ne_bytes(bytes.try_into().expect("4")).into(),
            _ => u64::from_ne_bytes(bytes.try_into().expect("8")),
        }
    }

    fn store(&mut self, at: u64, size: usize, stored: u64) {
        let to = self.bytes(at, size);
        match size {
            1 => to.copy_from_slice(&(stored as u8).to_ne_bytes()),
            2 => to.copy_from_slice(&(stored as u16).to_ne_bytes()),
            4 => to.copy_from_slice(&(stored as u32).to_ne_bytes()),
            _ => to.copy_from_slice(&stored.to_ne_bytes()),
        }
    }

    pub(super) fn run(&mut self, code: &Code) -> u64 {
        let mut at = 0;
        loop {
            let i = Instruction::unpack(code.instructions[at]);
            at += 1;
            let (to, from) = (usize::from(i.to), usize::from(i.from));
            let (a, offset) = (self.registers[to], i64::from(i.offset) as u64);
            let b =
                if i.code & 8 != 0 { self.registers[from] } else { i64::from(i.immediate) as u64 };
            let size = [4, 2, 1, 8][usize::from(i.code >> 3 & 3)];
            match (i.code & 7, i.code) {
                (_, 0x18) => {
                    let next = Instruction::unpack(code.instructions[at]);
                    let wide =
                        u64::from(next.immediate as u32) << 32 | u64::from(i.immediate as u32);
                    let is_constant = code.references.contains(&(at - 1));
                    self.registers[to] = match code.map_references.contains(&(at - 1)) {
                        true => MAP,
                        false if is_constant => CONSTANTS + (wide >> 32),
                        false => wide,
                    };
                    at += 1;
                }
                (_, 0xdc) => {
                    self.registers[to] = match i.immediate {
                        16 => (a as u16).to_be().into(),
                        32 => (a as u32).to_be().into(),
                        _ => a.to_be(),
                    }
                }
                (7, op) => self.registers[to] = arithmetic(op & 0xf0, a, b),
                (1, _) => {
                    self.registers[to] = self.load(self.registers[from].wrapping_add(offset), size)
                }
                (_, 0xc3 | 0xdb) => self.exchange(i, a.wrapping_add(offset), size),
                (2 | 3, _) => {
                    let stored = match i.code & 7 {
                        3 => self.registers[from],
                        _ => i64::from(i.immediate) as u64,
                    };
                    self.store(a.wrapping_add(offset), size, stored);
                }
                (_, 0x85) => self.call(i.immediate),
                (_, 0x95) => return self.registers[0],
                (5, op) => {
                    if compare(op & 0xf0, a, b) {
                        at = (at as i64 + i64::from(i.offset)) as usize;
                    }
                }
                _ => panic!("instruction {:#x}", i.code),
            }
        }
    }

    /// An atomic operation on `size` bytes at `at`.
    fn exchange(&mut self, i: Instruction, at: u64, size: usize) {
        assert!(at.is_multiple_of(size as u64));
        if let Some((_, value)) = self.memory.iter_mut().find(|(base, _)| *base == VALUE) {
            (self.interfere)(value);
        }
        let old = self.load(at, size);
        let (from, expected) = (self.registers[usize::from(i.from)], self.registers[0]);
        let (new, returned_in) = match i.immediate {
            0x51 => (old & from, usize::from(i.from)),
            0xe1 => (from, usize::from(i.from)),
            0xf1 => (if old == expected { from } else { old }, 0),
            other => panic!("atomic operation {other:#x}"),
        };
        self.store(at, size, new);
        self.registers[returned_in] = old;
    }
}

fn arithmetic(op: u8, a: u64, b: u64) -> u64 {
    match op {
        0x00 => a.wrapping_add(b),
        0x10 => a.wrapping_sub(b),
        0x20 => a.wrapping_mul(b),
        0x30 => a.checked_div(b).unwrap_or(0),
        0x40 => a | b,
        0x50 => a & b,
        0x60 => a << b,
        0x70 => a >> b,
        0x80 => a.wrapping_neg(),
        0x90 => a.checked_rem(b).unwrap_or(a),
        0xa0 => a ^ b,
        0xb0 => b,
        0xc0 => (a as i64 >> b) as u64,
        other => panic!("operation {other:#x}"),
    }
}

fn compare(op: u8, a: u64, b: u64) -> bool {
    match op {
        0x00 => true,
        0x10 => a == b,
        0x20 => a > b,
        0x30 => a >= b,
        0x50 => a != b,
        0x70 => a as i64 >= b as i64,
        0xa0 => a < b,
        other => panic!("comparison {other:#x}"),
    }
}
