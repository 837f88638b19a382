//! The common part of programs that change an element of a map: the context by which they are called,
//! the lookup, the spin lock, and the result.

use super::assembler::Register::{self, *};
use super::assembler::{Assembler, If, Label, Op, Width};
use std::ops::Range;

/// BPF_FUNC_map_lookup_elem, _spin_lock, _spin_unlock and _map_lookup_percpu_elem.
const LOOKUP: i32 = 1;
const LOCK: i32 = 93;
const UNLOCK: i32 = 94;
const LOOKUP_PER_CPU: i32 = 195;

/// The longest key: the stack has 512 bytes.
pub const MAX_KEY: usize = 448;
/// The longest context that instructions can address.
pub const MAX_CONTEXT: usize = 32_760;
/// How often a program tries to exchange a word before it gives up: a loop that the verifier has to follow
/// is refused without CAP_PERFMON.
pub const TRIES: usize = 8;

/// Where the context has the CPU whose value is changed, if that is not the running one.
pub const CPU: usize = 0;
/// Where the part of the context begins that depends on the program.
pub const ARGUMENTS: usize = 8;

/// The map of a program, as far as instructions depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapShape {
    pub key_size: usize,
    pub value_size: usize,
    /// Where the value has a spin lock.
    pub lock: Option<usize>,
    /// Whether the values of another CPU than the running one are changed.
    pub other_cpu: bool,
}

/// How a change of a value ended: what a program returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    Done = 0,
    /// There is no such key.
    Missing = 1,
    /// Nothing was changed, because of what the value is.
    Refused = 2,
}

/// What a program returns instead if other writers changed the value at each of its attempts: it is to
/// be run again.
pub const CONTENDED: u32 = 3;

impl RunOutcome {
    pub fn new(returned: u32) -> Option<RunOutcome> {
        use RunOutcome::*;
        [Done, Missing, Refused].into_iter().find(|known| *known as u32 == returned)
    }
}

/// Begins a program: R6 becomes the context.
pub fn begin() -> Assembler {
    let mut asm = Assembler::default();
    asm.set(R6, R1);
    asm
}

impl MapShape {
    /// R7 becomes the address of the value, whose key is in the context at `key`; the lock is held. R0
    /// to R5 are lost.
    pub fn find(&self, asm: &mut Assembler, key: usize, missing: Label) {
        let stack = -(self.key_size.next_multiple_of(8) as i16);
        for (at, width) in pieces(0..self.key_size) {
            asm.load(width, R2, R6, (key + at) as i16);
            asm.store(width, R10, stack + at as i16, R2);
        }
        asm.map(R1);
        asm.set(R2, R10);
        asm.op(Op::Add, R2, i32::from(stack));
        if self.other_cpu {
            asm.load(Width::Eight, R3, R6, CPU as i16);
            asm.call(LOOKUP_PER_CPU);
        } else {
            asm.call(LOOKUP);
        }
        asm.jump_if(If::Equal, R0, 0, missing);
        asm.set(R7, R0);
        self.call_with_lock(asm, LOCK);
    }

    /// Releases the lock. R0 to R5 are lost if there is one.
    pub fn release(&self, asm: &mut Assembler) {
        self.call_with_lock(asm, UNLOCK);
    }

    fn call_with_lock(&self, asm: &mut Assembler, helper: i32) {
        if let Some(offset) = self.lock {
            asm.set(R1, R7);
            asm.op(Op::Add, R1, offset as i32);
            asm.call(helper);
        }
    }
}

/// Ends a program with an outcome in `status`.
pub fn end(asm: &mut Assembler, status: Register) {
    asm.set(R0, status);
    asm.exit();
}

/// The widest aligned pieces of some bytes: where they begin.
pub fn pieces(bytes: Range<usize>) -> impl Iterator<Item = (usize, Width)> {
    let mut at = bytes.start;
    std::iter::from_fn(move || {
        let widths = [Width::Eight, Width::Four, Width::Two, Width::One];
        let fits =
            |width: &Width| at.is_multiple_of(width.bytes()) && at + width.bytes() <= bytes.end;
        let width = widths.into_iter().find(fits)?;
        at += width.bytes();
        Some((at - width.bytes(), width))
    })
}
