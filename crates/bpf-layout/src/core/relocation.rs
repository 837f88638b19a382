//! Relocations of instructions, and their values.

use crate::btf::BtfError;

// `enum bpf_core_relo_kind`.
pub const FIELD_OFFSET: u32 = 0;
pub const FIELD_SIZE: u32 = 1;
pub const FIELD_EXISTS: u32 = 2;
pub const FIELD_SIGNED: u32 = 3;
pub const FIELD_SHIFT_LEFT: u32 = 4;
pub const FIELD_SHIFT_RIGHT: u32 = 5;
pub const TYPE_ID_LOCAL: u32 = 6;
pub const TYPE_ID_TARGET: u32 = 7;
pub const TYPE_EXISTS: u32 = 8;
pub const TYPE_SIZE: u32 = 9;
pub const ENUM_EXISTS: u32 = 10;
pub const ENUM_VALUE: u32 = 11;

/// `struct bpf_core_relo`, without the instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreRelocation {
    /// The type in the BTF of the program.
    pub type_id: u32,
    /// The way to a field: indices, separated by colons.
    pub access: String,
    /// `enum bpf_core_relo_kind`.
    pub kind: u32,
}

/// The content of an instruction for a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreValue {
    /// An offset, a size, an id, or the value of an enumerator.
    pub value: u64,
    /// The size of the load or store of a field; None if the size in the program is right.
    pub size: Option<FieldSize>,
}

/// A field of the kernel that has another size than the program's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldSize {
    /// The load or store must have this number of bytes.
    Bytes(u32),
    /// The field cannot be read by the instruction.
    Incompatible,
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoreError {
    /// The BTF of the program is malformed.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The way to the field does not fit the type.
    #[error("malformed access {0:?} of a type")]
    Access(String),
    /// Several types of the kernel have the name, and differ in this.
    #[error("types of the kernel named {0:?} differ")]
    Ambiguous(String),
    /// The kind of relocation is unknown.
    #[error("a relocation of the unknown kind {0}")]
    Kind(u32),
}
