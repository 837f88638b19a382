//! Typedefs that are named after types of the notation which C does not have, as `write` makes them.

use super::Resolver;
use crate::btf::{BtfError, RawType, entries};
use crate::{Atom, AtomClass, Lpm, Type};

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

impl Resolver<'_, '_> {
    /// The key of an LPM trie: the data follows the prefix length directly.
    pub(super) fn resolve_lpm(
        &mut self,
        raw: &RawType<'_>,
        depth: u32,
    ) -> Result<Option<Type>, BtfError> {
        let mut members = entries::<3>(raw.tail);
        let (Some([_, prefix, 0]), Some([_, data, 32]), None) =
            (members.next(), members.next(), members.next())
        else {
            return self.resolve_record(raw, depth);
        };
        if self.btf.byte_size(prefix)? as usize != Lpm::HEADER {
            return self.resolve_record(raw, depth);
        }
        Ok(Type::lpm(self.resolve_type(data, depth + 2)?).ok())
    }
}
