//! `load --replace --dry-run`: one line for each entry that would be written or removed.

use super::difference::{Difference, DifferingEntry};
use super::elements::Elements;
use crate::cli::map::output::Output;
use crate::cli::map::target::Target;
use crate::cli::map::target::cpus::Placement;
use crate::cli::map::target::origin::LayoutPart;
use crate::output::element::{Integers, Shown};
use bpf_layout::Type;
use bpf_layout::print::{self, PerCpu};

/// Prints changes, in text unless `json` is given.
pub struct DryRun<'t> {
    pub target: &'t Target,
    pub key_type: &'t Type,
    pub elements: &'t Elements<'t>,
    pub placement: Placement,
    pub json: Option<Integers>,
}

impl DryRun<'_> {
    /// Returns whether anything would change.
    pub fn print(&self, difference: &mut Difference, out: &mut Output) -> anyhow::Result<bool> {
        self.target.warn_of_guess(&LayoutPart::BOTH);
        // In a batch it may print any number of lines, as it does alone.
        out.many();
        let mut any = false;
        difference.each(|change| {
            if self.json.is_some() {
                out.data.extend_from_slice(if any { b",\n" } else { b"[\n" });
            }
            any = true;
            self.line(&change, &mut out.data);
            out.spill()
        })?;
        if self.json.is_some() {
            out.data.extend_from_slice(if any { b"\n]\n" } else { b"[]\n" });
        }
        Ok(any)
    }

    fn line(&self, change: &DifferingEntry, out: &mut Vec<u8>) {
        let zero = || vec![0; self.target.map.value_len()];
        let keeps = self.target.map.info().map_type.keeps_elements();
        let (key, old, new) = match *change {
            DifferingEntry::Add { element } => {
                (self.elements.keys(element, 1), None, Some(self.new_value(element, zero())))
            }
            DifferingEntry::Set { element, old } => {
                let new = self.new_value(element, old.to_vec());
                (self.elements.keys(element, 1), Some(old), Some(new))
            }
            DifferingEntry::Remove { key, old } => {
                (key, Some(old), keeps.then(|| self.cleared(old)))
            }
        };
        match self.json {
            None => self.text(key, old, new.as_deref(), out),
            Some(integers) => {
                out.extend_from_slice(b"{\"key\":");
                integers.json(self.key_type, key, out);
                for (name, value) in [("old", old), ("new", new.as_deref())] {
                    if let Some(value) = value {
                        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
                        self.shown(value).json((&self.target.layout.value).into(), integers, out);
                    }
                }
                out.push(b'}');
            }
        }
    }

    /// `+ KEY<TAB>VALUE`, `~ KEY<TAB>OLD -> NEW` or `- KEY`.
    fn text(&self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>, out: &mut Vec<u8>) {
        let value = |bytes: &[u8], out: &mut Vec<u8>| {
            self.shown(bytes).plain((&self.target.layout.value).into(), out);
        };
        out.extend_from_slice(match (old, new) {
            (None, _) => b"+ ",
            (_, None) => b"- ",
            _ => b"~ ",
        });
        print::plain(self.key_type, key, out);
        if let Some(new) = new {
            out.push(b'\t');
            if let Some(old) = old {
                value(old, out);
                out.extend_from_slice(b" -> ");
            }
            value(new, out);
        }
        out.push(b'\n');
    }

    /// The whole value after the write; `old` is the value before it.
    fn new_value(&self, element: usize, mut old: Vec<u8>) -> Vec<u8> {
        if self.placement.keeps_others() {
            self.elements.put(element, &mut old);
            return old;
        }
        let mut new = Vec::new();
        self.elements.append(element, &mut new);
        new
    }

    /// The whole value after a removal that sets it to zero.
    fn cleared(&self, old: &[u8]) -> Vec<u8> {
        let mut new = old.to_vec();
        self.placement.clear(&self.target.map, &mut new);
        new
    }

    fn shown<'b>(&self, value: &'b [u8]) -> Shown<'b> {
        match self.target.is_per_cpu() {
            true => Shown::Each(PerCpu::new(value, self.target.map.stride())),
            false => Shown::One(value),
        }
    }
}
