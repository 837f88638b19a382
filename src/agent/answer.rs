//! A request becomes an answer, or a refusal: access asked, and the store asked.

use super::Trouble;
use super::access::{Peer, Rights};
use super::packet::Answer;
use super::shared::Agent;
use super::store::{Incoming, absent};
use super::stored::Handout;
use crate::text::{count, quote};
use crate::wire::agent::{MAX_NAME, Mode, Operation, Record, Reply, Status};
use bpf_inherit::fd::{self, FdType};
use bpf_inherit::object::Object;
use bpf_inherit::peer;
use std::os::fd::{AsFd, OwnedFd};

/// Bytes of the longest glob that means anything: a star before each byte of a name, and one
/// behind. A longer one would only take time.
const MAX_GLOB: usize = 2 * MAX_NAME + 1;

/// What a request comes to.
pub enum Begun {
    Answer(Answer),
    /// To be answered when all these are there.
    Wait {
        names: Vec<Vec<u8>>,
        milliseconds: u32,
    },
}

/// A request that is refused: the object that it is about, quoted, and the reason.
pub type Refusal = (String, Trouble);

/// A descriptor for a client.
pub struct Grant<'a> {
    pub record: Record,
    pub fd: Handout<'a>,
    /// The line for the log once the descriptor is sent, unless such lines are left out.
    pub line: Option<String>,
}

impl From<Trouble> for Reply {
    fn from(trouble: Trouble) -> Reply {
        Reply::Failure { status: trouble.status, reason: trouble.reason }
    }
}

impl Agent {
    /// Takes up a request that came with `fds`, of which it takes what it stores; `lost` says
    /// that there were more.
    pub fn begin(
        &mut self,
        peer: &Peer,
        socket: impl AsFd,
        operation: Operation,
        fds: &mut Vec<OwnedFd>,
        lost: bool,
    ) -> Begun {
        let verb = verb(&operation);
        let begun = self.decide(peer, operation, fds, lost);
        begun.unwrap_or_else(|refusal| Begun::Answer(self.refuse(peer, socket, verb, refusal)))
    }

    /// Logs a refusal, and makes it the answer.
    pub fn refuse(
        &mut self,
        peer: &Peer,
        socket: impl AsFd,
        verb: &str,
        (object, trouble): Refusal,
    ) -> Answer {
        let client = self.name_of(peer, socket);
        self.log.line(format_args!("{verb} {object}: {client}: refused: {}", trouble.reason));
        Answer::Whole(trouble.into())
    }

    fn decide(
        &mut self,
        peer: &Peer,
        operation: Operation,
        fds: &mut Vec<OwnedFd>,
        lost: bool,
    ) -> Result<Begun, Refusal> {
        let is_put = matches!(operation, Operation::Put { .. });
        if !is_put && (lost || !fds.is_empty()) {
            let reason = "a descriptor came along that this operation does not take";
            return Err((String::new(), Trouble::new(Status::Malformed, reason)));
        }
        match operation {
            Operation::List { glob } if glob.len() > MAX_GLOB => {
                let length = count(glob.len(), "byte");
                let reason =
                    format!("a glob of {length}, where no name needs more than {MAX_GLOB}");
                Err((String::new(), Trouble::new(Status::Malformed, reason)))
            }
            Operation::List { glob } => {
                let glob = if glob.is_empty() { b"*".to_vec() } else { glob };
                self.log.granted(format_args!(
                    "list {}: {peer}: granted what it may see",
                    quote(&glob)
                ));
                Ok(Begun::Answer(Answer::List { glob, after: None, found: Vec::new() }))
            }
            // Decided packet by packet, when it can be sent.
            Operation::Get { names, wanted } => {
                Ok(Begun::Answer(Answer::Get { names, wanted, sent: 0 }))
            }
            Operation::Info { name } => {
                let trouble = |t| (quote(&name), t);
                self.demand(peer, &name, Rights::LIST).map_err(trouble)?;
                let record =
                    self.record(peer, &name).ok_or_else(|| absent(&name)).map_err(trouble)?;
                self.log.granted(format_args!("info {}: {peer}: granted", quote(&name)));
                Ok(whole(vec![record]))
            }
            Operation::Wait { names, milliseconds } => {
                for name in &names {
                    self.demand(peer, name, Rights::LIST).map_err(|t| (quote(name), t))?;
                }
                Ok(Begun::Wait { names, milliseconds })
            }
            Operation::Remove { name } => self.remove(peer, &name).map_err(|t| (quote(&name), t)),
            Operation::Put { name, layout, replace } => {
                let trouble = |t| (quote(&name), t);
                let needed = if replace { Rights::PUT.or(Rights::REMOVE) } else { Rights::PUT };
                self.demand(peer, &name, needed).map_err(trouble)?;
                let object = one_object(fds, lost).map_err(trouble)?;
                let Peer { uid, gid, pid, .. } = *peer;
                let is_trusted = self.access.is_trusted(peer);
                let incoming = Incoming { object, layout, replace, uid, gid, pid, is_trusted };
                self.put(peer, &name, incoming).map_err(trouble)
            }
        }
    }

