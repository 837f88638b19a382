//! Typedefs that are named after types of the notation which C does not have, as `write` makes them.

use crate::{Atom, AtomClass, Type};

/// A type of the notation that C does not have.
#[derive(Clone, Copy)]
pub(crate) enum Word {
    /// An integer in network byte order, or an address over an array of bytes.
    Atom(Atom),
    Hex,
    Lpm,
}

impl Word {
    /// Returns the type that a typedef of this name represents.
    pub(super) fn of_typedef(name: &str) -> Option<Word> {
        Some(Word::Atom(match name {
            "__be16" | "be16" => Atom::Be16,
            "__be32" | "be32" => Atom::Be32,
            "__be64" | "be64" => Atom::Be64,
            "ip4" => Atom::Ip4,
            "ip6" => Atom::Ip6,
            "mac" => Atom::Mac,
            "hex" => return Some(Word::Hex),
            "lpm" => return Some(Word::Lpm),
            _ => return None,
        }))
    }

    /// The type that it makes of an array of `len` bytes.
    pub(super) fn over_bytes(self, len: u32) -> Option<Type> {
        match self {
            Word::Atom(atom) if atom.class() == AtomClass::Address => Some(Type::Atom(atom)),
            Word::Hex => Some(Type::Hex(len)),
            _ => None,
        }
    }

    /// The integer that it makes of one of `size` bytes.
    pub(super) fn over_integer(self, size: usize) -> Option<Atom> {
        match self {
            Word::Atom(atom) => {
                Some(atom).filter(|atom| atom.class() == AtomClass::Network && atom.size() == size)
            }
            _ => None,
        }
    }
}
