//! The types of BPF map keys and values: a notation for layouts, a reader of BTF, and the conversion
//! between bytes and text. The crate does no I/O and makes no system calls.
//!
//! A [`Layout`] is parsed from the notation of bpf-layout(7) (`"u32 -> u64".parse()`); a [`Type`] is
//! also read from BTF ([`Btf::layout`]) or derived from a size ([`Type::of_size`]). [`mod@parse`]
//! converts text to bytes, [`mod@print`] converts bytes to text. Printed text parses to the same
//! bytes, including padding.
//!
//! ```
//! use bpf_layout::{Layout, parse, print};
//!
//! let layout: Layout = "ip4 -> struct{packets: u64, bytes: u64}".parse()?;
//! let key = parse::value(layout.key.as_ref().expect("a key"), "192.0.2.1")?;
//! assert_eq!(key, [192, 0, 2, 1]);
//!
//! let value = [7u64, 512].map(u64::to_ne_bytes).concat();
//! let mut text = Vec::new();
//! print::plain(&layout.value, &value[..], &mut text);
//! assert_eq!(text, b"packets=7 bytes=512");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod atom;
mod bits;
mod btf;
mod complete;
mod core;
mod difference;
mod enumeration;
mod function_id;
mod kernel_bytes;
mod limits;
mod lpm;
mod member_cursor;
mod notation;
mod number;
mod padding;
pub mod parse;
mod path;
mod placement;
pub mod print;
mod resolver;
mod shape;
mod slot;
#[cfg(test)]
mod tests;
pub mod text;
mod types;
mod write;

pub use self::core::{CoreError, CoreRelocation, CoreResolver, CoreValue, FieldSize};
pub use atom::{Atom, AtomClass};
pub use btf::{Btf, BtfError};
pub use complete::DataPlaces;
pub use difference::Difference;
pub use enumeration::Enum;
pub use limits::{MAX_COST, MAX_DEPTH, MAX_SIZE, TypeError, is_identifier};
pub use lpm::to_lpm_key;
pub use notation::NotationError;
pub use number::{Integer, IntegerOverflow, Number};
pub use path::PathError;
pub use shape::{BtfMember, BtfVariable, DataSection, Shape};
pub use slot::Slot;
pub use types::{Array, Lpm, Member, MemberPart, Record, RecordKind, Type};
pub use write::MapBtf;

/// The types of the keys and values of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The type of the keys; None for maps without keys: queues, stacks and bloom filters.
    pub key: Option<Type>,
    /// The type of the values; for a per-CPU map, of the value of one CPU.
    pub value: Type,
}
