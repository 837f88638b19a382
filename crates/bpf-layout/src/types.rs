//! The model of a layout: what a key or value is made of, with sizes known once built.
//!
//! Every constructor keeps three bounds (bytes, nesting, cost), so that whoever walks a [`Type`] may
//! recurse and add up sizes without checks, even when a hostile program wrote the BTF.

use super::atom::Atom;
use super::model::{MAX_COST, MAX_DEPTH, MAX_SIZE, ModelError, is_identifier, unique};
use super::record::Record;
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
    pub(super) elem: Type,
    pub(super) len: u32,
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

/// An integer with names for some of its values.
#[derive(PartialEq, Eq)]
pub struct Enum {
    carrier: Atom,
    names: Box<[(Arc<str>, i128)]>,
    cost: usize,
}

impl Enum {
    /// The integer that is stored: 1 to 8 bytes, host byte order.
    pub fn carrier(&self) -> Atom {
        self.carrier
    }

    /// Names and numbers in the order of declaration. No name comes twice; a number may.
    pub fn names(&self) -> impl Iterator<Item = (&str, i128)> {
        self.names.iter().map(|(name, value)| (&**name, *value))
    }

    /// A name of `value`.
    pub fn name_of(&self, value: i128) -> Option<&str> {
        // Most enums count from 0: look there before searching.
        let guess = usize::try_from(value).ok().and_then(|index| self.names.get(index));
        let found = guess.filter(|entry| entry.1 == value);
        found.or_else(|| self.names.iter().find(|entry| entry.1 == value)).map(|entry| &*entry.0)
    }

    /// The number that `name` stands for.
    pub fn value_of(&self, name: &str) -> Option<i128> {
        self.names.iter().find(|entry| &*entry.0 == name).map(|entry| entry.1)
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

impl Type {
    /// What a size alone tells: 1, 2, 4, 8 bytes are a host-order unsigned integer, others are hex.
    pub fn of_size(bytes: u32) -> Type {
        match bytes {
            1 | 2 | 4 | 8 => {
                Atom::integer(bytes as usize, false).map_or(Type::Hex(bytes), Type::Atom)
            }
            _ => Type::Hex(bytes),
        }
    }

    /// `len` elements of `elem`.
    pub fn array(elem: Type, len: u32) -> Result<Type, ModelError> {
        if elem.size() == 0 && len > 0 {
            return Err(ModelError::EmptyElement);
        }
        if elem.size() as u64 * u64::from(len) > MAX_SIZE as u64 {
            return Err(ModelError::TooLarge);
        }
        if elem.depth() >= MAX_DEPTH {
            return Err(ModelError::TooDeep);
        }
        if elem.cost() + 16 > MAX_COST {
            return Err(ModelError::TooLong);
        }
        Ok(Type::Array(Arc::new(Array { elem, len })))
    }

    /// An enum stored in `carrier`, with `names` in the order of declaration.
    pub fn enumeration(
        carrier: Atom,
        names: impl IntoIterator<Item = (Arc<str>, i128)>,
    ) -> Result<Type, ModelError> {
        if !carrier.is_carrier() {
            return Err(ModelError::BadEnum);
        }
        let names: Box<[_]> = names.into_iter().collect();
        let (min, max) = carrier.range(carrier.size() as u32 * 8);
        let mut cost = 16;
        for (name, value) in &names {
            if !is_identifier(name) {
                return Err(ModelError::BadName);
            }
            if !(min..=max).contains(value) {
                return Err(ModelError::EnumRange { value: *value, carrier: carrier.name() });
            }
            // ", NAME=-9223372036854775808"
            cost += name.len() + 23;
        }
        if cost > MAX_COST {
            return Err(ModelError::TooLong);
        }
        unique(names.iter().map(|entry| &entry.0))?;
        Ok(Type::Enum(Arc::new(Enum { carrier, names, cost })))
    }

    /// The key of an LPM trie over `data`.
    pub fn lpm(data: Type) -> Result<Type, ModelError> {
        if data.size() > MAX_SIZE - Lpm::HEADER {
            return Err(ModelError::TooLarge);
        }
        if data.depth() + 2 > MAX_DEPTH {
            return Err(ModelError::TooDeep);
        }
        let record = match &data {
            Type::Record(_) => Record::lpm(data.clone()).ok(),
            _ => None,
        };
        let lpm = Type::Lpm(Arc::new(Lpm { data, record }));
        if lpm.cost() > MAX_COST { Err(ModelError::TooLong) } else { Ok(lpm) }
    }

    /// Bytes taken, trailing padding included.
    pub fn size(&self) -> usize {
        match self {
            Type::Atom(atom) => atom.size(),
            Type::Char(n) | Type::Hex(n) => *n as usize,
            Type::Array(array) => array.elem.size() * array.len(),
            Type::Enum(e) => e.carrier.size(),
            Type::Record(record) => record.size(),
            Type::Lpm(lpm) => Lpm::HEADER + lpm.data.size(),
        }
    }

    /// Alignment in bytes, as C on BPF has it; text, raw bytes and LPM keys have none (1).
    pub fn align(&self) -> usize {
        match self {
            Type::Atom(atom) => atom.align(),
            Type::Char(_) | Type::Hex(_) | Type::Lpm(_) => 1,
            Type::Array(array) => array.elem.align(),
            Type::Enum(e) => e.carrier.align(),
            Type::Record(record) => record.align(),
        }
    }

    pub(super) fn depth(&self) -> u32 {
        match self {
            Type::Array(array) => array.elem.depth() + 1,
            Type::Record(record) => record.depth(),
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
            Type::Enum(e) => e.cost,
            Type::Record(record) => record.cost(),
            Type::Lpm(lpm) => lpm.record.as_ref().unwrap_or(&lpm.data).cost() + 8,
        }
    }

    /// How many `name=value` words it takes as a member: a struct's add up, all else is one.
    pub(super) fn leaves(&self) -> usize {
        match self {
            Type::Record(record) => record.leaves(),
            Type::Lpm(lpm) => lpm.record.as_ref().map_or(1, Type::leaves),
            _ => 1,
        }
    }

    /// Whether two fields may share bits, that is, whether there is a union in it.
    pub(super) fn overlaps(&self) -> bool {
        match self {
            Type::Array(array) => array.elem.overlaps(),
            Type::Record(record) => record.overlaps(),
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
