//! Maps that tc sends (`tc filter … export PATH`): transfer after transfer, each stored whole.

use super::Trouble;
use super::access::{Peer, Rights};
use super::share;
use super::shared::Agent;
use super::socket::Socket;
use super::store::Incoming;
use crate::source::tc::check;
use crate::sys::elem::MapFd;
use crate::sys::object::Object;
use crate::sys::scm::{self, MAX_FDS};
use crate::sys::{Errno, Result as SysResult, peer};
use crate::text::{count, escape, quote};
use crate::wire::agent::check_name;
use crate::wire::tc::{Datagram, ENTRY, HEADER, Header};
use nix::sys::socket::{getsockopt, sockopt::PassCred};
use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::time::Instant;

/// Transfers whose rest is yet to come.
const MAX_PARTIAL: usize = 16;
/// Datagrams that are taken before others get their turn.
const DATAGRAMS: usize = 64;

/// A socket to which tc sends.
#[derive(Debug)]
pub struct Import {
    pub socket: Socket,
    label: String,
    partial: Vec<Transfer>,
    /// Datagrams that had come before their senders were asked for, not yet told of.
    dropped: usize,
}

/// What has come of a transfer. Of several at a time each is known by its sender and header.
#[derive(Debug)]
struct Transfer {
    sender: Peer,
    header: Header,
    /// Each with the id that was declared for it.
    maps: Vec<(u32, MapFd)>,
    since: Instant,
}

impl Import {
    pub fn new(socket: Socket, label: impl Into<String>) -> SysResult<Import> {
        let mut dropped = 0;
        if !getsockopt(&socket, PassCred)? {
            peer::pass_credentials(socket.as_fd())?;
            // Of what came before nobody knows who sent it.
            while scm::receive(socket.as_fd(), &mut [0]).is_ok() {
                dropped += 1;
            }
        }
        Ok(Import { socket, label: label.into(), partial: Vec::new(), dropped })
    }

