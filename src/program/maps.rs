//! The program that lists all maps: an iterator over `struct bpf_map`.

use super::assembler::Register::*;
use super::assembler::{Code, If, TooLong};
use super::kernel::{self, Members, Unmade, Unsupported};
use super::object::{Buffered, buffered};
use super::printer::Printer;
use bpf_inherit::MapType;
use bpf_layout::Btf;
use std::collections::HashMap;

/// The function of the kernel that the program is attached to.
const FUNCTION: &str = "bpf_iter_bpf_map";
const HEADER: &[u8] = b"    id name                current    maximum  users\n";

/// The program for the kernel with this BTF, and the id of [`FUNCTION`] in it. Before Linux 6.6 there are no counts.
pub fn program(btf: &Btf) -> Result<(u32, Code), Unmade> {
    Ok((kernel::function(btf, FUNCTION)?, generate(&MapOffsets::of(btf)?)?))
}

/// The counts in what the program prints, by the ids of the maps.
pub fn counts(text: &str) -> HashMap<u32, u64> {
    let count = |line: &str| {
        // The kernel accepts no spaces in names.
        let mut words = line.split_whitespace();
        let id = words.next()?.parse().ok()?;
        Some((id, words.nth(1)?.parse().ok()?))
    };
    text.lines().filter_map(count).collect()
}

/// The members that are read: offset and size.
struct MapOffsets {
    buffered: Buffered,
    id: (i16, usize),
    name: (i16, usize),
    map_type: (i16, usize),
    max_entries: (i16, usize),
    users: (i16, usize),
    /// The function that adds up the counters of entries, if the kernel has it.
    count: Option<u32>,
}

impl MapOffsets {
    fn of(btf: &Btf) -> Result<MapOffsets, Unsupported> {
        let map = Members::of(btf, "bpf_map");
        Ok(MapOffsets {
            buffered: buffered(btf)?,
            id: map.find("id")?,
            name: map.find("name")?,
            map_type: map.find("map_type")?,
            max_entries: map.find("max_entries")?,
            users: map.find("usercnt.counter")?,
            count: kernel::function(btf, "bpf_map_sum_elem_count").ok(),
        })
    }
}

fn generate(offsets: &MapOffsets) -> Result<Code, TooLong> {
    let mut out = Printer::default();
    // R7 is the map, R8 its name.
    out.begin_object(HEADER, offsets.buffered);
    out.name(R8, R7, offsets.name.0);
    let (counted, uncounted, end) = (out.asm.label(), out.asm.label(), out.asm.label());
    if let Some(count) = offsets.count {
        out.load(R1, R7, offsets.map_type);
        for map_type in MapType::COUNTED {
            out.asm.jump_if(If::Equal, R1, map_type.0 as i32, counted);
        }
        out.asm.jump(uncounted);
        out.asm.put(counted);
        out.asm.set(R1, R7);
        out.asm.call_kernel(count);
        out.asm.set(R9, R0);
        row(&mut out, offsets, true);
        out.asm.jump(end);
    }
    out.asm.put(uncounted);
    row(&mut out, offsets, false);
    out.asm.put(end);
    out.end();
    out.asm.finish()
}

/// Prints a line; with the count in R9 if there is one.
fn row(out: &mut Printer, offsets: &MapOffsets, has_count: bool) {
    out.number("%6llu ", R7, offsets.id);
    out.reserve(16);
    out.argument("%-16s", R8);
    match has_count {
        true => {
            out.reserve(8);
            out.argument(" %10lld", R9);
        }
        false => out.text(b"          -"),
    }
    out.number(" %10llu", R7, offsets.max_entries);
    out.number(" %6lld", R7, offsets.users);
    out.text(b"\n");
    out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::assembler::Instruction;

    #[test]
    fn counts_are_those_of_maps_that_have_them() {
        let text = "    id name                current    maximum  users\n     \
                    7 flows                   12       1024      3\n    \
                    12 -                        -          4      1\n  \
                    1234 a_long_name.1            0          9      1\n";
        assert_eq!(counts(text), HashMap::from([(7, 12), (1234, 0)]));
    }

    #[test]
    fn kernel_without_the_counter_is_not_asked_for_it() {
        for (count, calls) in [(Some(7), 1), (None, 0)] {
            let member = (8, 4);
            let offsets = MapOffsets {
                buffered: (24, 8),
                id: member,
                name: member,
                map_type: member,
                max_entries: member,
                users: member,
                count,
            };
            let code = generate(&offsets).expect("short");
            let unpacked = code.instructions.iter().map(|packed| Instruction::unpack(*packed));
            // BPF_PSEUDO_KFUNC_CALL
            let counts = unpacked.filter(|i| i.code == 0x85 && i.from == 2).count();
            assert_eq!(counts, calls);
        }
    }
}
