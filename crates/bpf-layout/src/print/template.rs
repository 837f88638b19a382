//! The output of a form except for the values, for programs that print values in the kernel, where
//! this code cannot run.

use super::leaf::Style;
use super::values::{PaddingValue, Values};
use crate::padding::Gap;
use crate::{Number, Slot, Type};
use std::cell::RefCell;

/// A part of what is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The same for all values.
    Text(Vec<u8>),
    /// A scalar, text, raw bytes or an LPM key.
    Leaf(Leaf),
}

/// A leaf, and how it is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    ty: Type,
    bit: u64,
    width: Option<u8>,
    /// How it is quoted.
    pub style: Style,
}

impl Leaf {
    /// Where it is in the value.
    pub fn slot(&self) -> Slot<'_> {
        Slot { ty: &self.ty, bit: self.bit, width: self.width }
    }
}

/// Used in place of a value: records the leaves, and has no padding.
#[derive(Debug, Default)]
pub struct AllValues {
    /// Each with the length of the text before it.
    leaves: RefCell<Vec<(usize, Leaf)>>,
}

impl Values for AllValues {
    fn leaf(&self, slot: Slot<'_>, style: Style, out: &mut Vec<u8>) {
        let leaf = Leaf { ty: slot.ty.clone(), bit: slot.bit, width: slot.width, style };
        self.leaves.borrow_mut().push((out.len(), leaf));
    }

    fn number(&self, _: Slot<'_>) -> Option<Number> {
        None
    }

    fn padding(&self, _: usize, _: &Gap) -> Option<PaddingValue> {
        None
    }
}

/// What `print` prints of a value: `|values, out| print::plain(&ty, values, out)`.
pub fn template(print: impl FnOnce(&AllValues, &mut Vec<u8>)) -> Vec<Piece> {
    let (values, mut out) = (AllValues::default(), Vec::new());
    print(&values, &mut out);
    let (mut pieces, mut from) = (Vec::new(), 0);
    for (at, leaf) in values.leaves.into_inner() {
        if at > from {
            pieces.push(Piece::Text(out[from..at].to_vec()));
        }
        pieces.push(Piece::Leaf(leaf));
        from = at;
    }
    if from < out.len() {
        pieces.push(Piece::Text(out[from..].to_vec()));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print::{json, plain};
    use crate::tests::arbitrary::values;
    use proptest::prelude::*;

    proptest! {
        /// A template filled with the leaves of a value is the output of the form, unless the
        /// value has padding.
        #[test]
        fn template_filled_with_leaves_is_the_text((ty, bytes) in values()) {
            let fill = |pieces: Vec<Piece>| {
                let mut out = Vec::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => out.extend(text),
                        Piece::Leaf(leaf) => bytes.leaf(leaf.slot(), leaf.style, &mut out),
                    }
                }
                String::from_utf8(out).expect("UTF-8")
            };
            let (mut words, mut tree) = (Vec::new(), Vec::new());
            plain(&ty, &bytes[..], &mut words);
            json(&ty, &bytes[..], &mut tree);
            prop_assume!(!words.contains(&b'@') && !tree.contains(&b'@'));
            prop_assert_eq!(fill(template(|values, out| plain(&ty, values, out))).into_bytes(), words);
            prop_assert_eq!(fill(template(|values, out| json(&ty, values, out))).into_bytes(), tree);
        }
    }
}
