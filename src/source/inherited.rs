//! Inherited objects, with their names and layouts checked.

use crate::error::Error;
use crate::foreign::{ForeignLayout, ForeignName};
use bpf_inherit::environ::Claim;
use bpf_inherit::fd::{FdType, fd_type};
use bpf_inherit::inherited::{Inheritance, Inherited};
use bpf_inherit::object::Info;
use bpf_inherit::{InheritedFd, ObjectKind, Startup};
use std::os::fd::AsFd;

/// The inherited objects that the environment declares. An open file descriptor that cannot be
/// identified is an error: it may be a writable map.
///
/// Call it before anything else is opened.
pub fn open(startup: &Startup) -> Result<Inheritance, Error> {
    let mut inheritance = startup.inherited().map_err(|(claim, errno)| {
        let object = format!("{}: descriptor {}", claim.variable(), claim.fd);
        Error::new(object, "identify", errno)
    })?;
    for Inherited { claim, info, .. } in &mut inheritance.objects {
        check_claim(claim, info, &mut inheritance.warnings);
    }
    Ok(inheritance)
}

/// Replaces a bad name, and drops a layout that does not fit.
fn check_claim(claim: &mut Claim, info: &Info, warnings: &mut Vec<String>) {
    let variable = claim.variable();
    let mut warn = |warning: Option<String>| warnings.extend(warning);
    let foreign = claim.name.take().map(ForeignName::new);
    let index = Some(claim.index);
    let (name, warning) = ForeignName::choose(None, foreign, claim.kind, index, info.name());
    warn(warning);
    let layout = match (claim.layout.take(), info) {
        (Some(text), Info::Map(map, _)) => {
            let layout = ForeignLayout::new(text, format!("{variable}_LAYOUT")).fit(map);
            layout.map_err(|warning| warn(Some(warning))).ok()
        }
        (None, _) | (Some(_), Info::Program(_) | Info::Link(_)) => None,
    };
    (claim.name, claim.layout) = (name, layout.map(|layout| layout.to_string().into_bytes()));
}

/// All inherited maps, programs and links, declared or not, by ascending fd.
pub fn list_objects(startup: &Startup) -> Result<Vec<(InheritedFd, ObjectKind)>, Error> {
    let fail = |errno| Error::new("inherited descriptors", "list", errno);
    let mut found = Vec::new();
    for inherited in startup.fds().map_err(fail)? {
        if let FdType::Object(kind) = fd_type(inherited.as_fd()).map_err(fail)? {
            found.push((inherited, kind));
        }
    }
    Ok(found)
}
