//! What the bytes of a key or a value mean: owns the layout notation, the reading of BTF, and the
//! codec between bytes and text. Pure: it opens nothing and makes no system call.
//!
//! A [`Layout`] comes from notation text (`"u32 -> u64".parse()`), from BTF ([`Btf::layout`]) or from
//! sizes ([`Type::of_size`]). [`parse`] turns text into bytes, [`mod@print`] bytes into text; what is
//! printed is what is parsed, and gives the same bytes, padding included.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod atom;
mod bits;
mod btf;
mod enumeration;
mod fit;
mod kernel_bytes;
mod limits;
mod lpm;
mod notation;
mod number;
mod padding;
pub mod parse;
mod path;
pub mod print;
mod resolve;
mod slot;
#[cfg(test)]
mod tests;
pub mod text;
mod types;

pub use atom::{Atom, AtomClass};
pub use btf::{Btf, BtfError};
pub use enumeration::Enum;
pub use limits::{MAX_COST, MAX_DEPTH, MAX_SIZE, TypeError, is_identifier};
pub use lpm::to_lpm_key;
pub use notation::NotationError;
pub use number::Number;
pub use padding::Gap;
pub use path::PathError;
pub use slot::Slot;
pub use text::append_json_string;
pub use types::{Array, Lpm, Member, MemberPart, Record, RecordKind, Type};

/// The types of a map's keys and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// None for maps without keys: queues, stacks, bloom filters.
    pub key: Option<Type>,
    /// The value's type; of a per-CPU map, one CPU's.
    pub value: Type,
}
