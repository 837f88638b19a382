//! Code that prints into the file of an iterator: text, and numbers and strings by
//! bpf_seq_printf, whose arguments are collected so that there are few calls.

use super::assembler::Register::{self, *};
use super::assembler::{Assembler, Width};

/// BPF_FUNC_seq_printf and BPF_FUNC_seq_write.
const SEQ_PRINTF: i32 = 126;
const SEQ_WRITE: i32 = 127;
/// MAX_BPRINTF_VARARGS.
const MAX_ARGUMENTS: usize = 12;
/// Bytes that the arguments of a call may take in the kernel: MAX_BPRINTF_BUF_LEN is 512 before Linux
/// 6.6, and strings and alignment take more than is counted here.
const MAX_BYTES: usize = 400;
/// The longest format of a call.
const MAX_FORMAT: usize = 1024;

/// Where on the stack the arguments of a call begin.
pub const ARGUMENTS: i16 = -8 * MAX_ARGUMENTS as i16;

/// An assembler whose register R6 has the seq_file. Text to print is collected: call
/// [`Printer::flush`] before code that jumps.
#[derive(Debug, Default)]
pub struct Printer {
    pub asm: Assembler,
    format: Vec<u8>,
    arguments: usize,
    bytes: usize,
}

impl Printer {
    /// Prints text.
    pub fn text(&mut self, text: &[u8]) {
        for byte in text {
            self.format.push(*byte);
            if *byte == b'%' {
                self.format.push(b'%');
            }
        }
        if self.format.len() > MAX_FORMAT {
            self.flush();
        }
    }

    /// Makes room for an argument that takes at most `bytes` bytes, before its register is loaded.
    pub fn reserve(&mut self, bytes: usize) {
        if self.arguments == MAX_ARGUMENTS || self.bytes + bytes > MAX_BYTES {
            self.flush();
        }
        self.bytes += bytes;
    }

    /// Prints a register by a conversion such as `%llu`, for which there is room.
    pub fn argument(&mut self, conversion: &str, from: Register) {
        let place = ARGUMENTS + 8 * self.arguments as i16;
        self.asm.store(Width::Eight, R10, place, from);
        self.arguments += 1;
        self.format.extend_from_slice(conversion.as_bytes());
    }

    /// Prints the collected text. R0 to R5 are lost.
    pub fn flush(&mut self) {
        self.bytes = 0;
        let mut format = std::mem::take(&mut self.format);
        let arguments = std::mem::take(&mut self.arguments);
        if format.is_empty() {
            return;
        }
        if arguments == 0 && !format.contains(&b'%') {
            let at = self.asm.add_constant(&format);
            self.asm.constant(R2, at);
            self.asm.set(R3, format.len() as i32);
            self.write();
            return;
        }
        format.push(0);
        let at = self.asm.add_constant(&format);
        self.asm.set(R1, R6);
        self.asm.constant(R2, at);
        self.asm.set(R3, format.len() as i32);
        self.asm.set(R4, R10);
        self.asm.op(super::assembler::Op::Add, R4, i32::from(ARGUMENTS));
        self.asm.set(R5, 8 * arguments as i32);
        self.asm.call(SEQ_PRINTF);
    }

    /// Writes the R3 bytes at R2. R0 to R5 are lost.
    pub fn write(&mut self) {
        self.asm.set(R1, R6);
        self.asm.call(SEQ_WRITE);
    }
}
