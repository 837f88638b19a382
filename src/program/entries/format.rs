//! The columns that are printed of a map, and their format.

use bpf_layout::Type;

/// The entries of a map, and their format.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'t> {
    pub key: &'t Type,
    pub value: &'t Type,
    pub format: Format,
    pub cpus: Cpus<'t>,
}

/// How entries are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Plain,
    JsonLines,
    /// With a separator.
    Table(u8),
}

/// How the values of CPUs are printed. `stride` is the distance between two of them in bytes.
#[derive(Clone, Copy, Debug)]
pub enum Cpus<'t> {
    /// There is one value.
    One,
    Sum {
        stride: u32,
        count: u32,
    },
    /// With the numbers of the CPUs.
    Each {
        stride: u32,
        numbers: &'t [u32],
    },
}
