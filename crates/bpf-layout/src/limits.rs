//! The bounds that every type keeps, and the rules for names.

use std::sync::Arc;

/// The largest type, in bytes. The kernel's own bound on a value is far below.
pub const MAX_SIZE: usize = 1 << 30;
/// The deepest nesting of arrays, structs and unions.
pub const MAX_DEPTH: u32 = 64;
/// A bound on the notation's length, in bytes, and with it on the memory that a type takes.
pub const MAX_COST: usize = 1 << 20;

/// A rule of the model that was broken while building a type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// More than [`MAX_SIZE`] bytes.
    #[error("a type may not be larger than {MAX_SIZE} bytes")]
    TooLarge,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("a type may not be nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Its notation would be longer than [`MAX_COST`].
    #[error("a type's notation may not be longer than {MAX_COST} bytes")]
    TooLong,
    /// Elements of no size could be counted for ever.
    #[error("an array's elements must have a size")]
    EmptyElement,
    /// Not a C identifier.
    #[error("a name must be a C identifier")]
    BadName,
    /// Two fields, or two names of an enum, are called the same. The name is an identifier.
    #[error("the name {0} is used twice")]
    DuplicateName(Arc<str>),
    /// Only a struct or a union may stand without a name.
    #[error("only a struct or a union may go without a name")]
    Nameless,
    /// A bitfield's width is none, or wider than its type.
    #[error("a bitfield of {carrier} is 1 to {max} bits wide")]
    BadWidth {
        /// The declared type.
        carrier: Arc<str>,
        /// Its bits.
        max: u32,
    },
    /// A bitfield of something that is not an integer of up to 8 bytes, a bool or an enum.
    #[error("a bitfield must be an integer of at most 64 bits, a bool or an enum")]
    BadCarrier,
    /// Padding of no size.
    #[error("padding must have a size")]
    EmptyPad,
    /// An enum of something that is not a host-order integer of up to 8 bytes.
    #[error("an enum must be u8 to u64 or i8 to i64")]
    BadEnum,
    /// An enum's number does not fit its carrier.
    #[error("{value} does not fit an enum of {carrier}")]
    EnumRange {
        /// The number given.
        value: i128,
        /// The carrier's name.
        carrier: &'static str,
    },
}

/// Whether `name` can stand in a layout: `[A-Za-z_][A-Za-z0-9_]*`.
pub fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Refuses a name that comes twice.
pub(super) fn check_unique<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> Result<(), TypeError> {
    let mut sorted: Vec<_> = names.collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(TypeError::DuplicateName(Arc::clone(pair[0]))),
        None => Ok(()),
    }
}
