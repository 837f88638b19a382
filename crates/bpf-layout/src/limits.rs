//! The limits that every type obeys, and the rules for names.

use std::sync::Arc;

/// The largest size of a type, in bytes. The kernel's limit on the size of a value is lower.
pub const MAX_SIZE: usize = 1 << 30;
/// The largest nesting depth of arrays, structs and unions.
pub const MAX_DEPTH: u32 = 64;
/// The largest length of a type's notation, in bytes. It also limits the memory that a type uses.
pub const MAX_COST: usize = 1 << 20;

/// The reason why a type cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// The type is larger than [`MAX_SIZE`] bytes.
    #[error("a type may not be larger than {MAX_SIZE} bytes")]
    TooLarge,
    /// The type is nested deeper than [`MAX_DEPTH`] levels.
    #[error("a type may not be nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// The notation is longer than [`MAX_COST`] bytes.
    #[error("a type's notation may not be longer than {MAX_COST} bytes")]
    TooLong,
    /// The elements of an array have size 0, so their number would be unlimited.
    #[error("an array's elements must have a size")]
    EmptyElement,
    /// A name is not a C identifier.
    #[error("a name must be a C identifier")]
    BadName,
    /// Two fields of a record, or two names of an enum, are equal.
    #[error("duplicate name {0}")]
    DuplicateName(Arc<str>),
    /// A member without a name is not a struct or a union.
    #[error("a member must have a name unless it is a struct or a union")]
    Nameless,
    /// The width of a bitfield is 0, or larger than its type.
    #[error("a bitfield of {carrier} is 1 to {max} bits wide")]
    BadWidth {
        /// The declared type.
        carrier: Arc<str>,
        /// The width of the declared type, in bits.
        max: u32,
    },
    /// The type of a bitfield is not a host-order integer of at most 8 bytes, a bool or an enum.
    #[error("a bitfield must be an integer of at most 64 bits, a bool or an enum")]
    BadCarrier,
    /// Padding has size 0.
    #[error("padding must have a size")]
    EmptyPad,
    /// The carrier of an enum is not a host-order integer of at most 8 bytes.
    #[error("an enum must be u8 to u64 or i8 to i64")]
    BadEnum,
    /// A value of an enum is out of range for its carrier.
    #[error("{value} is out of range for an enum of {carrier}")]
    EnumRange {
        /// The value.
        value: i128,
        /// The name of the carrier.
        carrier: &'static str,
    },
}

/// Reports whether `name` is a valid name in a layout: `[A-Za-z_][A-Za-z0-9_]*`.
pub fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Refuses duplicate names.
pub(super) fn check_unique<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> Result<(), TypeError> {
    let mut sorted: Vec<_> = names.collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(TypeError::DuplicateName(Arc::clone(pair[0]))),
        None => Ok(()),
    }
}