    /// Takes what has come; true if there may be more.
    pub fn turn(&mut self, agent: &mut Agent) -> bool {
        if let dropped @ 1.. = std::mem::take(&mut self.dropped) {
            let (label, dropped) = (&self.label, count(dropped, "datagram"));
            let line = format!("import {label}: {dropped} dropped: who sent it is not known");
            agent.log.line(line);
        }
        let mut payload = [0; HEADER + ENTRY * MAX_FDS];
        for _ in 0..DATAGRAMS {
            match scm::receive(self.socket.as_fd(), &mut payload) {
                Err(Errno::EAGAIN) => return false,
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    agent.log.line(format_args!("import {}: {errno}", self.label));
                    return false;
                }
                Ok(message) => {
                    let (pid, uid, gid) = message.credentials.unwrap_or((0, u32::MAX, u32::MAX));
                    let sender = Peer { uid, gid, pid, groups: Vec::new() };
                    let text = &payload[..message.length];
                    if let Err(why) = self.take(agent, &sender, text, message) {
                        // What came before of the same transfer is worth nothing without it.
                        self.partial.retain(|transfer| transfer.sender != sender);
                        agent
                            .log
                            .line(format_args!("import {}: {sender}: refused: {why}", self.label));
                    }
                }
            }
        }
        true
    }

    fn take(
        &mut self,
        agent: &mut Agent,
        sender: &Peer,
        payload: &[u8],
        message: scm::Received,
    ) -> Result<(), String> {
        if !agent.access.may_put_something(sender) {
            return Err(format!("no rule lets uid {} put anything", sender.uid));
        }
        if message.payload_truncated {
            return Err("a datagram longer than any that tc sends".into());
        }
        if message.control_truncated {
            return Err("descriptors were lost: too many are open here".into());
        }
        let Datagram { header, entries } =
            Datagram::decode(payload, message.fds.len()).map_err(|e| e.to_string())?;
        let total = header.total as usize;
        let is_trusted = agent.access.is_trusted(sender);
        let limit = share(agent.limits.objects, is_trusted);
        if total > limit {
            return Err(format!(
                "a transfer of {}, where {limit} may be stored",
                count(total, "map")
            ));
        }
        let known = |t: &Transfer| t.sender == *sender && t.header == header;
        let mut transfer = match self.partial.iter().position(known) {
            Some(at) => self.partial.swap_remove(at),
            None => {
                let own = |t: &&Transfer| t.sender.uid == sender.uid;
                let own = self.partial.iter().filter(own).count();
                let most = share(MAX_PARTIAL, is_trusted);
                if self.partial.len() >= MAX_PARTIAL || own >= most {
                    return Err("too many transfers are unfinished already".into());
                }
                let since = Instant::now();
                Transfer { sender: sender.clone(), header, maps: Vec::new(), since }
            }
        };
        for (entry, fd) in entries.iter().zip(message.fds) {
            let place = format!("descriptor {} of {total}", transfer.maps.len() + 1);
            let map = check(entry, fd, &place).map_err(|cause| cause.to_string())?;
            transfer.maps.push((entry.id, map));
        }
        match transfer.maps.len() {
            come if come > total => Err(format!("{} in a transfer of {total}", count(come, "map"))),
            come if come == total => self.store(agent, transfer),
            _ => {
                self.partial.push(transfer);
                Ok(())
            }
        }
    }

    /// Stores the maps of a whole transfer, in the place of those that had their names: all
    /// that can be known beforehand to stand in the way is looked at first.
    fn store(&self, agent: &mut Agent, transfer: Transfer) -> Result<(), String> {
        let Transfer { sender, header, maps, .. } = transfer;
        let file = header.object.rsplit(|&b| b == b'/').next().unwrap_or_default();
        if file.is_empty() {
            return Err("the object has no name".into());
        }
        let ids: BTreeSet<u32> = maps.iter().map(|(id, _)| *id).collect();
        let distinct = ids.len() == maps.len();
        if !distinct {
            agent.log.line(format_args!(
                "import {}: {sender}: ids repeat in {}: numbered anew",
                self.label,
                quote(file)
            ));
        }
        let name = |(at, (id, map)): (usize, (u32, MapFd))| {
            let id = if distinct { id } else { at as u32 };
            ([file, format!(":{id}").as_bytes()].concat(), map)
        };
        let named: Vec<(Vec<u8>, MapFd)> = maps.into_iter().enumerate().map(name).collect();
        for (name, _) in &named {
            check_name(name).map_err(|e| format!("{}: {e}", quote(name)))?;
            let exists = agent.store.get(name).is_some();
            let needed = if exists { Rights::PUT.or(Rights::REMOVE) } else { Rights::PUT };
            let granted = agent.access.granted(&sender, name);
            if !granted.rights.has(needed) {
                return Err(granted.refusal(&sender, needed, name));
            }
        }
        let new = named.iter().filter(|(name, _)| agent.store.get(name).is_none()).count();
        if agent.store.len() + new > agent.limits.objects {
            let limit = count(agent.limits.objects, "object");
            return Err(format!("{} more than the {limit} that may be stored", count(new, "name")));
        }
        let is_trusted = agent.access.is_trusted(&sender);
        let Peer { uid, gid, pid, .. } = sender;
        let names: Vec<Vec<u8>> = named.iter().map(|(name, _)| name.clone()).collect();
        let told = named.iter().map(|(name, map)| (map.info().id, escape(name)));
        let told: Vec<(u32, String)> = told.collect();
        let incoming = named.into_iter().map(|(_, map)| {
            let object = Object::Map(map);
            let layout = Vec::new();
            Incoming { object, layout, replace: true, uid, gid, pid, is_trusted }
        });
        let all = names.iter().map(Vec::as_slice).zip(incoming).collect();
        let put = agent.store.put(all);
        put.map_err(|(at, Trouble { reason, .. })| match at {
            Some(at) => format!("{}: {reason}", quote(&names[at])),
            None => reason,
        })?;
        agent.news = true;
        for (id, name) in told {
            agent.log.line(format_args!(
                "import {}: {sender}: stored map {id} as \"{name}\"",
                self.label
            ));
        }
        Ok(())
    }

    /// Gives up transfers whose rest does not come.
    pub fn tidy(&mut self, agent: &mut Agent, now: Instant) {
        let patience = agent.limits.patience;
        for old in self.partial.extract_if(.., |t| now.duration_since(t.since) >= patience) {
            let (come, total) = (old.maps.len(), old.header.total);
            agent.log.line(format_args!(
                "import {}: {}: given up: {come} of {total} maps came",
                self.label, old.sender
            ));
        }
    }

    /// Whether the rest of a transfer is awaited.
    pub fn is_waiting(&self) -> bool {
        !self.partial.is_empty()
    }
}
