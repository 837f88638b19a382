//! A packet that answers a request: records, or why there are none.

use super::bytes::{PacketReader, push_string};
use super::packet::{PacketError, VERSION, header};
use super::record::Record;

/// Flag of a reply: another packet follows for the same request.
const MORE: u16 = 1;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    Done = 0,
    /// The request is not understood.
    Malformed = 1,
    /// The rules do not allow it.
    Refused = 2,
    /// No object has the name.
    Absent = 3,
    /// Another object has the name.
    Exists = 4,
    /// The attached fd or the layout cannot be stored.
    Unfit = 5,
    /// A limit is reached.
    Full = 6,
    /// The time to wait is over.
    Late = 7,
    /// The pin refers to another object than was stored.
    Changed = 8,
    /// The system refused.
    Failed = 9,
    /// The packet's version is not known.
    Version = 10,
}

impl Status {
    fn from_byte(byte: u8) -> Option<Status> {
        use Status::*;
        [Done, Malformed, Refused, Absent, Exists, Unfit, Full, Late, Changed, Failed, Version]
            .into_iter()
            .find(|status| *status as u8 == byte)
    }
}

/// One packet of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// With `more`, another packet follows. In a reply to GET, fd i belongs to record i.
    Records { records: Vec<Record>, more: bool },
    /// The reason, in one line.
    Failure { status: Status, reason: String },
}

impl Reply {
    /// The packet that answers the request with this number.
    pub fn encode(&self, number: u32) -> Vec<u8> {
        match self {
            Reply::Records { records, more } => {
                let flags = if *more { MORE } else { 0 };
                let mut out = header(Status::Done as u8, flags, number);
                out.extend((records.len() as u32).to_ne_bytes());
                records.iter().for_each(|record| record.encode(&mut out));
                out
            }
            Reply::Failure { status, reason } => {
                let mut out = header(*status as u8, 0, number);
                push_string(&mut out, reason.as_bytes());
                out
            }
        }
    }

    /// Reads a packet that an agent sent: the number of its request, and the reply.
    pub fn decode(packet: &[u8]) -> Result<(u32, Reply), PacketError> {
        let mut rest = PacketReader(packet);
        let version = rest.u8()?;
        if version != VERSION {
            return Err(PacketError::Version(version));
        }
        let (status, flags, number) = (rest.u8()?, rest.u16()?, rest.u32()?);
        let status = Status::from_byte(status).ok_or(PacketError::Reply("a status"))?;
        let known = if status == Status::Done { MORE } else { 0 };
        if flags & !known != 0 {
            return Err(PacketError::Flags(flags));
        }
        let reply = if status == Status::Done {
            let count = rest.u32()?;
            // Allocates for the records that exist, not for the declared number.
            let records =
                (0..count).map(|_| Record::decode(&mut rest)).collect::<Result<_, _>>()?;
            Reply::Records { records, more: flags & MORE != 0 }
        } else {
            let reason = String::from_utf8_lossy(rest.string()?).into_owned();
            Reply::Failure { status, reason }
        };
        rest.end()?;
        Ok((number, reply))
    }
}
