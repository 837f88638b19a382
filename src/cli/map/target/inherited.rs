//! Inherited maps, programs and links, found by fd or by name.

use crate::foreign::ForeignName;
use crate::name::fault;
use anyhow::{Context, anyhow, bail};
use bpf_inherit::environ::{self, Claim};
use bpf_inherit::inherited::{Mismatch, check};
use bpf_inherit::object::Object;
use bpf_inherit::{InheritedFd, Map, ObjectKind, Startup, describe};
use std::os::fd::AsFd;

/// The object that an fd refers to, with its claim in the environment.
pub fn open_number(
    startup: &Startup,
    kind: ObjectKind,
    number: &str,
) -> anyhow::Result<(Object, Option<Claim>)> {
    let number = number.parse().ok().filter(|number: &i32| *number >= 0);
    let number = number.ok_or_else(|| anyhow!("not a descriptor number"))?;
    let claim = declared(startup, kind, |claim| claim.fd == number)?.into_iter().next();
    let object = duplicate(startup, kind, number, claim.as_ref().and_then(|claim| claim.id))?;
    Ok((object, claim))
}

/// The inherited object of this name, with its claim in the environment.
pub fn open_name(
    startup: &Startup,
    kind: ObjectKind,
    name: &[u8],
) -> anyhow::Result<(Object, Claim)> {
    let noun = kind.noun();
    let mut found = declared(startup, kind, |claim| claim.name.as_deref() == Some(name))?;
    match found.len() {
        0 => bail!("no inherited {noun} has this name"),
        1 => {
            let claim = found.remove(0);
            let object =
                duplicate(startup, kind, claim.fd, claim.id).with_context(|| claim.variable())?;
            Ok((object, claim))
        }
        several => {
            let fds: Vec<String> = found.iter().map(|claim| claim.fd.to_string()).collect();
            bail!("{several} inherited {noun}s have this name: descriptors {}", fds.join(", "))
        }
    }
}

/// The inherited map of this name, if there is one.
pub fn find_map(startup: &Startup, name: &[u8]) -> anyhow::Result<Option<Map>> {
    let named = |claim: &Claim| claim.name.as_deref() == Some(name);
    if declared(startup, ObjectKind::Map, named)?.is_empty() {
        return Ok(None);
    }
    match open_name(startup, ObjectKind::Map, name)?.0 {
        Object::Map(map) => Ok(Some(map)),
        _ => Ok(None),
    }
}

/// Opens the object that was inherited as `number`, if it has the id that was declared.
fn duplicate(
    startup: &Startup,
    kind: ObjectKind,
    number: i32,
    id: Option<u32>,
) -> anyhow::Result<Object> {
    let fd = startup.fd(number).map_err(|_| anyhow!(Mismatch::Closed.about(number)))?;
    open_fd(&fd, kind, id)
}

/// Opens the object that an inherited fd refers to, if it has the declared id.
pub fn open_fd(fd: &InheritedFd, kind: ObjectKind, id: Option<u32>) -> anyhow::Result<Object> {
    let number = fd.number();
    let opened = fd.open_as(kind, id);
    let opened =
        opened.map_err(|errno| anyhow!("duplicate descriptor {number}: {}", describe(errno)))?;
    opened.map_err(|reason| anyhow!(reason.about(number)))
}

/// The claims in the environment about objects of a kind that `is_meant` selects, with names that are
/// allowed. It is an error if one of them has a malformed id.
fn declared(
    startup: &Startup,
    kind: ObjectKind,
    is_meant: impl Fn(&Claim) -> bool,
) -> anyhow::Result<Vec<Claim>> {
    let environment = startup.environment();
    let all = environ::claims(environment.iter().map(|entry| entry.as_bytes()));
    let is_meant = |claim: &Claim| claim.kind == kind && is_meant(claim);
    if let Some(claim) = all.without_id.iter().find(|claim| is_meant(claim)) {
        bail!("{}_ID is not an id", claim.variable());
    }
    Ok(all
        .claims
        .into_iter()
        .map(|claim| with_good_name(startup, claim))
        .filter(is_meant)
        .collect())
}

/// Replaces a name that is not allowed by the name that `list` prints.
fn with_good_name(startup: &Startup, mut claim: Claim) -> Claim {
    if let Some(name) = claim.name.take_if(|name| fault(name).is_some()) {
        let fd = startup.fd(claim.fd).ok();
        let info = fd.and_then(|fd| check(fd.as_fd(), claim.kind, claim.id).ok());
        claim.name = info.and_then(|info| {
            let (foreign, index) = (Some(ForeignName::new(name)), Some(claim.index));
            ForeignName::choose(None, foreign, claim.kind, index, info.name()).0
        });
    }
    claim
}