    /// An error unless the rules give `peer` all of `needed` on `name`.
    fn demand(&self, peer: &Peer, name: &[u8], needed: Rights) -> Result<(), Trouble> {
        let granted = self.access.granted(peer, name);
        if granted.rights.has(needed) {
            return Ok(());
        }
        Err(Trouble::new(Status::Refused, granted.refusal(peer, needed, name)))
    }

    /// Decides whether `peer` gets `name`, and opens the descriptor that it gets.
    pub fn grant(&self, peer: &Peer, name: &[u8], wanted: Mode) -> Result<Grant<'_>, Trouble> {
        let granted = self.access.granted(peer, name);
        let allowed = wanted.and(granted.rights.mode());
        let refused = |reason: String| Trouble::new(Status::Refused, reason);
        // A client without any right to the name does not learn whether the name exists.
        if allowed == Mode::NONE {
            let missing = if wanted == Mode::WRITE { Rights::WRITE } else { Rights::READ };
            return Err(refused(granted.refusal(peer, missing, name)));
        }
        let stored = self.store.get(name).ok_or_else(|| absent(name))?;
        let access = stored.access(allowed);
        if access == Mode::NONE {
            let (asked, bound) = (allowed.name(), stored.about.bound.name());
            let class = stored.about.class.name();
            return Err(refused(match class {
                "map" => format!("{} was put with access {bound}, not {asked}", quote(name)),
                _ => format!(
                    "{} is a {class}, which has no descriptor with access {asked} alone",
                    quote(name)
                ),
            }));
        }
        let fd = self.store.hand_out(name, access)?;
        let record = self.store.record(name, stored, access);
        let line = self.log.logs_granted().then(|| {
            format!("get {}: {peer}: granted {} by {granted}", quote(name), access.name())
        });
        Ok(Grant { record, fd, line })
    }

    fn put(&mut self, peer: &Peer, name: &[u8], incoming: Incoming) -> Result<Begun, Trouble> {
        let is_new = self.store.put(name, incoming)?;
        self.news |= is_new;
        let record = self.record(peer, name).into_iter().collect::<Vec<_>>();
        if let Some(Record { class, id, bound, .. }) = record.first() {
            let (class, bound) = (class.name(), bound.name());
            let same = if is_new { "" } else { ", as it was" };
            let text = format!("put {}: {peer}: stored {class} {id} {bound}{same}", quote(name));
            self.log.line(text);
        }
        Ok(whole(record))
    }

    fn remove(&mut self, peer: &Peer, name: &[u8]) -> Result<Begun, Trouble> {
        self.demand(peer, name, Rights::REMOVE)?;
        self.store.remove(name)?;
        self.log.line(format_args!("remove {}: {peer}: removed", quote(name)));
        Ok(whole(Vec::new()))
    }

    /// Who a peer is, with the name of its program where that can be known for certain.
    fn name_of(&self, peer: &Peer, socket: impl AsFd) -> String {
        let comm = peer::pidfd(socket.as_fd()).ok().and_then(|pidfd| {
            let name = std::fs::read(format!("/proc/{}/comm", peer.pid)).ok()?;
            // Read before this, so the number was still its own.
            bpf_inherit::process::is_alive(pidfd.as_fd()).then_some(name)
        });
        match comm {
            Some(name) => format!("{peer} ({})", crate::text::escape(name.trim_ascii_end())),
            None => peer.to_string(),
        }
    }
}

fn whole(records: Vec<Record>) -> Begun {
    Begun::Answer(Answer::Whole(Reply::Records { records, more: false }))
}

/// The one descriptor of a put, if it is of an object. Whatever else came stays in `fds`.
fn one_object(fds: &mut Vec<OwnedFd>, lost: bool) -> Result<Object, Trouble> {
    let unfit = |reason: &str| Trouble::new(Status::Unfit, reason);
    let failed = |errno| Trouble::new(Status::Failed, bpf_inherit::describe(errno));
    match &fds[..] {
        _ if lost && fds.is_empty() => {
            return Err(unfit("the descriptor was lost: too many are open here"));
        }
        [] => return Err(unfit("no descriptor came along")),
        [one] => {
            if let other @ FdType::Other(_) = fd::fd_type(one.as_fd()).map_err(failed)? {
                return Err(unfit(&format!("{}, not a BPF object", other.with_article())));
            }
        }
        _ => return Err(unfit("more than one descriptor came along")),
    }
    let object = Object::identify(fds.remove(0)).map_err(failed)?;
    object.map_err(|other| unfit(&format!("{}, not a BPF object", other.with_article())))
}

fn verb(operation: &Operation) -> &'static str {
    match operation {
        Operation::List { .. } => "list",
        Operation::Get { .. } => "get",
        Operation::Put { .. } => "put",
        Operation::Remove { .. } => "remove",
        Operation::Info { .. } => "info",
        Operation::Wait { .. } => "wait for",
    }
}
