//! The bytes of a value that belong to the kernel: locks, timers and similar structs, which
//! `resolver` converts to structs without fields. User space neither reads nor writes them.

use super::{Slot, Type};
use std::ops::Range;

impl Type {
    /// Returns the ranges of bytes that belong to the kernel, in the order of the members.
    pub fn kernel_bytes(&self) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        collect_ranges(self.into(), &mut ranges);
        ranges
    }
}

fn collect_ranges(slot: Slot<'_>, ranges: &mut Vec<Range<usize>>) {
    if let Some(record) = slot.record() {
        if record.fields().is_empty() {
            ranges.push(slot.offset()..slot.offset() + slot.len());
        }
        record.fields().iter().for_each(|field| collect_ranges(slot.field(field), ranges));
        return;
    }
    let Type::Array(array) = slot.ty() else { return };
    let mut first = Vec::new();
    collect_ranges(Slot::from(array.elem()), &mut first);
    if !first.is_empty() {
        (0..array.len()).for_each(|at| collect_ranges(slot.element(array.elem(), at), ranges));
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::ty;

    #[test]
    fn only_empty_structs_are_kernel_bytes() {
        let table: [(&str, &[(usize, usize)]); 6] = [
            ("u32", &[]),
            ("struct{a: u8, b: u32}", &[]),
            ("struct{a: u32, lock: struct{pad[4]}, b: u64}", &[(4, 8)]),
            ("struct{a: struct{b: u32, t: struct{pad[16]}}, c: u32}", &[(4, 20)]),
            ("struct{pad[8], a: u64}", &[]),
            (
                "packed struct{a: packed struct{b: u8, l: struct{pad[2]}}[3]}",
                &[(1, 3), (4, 6), (7, 9)],
            ),
        ];
        for (notation, expected) in table {
            let ranges = ty(notation).kernel_bytes();
            let ranges: Vec<_> = ranges.iter().map(|range| (range.start, range.end)).collect();
            assert_eq!(ranges, expected, "{notation}");
        }
    }
}
