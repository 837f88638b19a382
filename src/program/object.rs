//! What the iterators over maps and over programs have in common: a line for each object.

use super::assembler::Register::{self, *};
use super::assembler::{If, Label, Op, Width};
use super::kernel::{Members, Unsupported};
use super::printer::Printer;
use bpf_layout::Btf;

/// Where a seq_file has the number of bytes in its buffer: offset and size.
pub type Buffered = (i16, usize);

/// That of the kernel with this BTF.
pub fn buffered(btf: &Btf) -> Result<Buffered, Unsupported> {
    Members::of(btf, "seq_file").find("count")
}

impl Printer {
    /// Begins an iterator: prints `header` first, and ends after the last object. `struct bpf_iter__*`
    /// has the metadata and the object, which becomes R7 and is null after the last one;
    /// `struct bpf_iter_meta` the seq_file and, third, how many objects there were.
    pub fn begin_object(&mut self, header: &[u8], buffered: Buffered) {
        let (no_header, object) = (self.asm.label(), self.asm.label());
        self.asm.load(Width::Eight, R7, R1, 8);
        self.begin_output(buffered, no_header);
        self.text(header);
        self.flush();
        self.asm.put(no_header);
        self.asm.jump_if(If::NotEqual, R7, 0, object);
        self.end();
        self.asm.put(object);
    }

    /// R6 becomes the seq_file of the context in R1; jumps to `later` unless nothing was printed yet.
    /// R7 is null after the last object.
    ///
    /// The kernel's number of objects does not distinguish one object from none. But if there was one, its text is in
    /// the buffer still.
    pub fn begin_output(&mut self, (offset, size): Buffered, later: Label) {
        let first = self.asm.label();
        self.asm.load(Width::Eight, R1, R1, 0);
        self.asm.load(Width::Eight, R6, R1, 0);
        self.asm.load(Width::Eight, R1, R1, 16);
        self.asm.jump_if(If::NotEqual, R1, 0, later);
        self.asm.jump_if(If::NotEqual, R7, 0, first);
        self.load(R1, R6, (offset, size));
        self.asm.jump_if(If::NotEqual, R1, 0, later);
        self.asm.put(first);
    }

    /// Ends the program; the kernel goes on with the next object.
    pub fn end(&mut self) {
        self.asm.set(R0, 0);
        self.asm.exit();
    }

    /// Loads a member of an object.
    pub fn load(&mut self, to: Register, object: Register, (offset, size): (i16, usize)) {
        self.asm.load(Width::of(size).unwrap_or(Width::Eight), to, object, offset);
    }

    /// Prints a member of an object.
    pub fn number(&mut self, conversion: &str, object: Register, member: (i16, usize)) {
        self.reserve(8);
        self.load(R1, object, member);
        self.argument(conversion, R1);
    }

    /// `to` becomes the address of the name in `object`, or of `-` if it is empty.
    pub fn name(&mut self, to: Register, object: Register, offset: i16) {
        let named = self.asm.label();
        self.asm.load(Width::One, R1, object, offset);
        self.asm.set(to, object);
        self.asm.op(Op::Add, to, i32::from(offset));
        self.asm.jump_if(If::NotEqual, R1, 0, named);
        let dash = self.asm.add_constant(b"-\0");
        self.asm.constant(to, dash);
        self.asm.put(named);
    }
}
