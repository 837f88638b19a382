//! What was inherited, found by a descriptor's number or by a name: maps, programs and links.

use crate::error::describe;
use crate::handoff::environ::{self, Claim, Class};
use crate::name::fault;
use crate::source::foreign::ForeignName;
use crate::source::inherited;
use crate::sys::object::Object;
use crate::sys::process;
use anyhow::{Context, anyhow, bail};

/// The object behind a descriptor's number, with what the environment says of it.
pub fn descriptor(class: Class, number: &str) -> anyhow::Result<(Object, Option<Claim>)> {
    let number = number.parse().map_err(|_| anyhow!("not a descriptor number"))?;
    let claim = declared(class, |claim| claim.fd == number)?.into_iter().next();
    let object = duplicate(class, number, claim.as_ref().and_then(|claim| claim.id))?;
    Ok((object, claim))
}

/// The inherited object of this name, with what the environment says of it.
pub fn by_name(class: Class, name: &[u8]) -> anyhow::Result<(Object, Claim)> {
    let noun = class.noun();
    let mut found = declared(class, |claim| claim.name.as_deref() == Some(name))?;
    match found.len() {
        0 => bail!("no inherited {noun} has this name"),
        1 => {
            let claim = found.remove(0);
            let object = duplicate(class, claim.fd, claim.id).with_context(|| claim.variable())?;
            Ok((object, claim))
        }
        several => {
            let fds: Vec<String> = found.iter().map(|claim| claim.fd.to_string()).collect();
            bail!("{several} inherited {noun}s have this name: descriptors {}", fds.join(", "))
        }
    }
}

/// A descriptor of our own for what was inherited as `number`, if it has the id that was declared.
fn duplicate(class: Class, number: i32, id: Option<u32>) -> anyhow::Result<Object> {
    let unfit = |reason: inherited::Unfit| anyhow!(reason.about(number));
    let (fd, _) = inherited::check(number, class, id).map_err(unfit)?;
    let fail = |errno| anyhow!("duplicate descriptor {number}: {}", describe(errno));
    let object = Object::identify_as(class.kind(), fd.duplicate().map_err(fail)?).map_err(fail)?;
    object.map_err(|other| anyhow!("descriptor {number} is {}", other.describe()))
}

/// What the environment declares of a class, where `is_meant`, with names that can be used. An error
/// if one of them has no id to be compared.
fn declared(class: Class, is_meant: impl Fn(&Claim) -> bool) -> anyhow::Result<Vec<Claim>> {
    let environment = process::environment();
    let all = environ::claims(environment.iter().map(|entry| entry.as_bytes()));
    let is_meant = |claim: &Claim| claim.class == class && is_meant(claim);
    if let Some(claim) = all.without_id.iter().find(|claim| is_meant(claim)) {
        bail!("{}_ID is not an id", claim.variable());
    }
    Ok(all.claims.into_iter().map(with_good_name).filter(is_meant).collect())
}

/// The claim with a name that can be used, which is the one that `list` prints.
fn with_good_name(mut claim: Claim) -> Claim {
    if let Some(name) = claim.name.take_if(|name| fault(name).is_some()) {
        let object = inherited::check(claim.fd, claim.class, claim.id).ok();
        claim.name = object.and_then(|(_, info)| {
            let (foreign, index) = (Some(ForeignName::new(name)), Some(claim.index));
            ForeignName::choose(None, foreign, claim.class, index, info.name()).0
        });
    }
    claim
}
