//! The parts of a packet that requests and replies share.

use crate::name::fault;
use crate::text::count;
use bpf_inherit::AccessMode;
use thiserror::Error;

/// The only version there is.
pub const VERSION: u8 = 2;
/// Bytes of the longest packet that either side sends.
pub const MAX_PACKET: usize = 128 << 10;
/// Bytes of the longest name.
pub const MAX_NAME: usize = 200;
/// Names in one request at most.
pub const MAX_NAMES: usize = 1024;
/// Bytes of the longest layout, as in the environment.
pub const MAX_LAYOUT: usize = 64 << 10;

/// The access of an fd of a map, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access(u8);

impl Access {
    pub const NONE: Access = Access(0);
    pub const READ: Access = Access(1);
    pub const WRITE: Access = Access(2);
    pub const BOTH: Access = Access(3);

    /// The bits of a byte; None if it has others.
    pub fn from_bits(bits: u8) -> Option<Access> {
        (bits <= 3).then_some(Access(bits))
    }

    pub fn bits(self) -> u8 {
        self.0
    }

    /// The bits in both.
    pub fn and(self, other: Access) -> Access {
        Access(self.0 & other.0)
    }

    /// The bits in either.
    pub fn or(self, other: Access) -> Access {
        Access(self.0 | other.0)
    }

    pub fn has(self, other: Access) -> bool {
        self.0 & other.0 == other.0
    }

    /// As bpf(2) opens a file descriptor; read-write without any bit.
    pub fn mode(self) -> AccessMode {
        match self {
            Access::READ => AccessMode::ReadOnly,
            Access::WRITE => AccessMode::WriteOnly,
            _ => AccessMode::ReadWrite,
        }
    }

    /// `rw`, `r`, `w` or `-`, as tables print it.
    pub fn name(self) -> &'static str {
        ["-", "r", "w", "rw"][self.0 as usize & 3]
    }
}

impl From<AccessMode> for Access {
    fn from(mode: AccessMode) -> Access {
        match mode {
            AccessMode::ReadOnly => Access::READ,
            AccessMode::WriteOnly => Access::WRITE,
            AccessMode::ReadWrite => Access::BOTH,
        }
    }
}

/// The prefixes of other references to objects.
const REFERENCES: [&[u8]; 6] = [b"id:", b"name:", b"fd:", b"env:", b"prog:", b"link:"];

/// Why a packet is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PacketError {
    #[error("the packet ends too early")]
    Short,
    #[error("{} after the end of the request", count(*.0, "byte"))]
    Long(usize),
    #[error("version {0}, where only {VERSION} is known")]
    Version(u8),
    #[error("operation {0} is not known")]
    Operation(u8),
    #[error("flags {0:#x} are not known here")]
    Flags(u16),
    #[error("a request of more than {}", count(*.0, "byte"))]
    TooLong(usize),
    #[error("more than {MAX_NAMES} names")]
    Names,
    #[error("no name is given")]
    NoName,
    #[error("a name {0}")]
    Name(&'static str),
    #[error("a layout of {}, where at most {MAX_LAYOUT} are taken", count(*.0, "byte"))]
    Layout(usize),
    #[error("a reply with an unknown value: {0}")]
    Reply(&'static str),
}

/// An error unless an object may be stored under `name`: it can be requested by `PATH#NAME,…`, and
/// bpf-exec hands the object over under the same name.
pub fn check_new_name(name: &[u8]) -> Result<(), PacketError> {
    check_name(name)?;
    fault(name).map_or(Ok(()), |fault| Err(PacketError::Name(fault)))
}

/// An error unless an object can have `name`. Earlier versions stored objects under some names that
/// [`check_new_name`] refuses.
pub fn check_name(name: &[u8]) -> Result<(), PacketError> {
    Err(PacketError::Name(if name.is_empty() {
        "is empty"
    } else if name.len() > MAX_NAME {
        "is longer than 200 bytes"
    } else if name.iter().all(u8::is_ascii_digit) {
        "is a number"
    } else if name.iter().any(|b| matches!(b, b'/' | b'=' | b',') || b.is_ascii_control()) {
        "holds '/', '=', ',' or a control byte"
    } else if name[0] == b'-' || REFERENCES.iter().any(|prefix| name.starts_with(prefix)) {
        "looks like an option, or like another reference to a map"
    } else {
        return Ok(());
    }))
}

/// The number of a packet, even if the rest is malformed; 0 if it has none.
pub fn number_of(packet: &[u8]) -> u32 {
    let number = packet.get(4..8).and_then(|bytes| bytes.try_into().ok());
    number.map_or(0, u32::from_ne_bytes)
}

pub fn header(kind: u8, flags: u16, number: u32) -> Vec<u8> {
    let mut out = vec![VERSION, kind];
    out.extend(flags.to_ne_bytes());
    out.extend(number.to_ne_bytes());
    out
}
