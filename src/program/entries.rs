//! The program that prints the entries of a map: an iterator over its elements, generated for a layout
//! and a format. Its output is that of `bpf-map dump`, without padding.

mod address;
mod escape;
mod format;
mod generator;
mod leaf;
mod loops;
mod number;
mod per_cpu;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod unprintable;
mod utf8;

pub use format::{Cpus, Entries, Format};
pub use unprintable::Unprintable;

use super::assembler::Register::*;
use super::assembler::{Code, If, Width};
use super::kernel;
use super::object::{Buffered, buffered};
use super::printer::Printer;
use bpf_layout::print::{self, has_sums, template};
use bpf_layout::{Btf, Type};
use generator::{Generator, KEY, Place, Quoting, VALUE};
use table::Table;
use unprintable::LeafError;

/// The function of the kernel that the program is attached to.
const FUNCTION: &str = "bpf_iter_bpf_map_elem";
/// The kernel's buffer has 32 KiB, and a record has to fit.
const MAX_RECORD: usize = 32 << 10;

/// The program for the kernel with this BTF, and the id of [`FUNCTION`] in it.
pub fn program(btf: &Btf, entries: &Entries) -> Result<(u32, Code), Unprintable> {
    Ok((kernel::function(btf, FUNCTION)?, generate(entries, buffered(btf)?)?))
}

/// `struct bpf_iter__bpf_map_elem` has the metadata, the map, the key and the value, which are null after
/// the last entry.
fn generate(entries: &Entries, buffered: Buffered) -> Result<Code, Unprintable> {
    let out = Printer::default();
    let mut generator = Generator { out, quoting: Quoting::None, machine: None, length: 0 };
    let (no_header, entry, end) = generator.labels();
    let asm = &mut generator.out.asm;
    asm.load(Width::Eight, R7, R1, 16);
    asm.load(Width::Eight, R8, R1, 24);
    generator.out.begin_output(buffered, no_header);
    let table = match entries.format {
        Format::Table(separator) => {
            let table = Table::new(entries, separator);
            generator.text(&table.header);
            generator.out.flush();
            Some(table)
        }
        _ => None,
    };
    let asm = &mut generator.out.asm;
    asm.put(no_header);
    asm.jump_if(If::Equal, R7, 0, end);
    asm.jump_if(If::NotEqual, R8, 0, entry);
    asm.put(end);
    generator.out.end();
    generator.out.asm.put(entry);
    generator.length = 0;
    match table {
        Some(table) => generator.rows(entries, &table)?,
        None => generator.record(entries)?,
    }
    generator.out.flush();
    generator.out.end();
    if generator.length > MAX_RECORD {
        return Err(Unprintable::TooLong);
    }
    Ok(generator.out.asm.finish()?)
}

impl Generator {
    /// A line, plain or of JSON.
    fn record(&mut self, entries: &Entries) -> Result<(), Unprintable> {
        let json = entries.format == Format::JsonLines;
        let form = |ty: &Type| match json {
            true => template(|values, out| print::json(ty, values, out)),
            false => template(|values, out| print::plain(ty, values, out)),
        };
        let (key, value) = (form(entries.key), form(entries.value));
        self.text(if json { b"{\"key\":" } else { b"" });
        self.pieces(&key, KEY, Cpus::One).map_err(|e| e.of_key(entries.key))?;
        let fail = |error: LeafError| error.of_value(entries.value);
        match entries.cpus {
            Cpus::Each { stride, numbers } => {
                self.text(if json { b",\"values\":[" } else { b"\t" });
                for cpu in 0..numbers.len() as u32 {
                    if cpu > 0 {
                        self.text(if json { b"," } else { b"\t" });
                    }
                    let place = Place { offset: cpu * stride, ..VALUE };
                    self.pieces(&value, place, Cpus::One).map_err(fail)?;
                }
                self.text(if json { b"]" } else { b"" });
            }
            cpus => {
                self.text(if json { b",\"value\":" } else { b"\t" });
                self.pieces(&value, VALUE, cpus).map_err(fail)?;
            }
        }
        if json && matches!(entries.cpus, Cpus::Sum { .. }) {
            let sums = has_sums(entries.value);
            self.text(if sums { b",\"sum\":true" } else { b",\"sum\":false" });
        }
        self.text(if json { b"}\n" } else { b"\n" });
        Ok(())
    }
}
