//! The program that lists all programs: an iterator over `struct bpf_prog`.

use super::assembler::Register::*;
use super::assembler::{Code, If, Op, TooLong};
use super::kernel::{self, Members, Unmade, Unsupported};
use super::object::{Buffered, buffered};
use super::printer::Printer;
use bpf_layout::Btf;

/// The function of the kernel that the program is attached to.
const FUNCTION: &str = "bpf_iter_bpf_prog";
const HEADER: &[u8] = b"    id name             type                    attached\n";
/// Bytes of a type's name in the table, with its NUL.
const TYPE: usize = 24;

/// The program for the kernel with this BTF, and the id of [`FUNCTION`] in it. `types` are the names
/// of the types by number.
pub fn program(btf: &Btf, types: &[&str]) -> Result<(u32, Code), Unmade> {
    Ok((kernel::function(btf, FUNCTION)?, generate(&ProgramOffsets::of(btf)?, types)?))
}

/// The members that are read: offset and size.
struct ProgramOffsets {
    buffered: Buffered,
    program_type: (i16, usize),
    aux: (i16, usize),
    /// In `aux`.
    id: (i16, usize),
    name: (i16, usize),
    function: (i16, usize),
}

impl ProgramOffsets {
    fn of(btf: &Btf) -> Result<ProgramOffsets, Unsupported> {
        let (program, aux) = (Members::of(btf, "bpf_prog"), Members::of(btf, "bpf_prog_aux"));
        Ok(ProgramOffsets {
            buffered: buffered(btf)?,
            program_type: program.find("type")?,
            aux: program.find("aux")?,
            id: aux.find("id")?,
            name: aux.find("name")?,
            function: aux.find("attach_func_name")?,
        })
    }
}

fn generate(offsets: &ProgramOffsets, types: &[&str]) -> Result<Code, TooLong> {
    let mut table = Vec::new();
    for name in types {
        let mut row = name.as_bytes().to_vec();
        row.resize(TYPE, 0);
        table.extend(row);
    }
    let mut out = Printer::default();
    // R7 is the program, then its aux, R8 the name, R9 the function that it is attached to.
    out.begin_object(HEADER, offsets.buffered);
    let (unknown, end, attached) = (out.asm.label(), out.asm.label(), out.asm.label());
    out.load(R2, R7, offsets.program_type);
    out.load(R7, R7, offsets.aux);
    out.name(R8, R7, offsets.name.0);
    out.load(R9, R7, offsets.function);
    out.asm.jump_if(If::NotEqual, R9, 0, attached);
    let dash = out.asm.add_constant(b"-\0");
    out.asm.constant(R9, dash);
    out.asm.put(attached);
    let place = out.asm.add_constant(&table);
    out.asm.jump_if(If::AtLeast, R2, types.len() as i32, unknown);
    out.asm.op(Op::Mul, R2, TYPE as i32);
    out.asm.constant(R3, place);
    out.asm.op(Op::Add, R3, R2);
    row(&mut out, offsets, "%-23s");
    out.asm.jump(end);
    out.asm.put(unknown);
    out.asm.set(R3, R2);
    row(&mut out, offsets, "%-23llu");
    out.asm.put(end);
    out.end();
    out.asm.finish()
}

/// Prints a line; the type in R3 as `conversion`.
fn row(out: &mut Printer, offsets: &ProgramOffsets, conversion: &str) {
    out.number("%6llu ", R7, offsets.id);
    out.reserve(16);
    out.argument("%-16s ", R8);
    out.reserve(TYPE);
    out.argument(conversion, R3);
    out.text(b" ");
    out.reserve(128);
    out.argument("%s", R9);
    out.text(b"\n");
    out.flush();
}
