//! The definitions of types, and their sizes, alignments and costs.
//!
//! Each constructor (`types/build.rs`) enforces the limits of `limits.rs`, so code that walks a
//! [`Type`] may recurse and add sizes without checks, even if the BTF comes from a hostile
//! program.

mod build;
mod record;
mod select;

use super::atom::Atom;
use super::enumeration::Enum;
use super::padding::Gap;
use std::sync::Arc;

/// The type of a key, of a value or of a part of one. Cloning is cheap: the parts are shared.
#[derive(Clone, PartialEq, Eq)]
pub enum Type {
    /// A scalar of fixed size.
    Atom(Atom),
    /// Text of at most this number of bytes, padded with NUL bytes; text of full length has no
    /// NUL.
    Char(u32),
    /// This number of bytes with an unknown type.
    Hex(u32),
    /// Elements of one type.
    Array(Arc<Array>),
    /// An integer with named values.
    Enum(Arc<Enum>),
    /// A struct or a union.
    Record(Arc<Record>),
    /// The key of an LPM trie.
    Lpm(Arc<Lpm>),
}

/// An array: `elem[len]`.
#[derive(PartialEq, Eq)]
pub struct Array {
    elem: Type,
    len: u32,
}

impl Array {
    /// Returns the type of the elements.
    pub fn elem(&self) -> &Type {
        &self.elem
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Reports whether the array has no elements, as a flexible array member does.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The key of an LPM trie, `struct bpf_lpm_trie_key` of linux/bpf.h: a prefix length in bits (32
/// bits, host byte order), then the data.
#[derive(PartialEq, Eq)]
pub struct Lpm {
    data: Type,
    // The whole key as one struct (prefixlen, then the fields of the data), if the data is a
    // struct.
    record: Option<Type>,
}

impl Lpm {
    /// Offset of the data in bytes. The kernel compares all bytes after the prefix length, so no
    /// padding can follow the prefix length.
    pub const HEADER: usize = 4;

    /// Returns the type of the data, which begins at byte [`Lpm::HEADER`] whatever its alignment.
    pub fn data(&self) -> &Type {
        &self.data
    }

    /// Returns the length of the longest prefix, in bits.
    pub fn max_prefix(&self) -> u32 {
        self.data.size() as u32 * 8
    }
}

/// Whether a [`Record`] is a struct or a union, and whether it is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordKind {
    /// The record is a union: all members begin at offset 0.
    pub union: bool,
    /// The record is packed: members are not aligned.
    pub packed: bool,
}

/// The type or the padding of one member of a struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberPart {
    /// A field with a type of its own.
    Field(Type),
    /// A bitfield: an integer, bool or enum, and the width in bits (1 to 64).
    Bits(Type, u8),
    /// Padding of this number of bytes, from the next byte boundary on.
    Pad(u32),
    /// Padding of this number of bits.
    PadBits(u32),
}

/// A member of a struct or union, as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The member's name; None for padding, and for a struct or union whose fields count as fields
    /// of the outer one.
    pub name: Option<Arc<str>>,
    /// The member's type or padding.
    pub part: MemberPart,
}

/// A field of a struct or union. The fields of nameless members count as fields of the outer
/// record.
pub(crate) struct Field {
    pub(crate) name: Arc<str>,
    pub(crate) ty: Type,
    /// Offset of the field in bits, from the start of the record.
    pub(crate) bit: u64,
    /// Width of a bitfield in bits; None for other fields.
    pub(crate) width: Option<u8>,
    /// Index of the field's first leaf among the leaves of the record (see [`Type::leaves`]).
    pub(crate) leaf: usize,
}

/// A struct or a union.
pub struct Record {
    kind: RecordKind,
    members: Box<[Member]>,
    fields: Box<[Field]>,
    gaps: Box<[Gap]>,
    size: usize,
    align: usize,
    depth: u32,
    cost: usize,
    leaves: usize,
    overlaps: bool,
}

impl Type {
    /// Returns the size in bytes, including trailing padding.
    pub fn size(&self) -> usize {
        match self {
            Type::Atom(atom) => atom.size(),
            Type::Char(n) | Type::Hex(n) => *n as usize,
            Type::Array(array) => array.elem.size() * array.len(),
            Type::Enum(e) => e.carrier().size(),
            Type::Record(record) => record.size,
            Type::Lpm(lpm) => Lpm::HEADER + lpm.data.size(),
        }
    }

    /// Returns the alignment in bytes, as in C for BPF. Text, raw bytes and LPM keys have
    /// alignment 1.
    pub fn align(&self) -> usize {
        match self {
            Type::Atom(atom) => atom.align(),
            Type::Char(_) | Type::Hex(_) | Type::Lpm(_) => 1,
            Type::Array(array) => array.elem.align(),
            Type::Enum(e) => e.carrier().align(),
            Type::Record(record) => record.align,
        }
    }

    pub(super) fn depth(&self) -> u32 {
        match self {
            Type::Array(array) => array.elem.depth() + 1,
            Type::Record(record) => record.depth,
            Type::Lpm(lpm) => lpm.data.depth() + 2,
            _ => 0,
        }
    }

    /// Returns a bound on the length of the notation in bytes; the memory that the type uses is
    /// proportional to the bound.
    pub(super) fn cost(&self) -> usize {
        match self {
            Type::Atom(_) => 4,
            Type::Char(_) | Type::Hex(_) => 16,
            Type::Array(array) => array.elem.cost() + 16,
            Type::Enum(e) => e.cost(),
            Type::Record(record) => record.cost,
            Type::Lpm(lpm) => lpm.record.as_ref().unwrap_or(&lpm.data).cost() + 8,
        }
    }

    /// Returns the number of leaves: a struct has the leaves of all its fields; any other type is
    /// one leaf. The plain form prints a `name=value` word for each leaf.
    pub(super) fn leaves(&self) -> usize {
        match self {
            Type::Record(record) => record.leaves,
            Type::Lpm(lpm) => lpm.record.as_ref().map_or(1, Type::leaves),
            _ => 1,
        }
    }

    /// Reports whether two fields can share bits, which requires a union in the type.
    pub(super) fn overlaps(&self) -> bool {
        match self {
            Type::Array(array) => array.elem.overlaps(),
            Type::Record(record) => record.overlaps,
            Type::Lpm(lpm) => lpm.data.overlaps(),
            _ => false,
        }
    }

    /// Returns the record whose fields are the words of this type: of a struct, of a union, or of
    /// an LPM key whose data is a struct.
    pub(super) fn as_record(&self) -> Option<&Record> {
        match self {
            Type::Record(record) => Some(record),
            Type::Lpm(lpm) => lpm.record.as_ref().and_then(Type::as_record),
            _ => None,
        }
    }
}
