//! The access mode of a map's file descriptor.

/// `BPF_F_RDONLY` and `BPF_F_WRONLY` of `include/uapi/linux/bpf.h`.
const RDONLY: u32 = 1 << 3;
const WRONLY: u32 = 1 << 4;

/// The access mode of a map's file descriptor. It restricts the bpf(2) commands of every process
/// that has the file descriptor, but not the programs that were loaded with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMode {
    /// Entries may be read and written.
    ReadWrite,
    /// Entries may be read.
    ReadOnly,
    /// Entries may be written.
    WriteOnly,
}

impl AccessMode {
    /// The flags with which bpf(2) opens a map in this mode.
    pub(crate) fn flags(self) -> u32 {
        match self {
            AccessMode::ReadWrite => 0,
            AccessMode::ReadOnly => RDONLY,
            AccessMode::WriteOnly => WRONLY,
        }
    }

    /// `rw`, `r` or `w`, as tables print it.
    pub fn name(self) -> &'static str {
        match self {
            AccessMode::ReadWrite => "rw",
            AccessMode::ReadOnly => "r",
            AccessMode::WriteOnly => "w",
        }
    }
}
