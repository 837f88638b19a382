//! Entries as `key<TAB>value` lines, which `while IFS=$'\t' read -r key value` reads.

use super::element::{ElementFormat, Shown};
use bpf_layout::{Slot, Type, print};

/// One line per entry. The values of several CPUs have a tab before each.
pub struct Plain<'t> {
    key: &'t Type,
    value: Slot<'t>,
}

impl<'t> Plain<'t> {
    pub fn new(key: &'t Type, value: &'t Type) -> Plain<'t> {
        Plain { key, value: value.into() }
    }
}

impl ElementFormat for Plain<'_> {
    fn element(&mut self, key: &[u8], value: Shown, out: &mut Vec<u8>) {
        print::plain(self.key, key, out);
        out.push(b'\t');
        value.plain(self.value, out);
        out.push(b'\n');
    }
}
