//! The agent's protocol, in packets (SOCK_SEQPACKET): requests, and replies to them.
//!
//! bpf-agent(7) describes it for those who speak it from elsewhere. A packet begins with
//! 8 bytes: u8 version, u8 operation or status, u16 flags, u32 number of the request, all
//! in host byte order.

mod bytes;
mod record;
mod reply;

pub use record::{Record, State};
pub use reply::{Reply, Status};

use crate::text::count;
use bpf_inherit::AccessMode;
use bytes::{Reader, push_string};
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

/// Ways to use a map: bits of a descriptor's access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access(u8);

impl Access {
    pub const NONE: Access = Access(0);
    pub const READ: Access = Access(1);
    pub const WRITE: Access = Access(2);
    pub const BOTH: Access = Access(3);

    /// The bits of a byte; None where it has others.
    pub fn from_bits(bits: u8) -> Option<Access> {
        (bits <= 3).then_some(Access(bits))
    }

    pub fn bits(self) -> u8 {
        self.0
    }

    /// What is in both.
    pub fn and(self, other: Access) -> Access {
        Access(self.0 & other.0)
    }

    /// What is in either.
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

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Chosen by the client; every reply repeats it.
    pub number: u32,
    pub operation: Operation,
}

/// One request, without its number. Names are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The records of all names that match a glob, or of all names if it is empty. The layouts
    /// in them are empty unless they are asked for.
    List { glob: Vec<u8>, layouts: bool },
    /// The descriptors of these names, in their order.
    Get { names: Vec<Vec<u8>>, wanted: Access },
    /// Store the descriptor that comes along.
    Put { name: Vec<u8>, layout: Vec<u8>, replace: bool },
    /// Forget a name.
    Remove { name: Vec<u8> },
    /// The record of a name, with the id of the object that its pin refers to now.
    Info { name: Vec<u8> },
    /// The records of these names, as soon as all are there; 0 milliseconds are for ever.
    Wait { names: Vec<Vec<u8>>, milliseconds: u32 },
    /// The record of a name, as soon as its object has another id than this; likewise.
    WaitChange { name: Vec<u8>, id: u32, milliseconds: u32 },
}

/// Numbers of the operations. 7 was used in version 1.
const LIST: u8 = 1;
const GET: u8 = 2;
const PUT: u8 = 3;
const REMOVE: u8 = 4;
const INFO: u8 = 5;
const WAIT: u8 = 6;
/// LIST: with layouts.
const LAYOUTS: u16 = 1;
/// PUT: replace an existing object.
const REPLACE: u16 = 4;
/// WAIT: for a name to refer to another object.
const CHANGE: u16 = 8;

/// What another kind of reference begins with, to a map or a program.
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
    #[error("a reply that holds what is not known: {0}")]
    Reply(&'static str),
}

/// An error unless an object may be stored under `name`: it can be asked for by
/// `PATH#NAME,…`, becomes a variable's value, and is told from a path and a number.
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

/// The number that a packet has, however wrong the rest of it is; 0 where it has none.
pub fn number_of(packet: &[u8]) -> u32 {
    let number = packet.get(4..8).and_then(|bytes| bytes.try_into().ok());
    number.map_or(0, u32::from_ne_bytes)
}

fn header(kind: u8, flags: u16, number: u32) -> Vec<u8> {
    let mut out = vec![VERSION, kind];
    out.extend(flags.to_ne_bytes());
    out.extend(number.to_ne_bytes());
    out
}

impl Request {
    /// Reads a packet that a client sent.
    pub fn decode(packet: &[u8]) -> Result<Request, PacketError> {
        let mut rest = Reader(packet);
        let version = rest.u8()?;
        if version != VERSION {
            return Err(PacketError::Version(version));
        }
        let (operation, flags, number) = (rest.u8()?, rest.u16()?, rest.u32()?);
        let known = match operation {
            GET => u16::from(Access::BOTH.bits()),
            PUT => REPLACE,
            LIST => LAYOUTS,
            WAIT => CHANGE,
            REMOVE | INFO => 0,
            _ => return Err(PacketError::Operation(operation)),
        };
        if flags & !known != 0 {
            return Err(PacketError::Flags(flags));
        }
        let operation = match operation {
            LIST => {
                let layouts = flags & LAYOUTS != 0;
                Operation::List { glob: rest.string()?.to_vec(), layouts }
            }
            GET => {
                // No bit at all asks for as much as there is.
                let wanted = Access::from_bits(flags as u8).filter(|mode| *mode != Access::NONE);
                Operation::Get { names: names(&mut rest)?, wanted: wanted.unwrap_or(Access::BOTH) }
            }
            PUT => {
                let (name, layout) = (name(&mut rest)?, rest.string()?.to_vec());
                if layout.len() > MAX_LAYOUT {
                    return Err(PacketError::Layout(layout.len()));
                }
                Operation::Put { name, layout, replace: flags & REPLACE != 0 }
            }
            REMOVE => Operation::Remove { name: name(&mut rest)? },
            INFO => Operation::Info { name: name(&mut rest)? },
            _ if flags & CHANGE != 0 => {
                let (milliseconds, id) = (rest.u32()?, rest.u32()?);
                Operation::WaitChange { name: name(&mut rest)?, id, milliseconds }
            }
            _ => {
                let milliseconds = rest.u32()?;
                Operation::Wait { names: names(&mut rest)?, milliseconds }
            }
        };
        rest.end()?;
        Ok(Request { number, operation })
    }

    /// The packet that asks for it.
    pub fn encode(&self) -> Vec<u8> {
        let packet = |kind, flags| header(kind, flags, self.number);
        match &self.operation {
            Operation::List { glob, layouts } => {
                with_names(packet(LIST, if *layouts { LAYOUTS } else { 0 }), [glob])
            }
            Operation::Get { names, wanted } => {
                with_names(packet(GET, wanted.bits().into()), names)
            }
            Operation::Put { name, layout, replace } => {
                with_names(packet(PUT, if *replace { REPLACE } else { 0 }), [name, layout])
            }
            Operation::Remove { name } => with_names(packet(REMOVE, 0), [name]),
            Operation::Info { name } => with_names(packet(INFO, 0), [name]),
            Operation::Wait { names, milliseconds } => {
                let mut out = packet(WAIT, 0);
                out.extend(milliseconds.to_ne_bytes());
                with_names(out, names)
            }
            Operation::WaitChange { name, id, milliseconds } => {
                let mut out = packet(WAIT, CHANGE);
                out.extend(milliseconds.to_ne_bytes());
                out.extend(id.to_ne_bytes());
                with_names(out, [name])
            }
        }
    }
}

fn with_names<'a>(mut out: Vec<u8>, names: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    names.into_iter().for_each(|name| push_string(&mut out, name));
    out
}

fn name(rest: &mut Reader) -> Result<Vec<u8>, PacketError> {
    let name = rest.string()?;
    check_name(name)?;
    Ok(name.to_vec())
}

/// At least one name, up to the end of the packet.
fn names(rest: &mut Reader) -> Result<Vec<Vec<u8>>, PacketError> {
    let mut names = Vec::new();
    while !rest.0.is_empty() {
        if names.len() == MAX_NAMES {
            return Err(PacketError::Names);
        }
        names.push(name(rest)?);
    }
    if names.is_empty() { Err(PacketError::NoName) } else { Ok(names) }
}

#[cfg(test)]
mod tests;
