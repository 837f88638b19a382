//! The agent's protocol, in packets (SOCK_SEQPACKET): requests, and replies to them.
//!
//! bpf-agent(7) describes it. A packet begins with
//! 8 bytes: u8 version, u8 operation or status, u16 flags, u32 number of the request, all
//! in host byte order.

mod bytes;
mod packet;
mod record;
mod reply;

pub use packet::{
    Access, MAX_LAYOUT, MAX_NAME, MAX_NAMES, MAX_PACKET, PacketError, VERSION, check_name,
    check_new_name, number_of,
};
pub use record::{PinState, Record};
pub use reply::{Reply, Status};

use bytes::{PacketReader, push_string};
use packet::header;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRequest {
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
    /// The fds of these names, in their order.
    Get { names: Vec<Vec<u8>>, wanted: Access },
    /// Store the attached fd.
    Put { name: Vec<u8>, layout: Vec<u8>, replace: bool },
    /// Remove a name.
    Remove { name: Vec<u8> },
    /// The record of a name, with the id of the object that its pin refers to now.
    Info { name: Vec<u8> },
    /// The records of these names, as soon as all are there; 0 milliseconds mean no time limit.
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

impl AgentRequest {
    /// Reads a packet that a client sent.
    pub fn decode(packet: &[u8]) -> Result<AgentRequest, PacketError> {
        let mut rest = PacketReader(packet);
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
                check_new_name(&name)?;
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
        Ok(AgentRequest { number, operation })
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

fn name(rest: &mut PacketReader) -> Result<Vec<u8>, PacketError> {
    let name = rest.string()?;
    check_name(name)?;
    Ok(name.to_vec())
}

/// At least one name, up to the end of the packet.
fn names(rest: &mut PacketReader) -> Result<Vec<Vec<u8>>, PacketError> {
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
