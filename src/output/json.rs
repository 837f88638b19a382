//! Entries as JSON.

use super::element::{ElementFormat, Integers, Shown};
use bpf_layout::{Slot, Type, print};

/// Entries as `{"key":…,"value":…}`, with `"sum":true` if numbers were summed over CPUs, or with
/// `"values":[…]` of every CPU: one line per entry (JSON lines), or these lines as one array.
pub struct JsonElements<'t> {
    key: &'t Type,
    value: Slot<'t>,
    array: bool,
    integers: Integers,
    first: bool,
}

impl<'t> JsonElements<'t> {
    pub fn new(
        key: &'t Type,
        value: &'t Type,
        array: bool,
        integers: Integers,
    ) -> JsonElements<'t> {
        JsonElements { key, value: value.into(), array, integers, first: true }
    }
}

/// Appends the member `sum`, which is true if the value before it contains sums over all CPUs.
pub fn push_sum(value: Slot, out: &mut Vec<u8>) {
    let sum = print::has_sums(value);
    out.extend_from_slice(if sum { b",\"sum\":true" } else { b",\"sum\":false" });
}

impl ElementFormat for JsonElements<'_> {
    fn begin(&mut self, _pass: usize, out: &mut Vec<u8>) {
        if self.array {
            out.push(b'[');
        }
    }

    fn element(&mut self, key: &[u8], value: Shown, out: &mut Vec<u8>) {
        if self.array {
            out.extend_from_slice(if self.first { b"\n" } else { b",\n" });
            self.first = false;
        }
        out.extend_from_slice(b"{\"key\":");
        self.integers.json(self.key, key, out);
        out.extend_from_slice(match value {
            Shown::Each(_) => b",\"values\":".as_slice(),
            _ => b",\"value\":",
        });
        value.json(self.value, self.integers, out);
        if let Shown::Sum(_) = value {
            push_sum(self.value, out);
        }
        out.extend_from_slice(if self.array { b"}" } else { b"}\n" });
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.array {
            out.extend_from_slice(if self.first { b"]\n" } else { b"\n]\n" });
        }
    }
}
