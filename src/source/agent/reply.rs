//! An agent's reply, held against what was asked: an agent may be hostile, or wrong.

use crate::text::{count, quote};
use crate::wire::agent::{Access, Operation, Record, Reply, Status};
use bpf_inherit::fd;
use bpf_inherit::object::Object;
use std::os::fd::{AsFd, OwnedFd};

/// Bytes of all packets of a reply; more records than an agent stores have room in them.
const MAX_REPLY: usize = 64 << 20;
/// What a packet counts for at least, so that empty ones come to an end, too.
const MIN_PACKET: usize = 1024;

/// How much more of a reply is taken.
pub struct Budget(usize);

impl Default for Budget {
    fn default() -> Budget {
        Budget(MAX_REPLY)
    }
}

impl Budget {
    /// Takes one packet of so many bytes; an error where that is too much.
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

/// Reads one packet of the reply to the request with this number. The error says what is wrong with the packet itself.
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

/// An error unless `names` are those that `operation` asks for, in their order: all of them,
/// or, where `more` are to follow, the first.
pub fn check_names<'a>(
    operation: &Operation,
    names: impl ExactSizeIterator<Item = &'a [u8]>,
    more: bool,
) -> Result<(), String> {
    let asked: &[Vec<u8>] = match operation {
        // It is the agent that knows what is there.
        Operation::List { .. } => return Ok(()),
        Operation::Get { names, .. } | Operation::Wait { names, .. } => names,
        Operation::Put { name, .. }
        | Operation::Info { name }
        | Operation::WaitChange { name, .. } => std::slice::from_ref(name),
        // What is gone has no record.
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

/// The object behind a descriptor, if it is the one that its record describes, and if its
/// access is within what the record says and what was wanted.
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
    let kind = record.kind;
    if object.kind() != kind {
        let (real, told) = (object.kind().with_article(), kind.with_article());
        return Err(format!("{name} is {real}, and was said to be {told}"));
    }
    if object.id() != record.id {
        let (real, told) = (object.id(), record.id);
        return Err(format!("{name} has id {real}, and was said to have {told}"));
    }
    // Programs and links have no modes.
    if let Object::Map(map) = &object {
        let access = fd::access_mode(map.as_fd()).map_err(failed)?;
        let mode = Access::from(access);
        for (bound, why) in [(record.access, "was said to have"), (wanted, "was asked with")] {
            if !bound.has(mode) {
                let (real, bound) = (mode.name(), bound.name());
                return Err(format!("{name} has access {real}, and {why} {bound}"));
            }
        }
    }
    Ok(object)
}
