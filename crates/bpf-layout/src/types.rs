//! The model of a layout: what a key or value is made of, with sizes known once built.
//!
//! Every constructor keeps three bounds (bytes, nesting, cost), so that whoever walks a [`Type`] may
//! recurse and add up sizes without checks, even when a hostile program wrote the BTF.

mod build;
mod record;

pub(super) use record::MemberCursor;

use super::atom::Atom;
use super::enumeration::Enum;
use super::padding::Gap;
use std::sync::Arc;

/// What some bytes mean. Cheap to clone; size and alignment are computed once, when it is built.
#[derive(Clone, PartialEq, Eq)]
pub enum Type {
    /// A scalar of fixed size.
    Atom(Atom),
    /// Text of at most so many bytes, padded with NUL bytes and not necessarily ended by one.
    Char(u32),
    /// So many bytes without known meaning.
    Hex(u32),
    /// Elements of one type.
    Array(Arc<Array>),
    /// An integer whose values have names.
    Enum(Arc<Enum>),
    /// A struct or a union.
    Record(Arc<Record>),
    /// The key of an LPM trie.
    Lpm(Arc<Lpm>),
}

/// `elem[len]`.
#[derive(PartialEq, Eq)]
pub struct Array {
    elem: Type,
    len: u32,
}

impl Array {
    /// The type of an element.
    pub fn elem(&self) -> &Type {
        &self.elem
    }

    /// How many elements.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether it has no elements, as a flexible array member has.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// `struct bpf_lpm_trie_key` (linux/bpf.h): a prefix length in bits, host byte order, then the data.
#[derive(PartialEq, Eq)]
pub struct Lpm {
    data: Type,
    // Where the data is a struct, the whole key as one: prefixlen, then the data's fields.
    record: Option<Type>,
}

impl Lpm {
    /// Bytes before the data. The kernel matches from here on, so no padding may follow.
    pub const HEADER: usize = 4;

    /// The type of the data, which starts [`Lpm::HEADER`] bytes in whatever its alignment.
    pub fn data(&self) -> &Type {
        &self.data
    }

    /// The longest prefix in bits.
    pub fn max_prefix(&self) -> u32 {
        self.data.size() as u32 * 8
    }
}

/// Which of the four kinds of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordKind {
    /// Members share their first byte.
    pub union: bool,
    /// Members are not aligned.
    pub packed: bool,
}

/// What one member of a struct or union occupies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberPart {
    /// A whole type.
    Field(Type),
    /// So many bits of an integer, bool or enum.
    Bits(Type, u8),
    /// So many bytes without a name, from the next whole byte on.
    Pad(u32),
    /// So many bits without a name.
    PadBits(u32),
}

/// A member as the notation writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// None for padding, and for a struct or union whose fields count as the outer one's.
    pub name: Option<Arc<str>>,
    /// What it occupies.
    pub part: MemberPart,
}

/// A field by its name, those of nameless members included.
pub struct Field {
    pub(crate) name: Arc<str>,
    pub(crate) ty: Type,
    /// Bits from the record's start.
    pub(crate) bit: u64,
    /// The width in bits, of a bitfield.
    pub(crate) width: Option<u8>,
    /// Number of its first leaf, counted from the record's.
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
    /// Bytes taken, trailing padding included.
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

    /// Alignment in bytes, as C on BPF has it; text, raw bytes and LPM keys have none (1).
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

    /// A bound on the length of the notation and, times a constant, on the memory taken.
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

    /// How many `name=value` words it takes as a member: a struct's add up, all else is one.
    pub(super) fn leaves(&self) -> usize {
        match self {
            Type::Record(record) => record.leaves,
            Type::Lpm(lpm) => lpm.record.as_ref().map_or(1, Type::leaves),
            _ => 1,
        }
    }

    /// Whether two fields may share bits, that is, whether there is a union in it.
    pub(super) fn overlaps(&self) -> bool {
        match self {
            Type::Array(array) => array.elem.overlaps(),
            Type::Record(record) => record.overlaps,
            Type::Lpm(lpm) => lpm.data.overlaps(),
            _ => false,
        }
    }

    /// The record whose fields make up this type's words: a struct, a union, an LPM key over one.
    pub(super) fn as_record(&self) -> Option<&Record> {
        match self {
            Type::Record(record) => Some(record),
            Type::Lpm(lpm) => lpm.record.as_ref().and_then(Type::as_record),
            _ => None,
        }
    }
}
