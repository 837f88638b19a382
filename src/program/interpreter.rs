//! Runs generated programs in tests: the instructions and helpers that they use, on memory of the
//! test's. The kernel's verifier is not replaced by it.

mod element;

pub use element::change;

use super::assembler::{Code, Instruction};

const CONTEXT: u64 = 1 << 32;
const META: u64 = 2 << 32;
const CONSTANTS: u64 = 3 << 32;
const KEY: u64 = 4 << 32;
const VALUE: u64 = 5 << 32;
const STACK: u64 = 6 << 32;
const STACK_SIZE: u64 = 512;

const SEQ: u64 = 7 << 32;
const MAP: u64 = 8 << 32;

/// Where the seq_file has the number of bytes in its buffer.
pub const BUFFERED: (i16, usize) = (24, 8);

/// What the program prints for an entry, if it has the number `before`, or after the last one, with
/// `buffered` bytes in the buffer.
pub fn print(code: &Code, entry: Option<(&[u8], &[u8])>, before: u64, buffered: u64) -> Vec<u8> {
    let (key, value) = entry.unwrap_or_default();
    let null = |address: u64| if entry.is_some() { address } else { 0 };
    let context = [META, 0, null(KEY), null(VALUE)].map(u64::to_ne_bytes).concat();
    let meta = [SEQ, 0, before].map(u64::to_ne_bytes).concat();
    let memory = vec![
        (CONTEXT, context),
        (META, meta),
        (CONSTANTS, code.constants.clone()),
        (KEY, key.to_vec()),
        (VALUE, value.to_vec()),
        (SEQ, [0, 0, 0, buffered].map(u64::to_ne_bytes).concat()),
        (STACK, vec![0xa5; STACK_SIZE as usize]),
    ];
    let mut machine = Machine::new(memory);
    assert_eq!(machine.run(code), 0);
    machine.out
}

/// Changes the value as another writer would.
type Interfere = Box<dyn FnMut(&mut [u8])>;

struct Machine {
    registers: [u64; 11],
    memory: Vec<(u64, Vec<u8>)>,
    out: Vec<u8>,
    is_locked: bool,
    interfere: Interfere,
}

impl Machine {
    fn new(memory: Vec<(u64, Vec<u8>)>) -> Machine {
        let mut registers = [0xdead; 11];
        registers[1] = CONTEXT;
        registers[10] = STACK + STACK_SIZE;
        let (out, interfere) = (Vec::new(), Box::new(|_: &mut [u8]| ()));
        Machine { registers, memory, out, is_locked: false, interfere }
    }

    fn bytes(&mut self, at: u64, len: usize) -> &mut [u8] {
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

    fn run(&mut self, code: &Code) -> u64 {
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

    fn call(&mut self, helper: i32) {
        if !matches!(helper, 126 | 127) {
            let returned = self.call_for_element(helper);
            self.registers[..6].fill(0xdead);
            self.registers[0] = returned;
            return;
        }
        let [_, seq, data, len, arguments, size, ..] = self.registers;
        assert_eq!(seq, SEQ);
        let text = self.bytes(data, len as usize).to_vec();
        match helper {
            127 => self.out.extend(text),
            126 => {
                let (format, nul) = text.split_at(text.len() - 1);
                assert_eq!(nul, [0]);
                let words = self.bytes(arguments, size as usize).to_vec();
                let words =
                    words.chunks_exact(8).map(|w| u64::from_ne_bytes(w.try_into().expect("8")));
                let text = printf(std::str::from_utf8(format).expect("ASCII"), words);
                self.out.extend(text.into_bytes());
            }
            other => panic!("helper {other}"),
        }
        self.registers[..6].fill(0xdead);
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

fn printf(format: &str, mut arguments: impl Iterator<Item = u64>) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some((text, after)) = rest.split_once('%') {
        out += text;
        let end = after.find(|c: char| !c.is_ascii_digit() && c != 'l').expect("a conversion") + 1;
        let (conversion, after) = after.split_at(end);
        rest = after;
        if conversion == "%" {
            out += "%";
            continue;
        }
        let (width, kind) = conversion.split_once("ll").expect("ll");
        let number = arguments.next().expect("an argument");
        let text = match kind {
            "u" => number.to_string(),
            "d" => (number as i64).to_string(),
            "x" => format!("{number:x}"),
            other => panic!("conversion {other}"),
        };
        let width = width.parse().unwrap_or(0);
        out += &"0".repeat(usize::saturating_sub(width, text.len()));
        out += &text;
    }
    assert_eq!(arguments.next(), None);
    out + rest
}
