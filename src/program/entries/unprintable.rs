//! What a program cannot print as the codec prints it, and the name of the field in question.

use crate::program::assembler::TooLong;
use crate::program::kernel::Unsupported;
use bpf_layout::print::{self, Column};
use bpf_layout::{Atom, Slot, Type};

/// The longest text, which bounds the steps of the verifier.
const MAX_TEXT: u32 = 1024;

/// Why entries cannot be printed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unprintable {
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// A field of the value, and why.
    #[error("{0}: {1} by a program in the kernel (--fields selects other fields)")]
    Value(String, &'static str),
    /// A field of the key, and why.
    #[error("key: {0}: {1} by a program in the kernel")]
    Key(String, &'static str),
    /// All fields together.
    #[error(
        "the fields take more than 32 KiB of text or too many instructions (--fields selects some)"
    )]
    TooLong,
}

impl From<TooLong> for Unprintable {
    fn from(_: TooLong) -> Unprintable {
        Unprintable::TooLong
    }
}

/// A leaf that cannot be printed: its position and the reason.
pub(super) struct LeafError {
    bit: u64,
    reason: &'static str,
}

impl LeafError {
    pub(super) fn new(slot: Slot, reason: &'static str) -> LeafError {
        LeafError { bit: slot.bit(), reason }
    }

    pub(super) fn of_key(self, key: &Type) -> Unprintable {
        Unprintable::Key(self.column(key, "key"), self.reason)
    }

    pub(super) fn of_value(self, value: &Type) -> Unprintable {
        Unprintable::Value(self.column(value, "value"), self.reason)
    }

    /// The name of the column that the leaf is part of.
    fn column(&self, ty: &Type, whole: &str) -> String {
        let columns = print::columns(ty);
        let contains = |column: &&Column| {
            let slot = column.slot;
            let bits = slot.width().map_or(slot.ty().size() as u64 * 8, u64::from);
            (slot.bit()..slot.bit() + bits).contains(&self.bit)
        };
        // Several members of a union are at this position: take the first that cannot be printed.
        let mut columns = columns.iter().filter(contains);
        let column = columns.clone().find(|column| check(column.slot).is_err());
        let name = column.or_else(|| columns.next()).map_or("", |column| column.name.as_str());
        if name.is_empty() { whole.to_owned() } else { name.to_owned() }
    }
}

/// An error if a scalar or text cannot be printed as the codec prints it.
pub(super) fn check(slot: Slot) -> Result<(), LeafError> {
    let reason = match slot.ty() {
        Type::Atom(Atom::F32 | Atom::F64) => "floating-point numbers cannot be printed",
        Type::Atom(Atom::U128 | Atom::I128) => "integers of 128 bits cannot be printed",
        Type::Char(len) if *len > MAX_TEXT => "text of more than 1024 bytes cannot be printed",
        Type::Lpm(_) => "prefixes cannot be printed",
        Type::Array(array) => return check(array.elem().into()),
        _ => return Ok(()),
    };
    Err(LeafError::new(slot, reason))
}
