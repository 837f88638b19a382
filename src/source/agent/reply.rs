//! Checks of a reply: an agent may be hostile, or wrong.

use crate::text::{count, quote};
use crate::wire::agent::{Access, Operation, Record, Reply, Status};
use bpf_inherit::fd;
use bpf_inherit::object::Object;
use std::os::fd::{AsFd, OwnedFd};

/// Bytes of all packets of a reply: more than all records of an agent.
const MAX_REPLY: usize = 64 << 20;
/// The bytes that a packet counts for at least, so that empty ones are limited, too.
const MIN_PACKET: usize = 1024;

/// How much more of a reply is accepted.
pub struct Budget(usize);

impl Default for Budget {
    fn default() -> Budget {
        Budget(MAX_REPLY)
    }
}

impl Budget {
    /// Counts a packet of this length; an error if the reply is too long.
    pub fn take(&mut self, length: usize) -> Result<(), String> {
        let left = self.0.checked_sub(length.max(MIN_PACKET));
        self.0 = left.ok_or("a reply without an end")?;
        Ok(())
    }
}

/// Records, each with its descriptor if it is to have one.
pub type Held = Vec<(Record, Option<OwnedFd>)>;

/// One packet of a reply.
pub enum Part {
    /// Some records, and whether another packet follows.
    Records(Held, bool),
    /// Why there are none.
    Refusal(Status, String),
}

/// Reads one packet of the reply to the request with this number. The error is that
/// of the packet itself.
pub fn packet(
    bytes: &[u8],
    fds: Vec<OwnedFd>,
    number: u32,
    with_fds: bool,
) -> Result<Part, String> {
    let (given, reply) =
        Reply::decode(bytes).map_err(|e| format!("a reply not understood: {e}"))?;
    if given != number {
        return Err(format!("a reply to request {given}, where {number} was asked"));
    }
    let (records, more) = match reply {
        Reply::Records { records, more } => (records, more),
        Reply::Failure { .. } if !fds.is_empty() => {
            return Err(format!("a refusal with {}", count(fds.len(), "descriptor")));
        }
        Reply::Failure { status, reason } => return Ok(Part::Refusal(status, reason)),
    };
    if with_fds && fds.len() != records.len() {
        let (fds, records) = (count(fds.len(), "descriptor"), count(records.len(), "record"));
        return Err(format!("a reply with {fds} for {records}"));
    }
    let fds = fds.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
    Ok(Part::Records(records.into_iter().zip(fds).collect(), more))
}

/// An error unless `names` are those that `operation` requests, in their order: all of them, or, if
/// `more` follow, the first ones.
pub fn check_names<'a>(
    operation: &Operation,
    names: impl ExactSizeIterator<Item = &'a [u8]>,
    more: bool,
) -> Result<(), String> {
    let asked: &[Vec<u8>] = match operation {
        // The agent chooses the names.
        Operation::List { .. } => return Ok(()),
        Operation::Get { names, .. } | Operation::Wait { names, .. } => names,
        Operation::Put { name, .. }
        | Operation::Info { name }
        | Operation::WaitChange { name, .. } => std::slice::from_ref(name),
        // A removed object has no record.
        Operation::Remove { .. } => &[],
    };
    let number = names.len();
    if number > asked.len() || (!more && number < asked.len()) {
        let (records, asked) = (count(number, "record"), count(asked.len(), "name"));
        return Err(format!("a reply with {records} for {asked}"));
    }
    match names.zip(asked).find(|(name, asked)| name != asked) {
        Some((name, asked)) => Err(format!("{} in place of {}", quote(name), quote(asked))),
        None => Ok(()),
    }
}

/// The object of an fd, if it is the one that its record describes, and if its access is within
/// that of the record and the wanted one.
pub fn check_object(
    record: &Record,
    fd: Option<OwnedFd>,
    wanted: Access,
) -> Result<Object, String> {
    let name = quote(&record.name);
    let failed = |errno| format!("{name}: {}", bpf_inherit::describe(errno));
    let fd = fd.ok_or_else(|| format!("{name} without a descriptor"))?;
    let object = Object::identify(fd).map_err(failed)?;
    let object = object.map_err(|other| format!("{name} is {}", other.with_article()))?;
    if object.kind() != record.kind {
        let (real, declared) = (object.kind().with_article(), record.kind.with_article());
        return Err(format!("{name} is {real}, not {declared} as declared"));
    }
    if object.id() != record.id {
        let (real, declared) = (object.id(), record.id);
        return Err(format!("{name} has id {real}, not {declared} as declared"));
    }
    // Programs and links have no modes.
    if let Object::Map(map) = &object {
        let access = fd::access_mode(map.as_fd()).map_err(failed)?;
        let mode = Access::from(access);
        for (bound, why) in [(record.access, "declared"), (wanted, "requested")] {
            if !bound.has(mode) {
                let (real, bound) = (mode.name(), bound.name());
                return Err(format!("{name} has access {real}, not {bound} as {why}"));
            }
        }
    }
    Ok(object)
}
