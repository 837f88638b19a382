//! Scalars and text, one after the other, with the text between them.

use super::format::Cpus;
use super::generator::{Generator, Place, Quoting, double_quotes};
use super::unprintable::{LeafError, check};
use bpf_layout::print::{Leaf, Piece, Style, has_sums};
use bpf_layout::{Atom, AtomClass, Type};

impl Generator {
    pub(super) fn pieces(
        &mut self,
        pieces: &[Piece],
        place: Place,
        cpus: Cpus,
    ) -> Result<(), LeafError> {
        for piece in pieces {
            match piece {
                Piece::Text(text) if self.quoting == Quoting::Doubled => {
                    self.text(&double_quotes(text));
                }
                Piece::Text(text) => self.text(text),
                Piece::Leaf(leaf) => self.leaf(leaf, place, cpus)?,
            }
        }
        Ok(())
    }

    fn leaf(&mut self, leaf: &Leaf, place: Place, cpus: Cpus) -> Result<(), LeafError> {
        let slot = leaf.slot();
        check(slot)?;
        let (stride, count) = match cpus {
            Cpus::Sum { stride, count } => (stride, count),
            _ => (0, 1),
        };
        // In a sum, the text - must differ from the mark for CPUs that disagree.
        let is_sum = matches!(cpus, Cpus::Sum { .. });
        if count == 1 {
            self.one(leaf, place, is_sum);
        } else if has_sums(slot) {
            self.sum(slot, place, stride, count);
            self.length += 40;
        } else {
            self.out.flush();
            let (differ, after, _) = self.labels();
            self.check_agreement(slot, place, (stride, count), differ);
            self.one(leaf, place, is_sum);
            self.out.flush();
            self.out.asm.jump(after);
            self.out.asm.put(differ);
            self.text(if leaf.style == Style::Json { b"null" } else { b"-" });
            self.out.flush();
            self.out.asm.put(after);
        }
        Ok(())
    }

    /// Prints one value.
    fn one(&mut self, leaf: &Leaf, place: Place, is_sum: bool) {
        let (slot, style) = (leaf.slot(), leaf.style);
        let at = Place { offset: place.offset + slot.offset() as u32, ..place };
        match slot.ty() {
            Type::Char(len) => self.characters(*len as usize, at, style, is_sum),
            Type::Hex(0) if style == Style::Cell && self.quoting == Quoting::Cell => {
                self.text(b"\"\"");
            }
            Type::Hex(len) => {
                self.quotes(style);
                self.hex(at, *len as usize);
                self.quotes(style);
            }
            Type::Enum(names) => {
                let named = |number: i128| {
                    let name = names.name_of(number).unwrap_or_default();
                    let mut text = name.as_bytes().to_vec();
                    if style == Style::Json {
                        text = [b"\"", &text[..], b"\""].concat();
                    }
                    let doubled = self.quoting == Quoting::Doubled;
                    (number as u64, if doubled { double_quotes(&text) } else { text })
                };
                let mut numbers: Vec<i128> = names.names().map(|(_, number)| number).collect();
                numbers.sort_unstable();
                numbers.dedup();
                let names = numbers.into_iter().map(named).collect();
                self.name(slot, place, names);
            }
            Type::Atom(Atom::Bool) => {
                self.name(slot, place, vec![(0, b"false".to_vec()), (1, b"true".to_vec())]);
            }
            Type::Atom(Atom::Ptr) => self.pointer(slot, place, style),
            Type::Atom(atom) if atom.class() == AtomClass::Address => {
                self.quotes(style);
                self.address(*atom, at);
                self.quotes(style);
            }
            _ => self.number(slot, place),
        }
    }
}
