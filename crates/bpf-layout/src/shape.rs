//! BTF types as a program declares them, for readers that look for declarations: pointers, arrays,
//! structs and variables without the meaning that `resolve` gives them.

use super::btf::{Btf, BtfError, entries, kind};

/// A type behind its typedefs and qualifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape<'a> {
    /// A pointer to the type with this id; 0 is void.
    Pointer(u32),
    /// `len` elements of the type with the id `elem`.
    Array {
        /// The type id of an element.
        elem: u32,
        /// How many elements.
        len: u32,
    },
    /// A struct of `size` bytes.
    Struct {
        /// Bytes taken.
        size: u32,
        /// The members in the order of declaration.
        members: Vec<BtfMember<'a>>,
    },
    /// An enum, by the numbers of its names.
    Enum(Vec<u64>),
    /// A function prototype.
    Prototype,
    /// Anything else.
    Other,
}

/// A member of a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BtfMember<'a> {
    /// Empty if it has none.
    pub name: &'a str,
    /// The id of its type.
    pub type_id: u32,
    /// Bits from the start of the struct.
    pub bit: u32,
}

/// A data section: the offsets of its variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSection<'a> {
    /// The id of the section's type.
    pub id: u32,
    /// The variables, as BTF lists them.
    pub variables: Vec<BtfVariable<'a>>,
}

/// A variable in a data section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BtfVariable<'a> {
    /// The name in the program's source.
    pub name: &'a str,
    /// The id of its type.
    pub type_id: u32,
    /// Whether other files of the program can refer to it: not for `static` variables.
    pub is_global: bool,
    /// Bytes from the start of the section.
    pub offset: u32,
    /// Bytes taken.
    pub size: u32,
}

impl<'a> Btf<'a> {
    /// Returns the shape of type `id`, behind its typedefs and qualifiers.
    pub fn shape(&self, id: u32) -> Result<Shape<'a>, BtfError> {
        let raw = self.strip_aliases(id)?.raw;
        Ok(match raw.kind {
            kind::PTR => Shape::Pointer(raw.size_or_type),
            kind::ARRAY => {
                let [elem, _, len] = entries::<3>(raw.tail).next().unwrap_or_default();
                Shape::Array { elem, len }
            }
            kind::STRUCT => {
                let member = |[name, type_id, offset]: [u32; 3]| BtfMember {
                    name: self.string(name),
                    type_id,
                    bit: if raw.flag { offset & 0xff_ffff } else { offset },
                };
                let members = entries::<3>(raw.tail).map(member).collect();
                Shape::Struct { size: raw.size_or_type, members }
            }
            kind::ENUM => Shape::Enum(entries::<2>(raw.tail).map(|[_, low]| low.into()).collect()),
            kind::ENUM64 => {
                let number = |[_, low, high]: [u32; 3]| u64::from(high) << 32 | u64::from(low);
                Shape::Enum(entries::<3>(raw.tail).map(number).collect())
            }
            kind::FUNC_PROTO => Shape::Prototype,
            _ => Shape::Other,
        })
    }

    /// Bytes that type `id` takes.
    pub fn size(&self, id: u32) -> Result<u32, BtfError> {
        self.byte_size(id)
    }

    /// The data section of this name.
    pub fn data_section(&self, name: &str) -> Option<DataSection<'a>> {
        let named = |id: &u32| {
            let raw = self.raw_type(*id);
            raw.is_ok_and(|raw| raw.kind == kind::DATASEC && self.string(raw.name) == name)
        };
        // Compilers emit sections after everything else.
        let id = (1..=self.len()).rev().find(named)?;
        let variable = |[id, offset, size]: [u32; 3]| {
            let raw = self.raw_type(id).ok().filter(|raw| raw.kind == kind::VAR)?;
            let [linkage] = entries::<1>(raw.tail).next()?;
            Some(BtfVariable {
                name: self.string(raw.name),
                type_id: raw.size_or_type,
                is_global: linkage != 0,
                offset,
                size,
            })
        };
        let variables = entries::<3>(self.raw_type(id).ok()?.tail).filter_map(variable).collect();
        Some(DataSection { id, variables })
    }
}
