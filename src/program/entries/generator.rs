//! A program in the making, and what all that is printed needs: text, labels, values in memory.

use crate::program::assembler::Register::{self, *};
use crate::program::assembler::{Label, Op, Width};
use crate::program::printer::Printer;
use bpf_layout::print::Style;

/// Where a value is in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub base: Register,
    /// In bytes.
    pub offset: u32,
}

/// What CSV does to quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoting {
    None,
    /// In a cell that is quoted.
    Doubled,
    /// Text that is a whole cell, and may have to be quoted.
    Cell,
}

/// A program in the making. R6 is the seq_file, R7 the key, R8 the value.
pub(super) struct Generator {
    pub out: Printer,
    pub quoting: Quoting,
    /// Where the table for text is, once there is one.
    pub machine: Option<u32>,
    /// The greatest length of a record in bytes.
    pub length: usize,
}

pub(super) const KEY: Place = Place { base: R7, offset: 0 };
pub(super) const VALUE: Place = Place { base: R8, offset: 0 };

impl Generator {
    pub(super) fn text(&mut self, text: &[u8]) {
        self.length += text.len();
        self.out.text(text);
    }

    pub(super) fn argument(&mut self, conversion: &str, from: Register) {
        self.out.argument(conversion, from);
    }

    /// The quotes around what needs no escapes, in JSON only.
    pub(super) fn quotes(&mut self, style: Style) {
        match (style, self.quoting) {
            (Style::Json, Quoting::Doubled) => self.text(b"\"\""),
            (Style::Json, _) => self.text(b"\""),
            _ => {}
        }
    }

    pub(super) fn labels(&mut self) -> (Label, Label, Label) {
        let asm = &mut self.out.asm;
        (asm.label(), asm.label(), asm.label())
    }

    /// Writes text now, on one of several paths.
    pub(super) fn literal(&mut self, text: &[u8]) {
        self.text(text);
        self.out.flush();
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
}

/// Doubles quotes, as CSV does in a quoted cell.
pub(super) fn double_quotes(text: &[u8]) -> Vec<u8> {
    let mut doubled = Vec::with_capacity(text.len());
    for byte in text {
        doubled.push(*byte);
        if *byte == b'"' {
            doubled.push(b'"');
        }
    }
    doubled
}
