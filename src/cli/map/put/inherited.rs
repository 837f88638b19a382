//! `bpf-map put --inherited`: puts every inherited map, program and link under its own name.

use super::limit_layout;
use crate::cli::exit::{FAILED, Output};
use crate::cli::map::agent;
use crate::error::describe;
use crate::handoff::environ::Claim;
use crate::map::typed::Layouts;
use crate::source::inherited::{self, Inherited};
use crate::sys::fd;
use crate::sys::object::Object;
use crate::text::{escape, quote};
use crate::wire::agent::check_name;
use anyhow::{Context, anyhow, bail};
use clap::ArgMatches;
use std::collections::BTreeMap;
use std::os::fd::AsFd;

/// Puts what can be put. Each object that is not put is reported, and the status is then
/// [`FAILED`]. A malformed or duplicate name is an error before anything is sent.
pub fn put(matches: &ArgMatches, out: &mut Output) -> anyhow::Result<u8> {
    let inherited = inherited::here()?;
    let named = name_all(&inherited.objects)?;
    let mut status = if inherited.warnings.is_empty() { 0 } else { FAILED };
    for warning in inherited.warnings {
        out.report(warning)?;
    }
    if named.is_empty() {
        bail!("--inherited: no map, program or link is inherited");
    }
    let mut client = agent::connect(matches)?;
    for (name, Inherited { claim, fd, .. }) in named {
        let label = claim.variable();
        let (object, layout) = match open(claim, fd) {
            Ok(opened) => opened,
            Err(error) => {
                out.report(format_args!("{label}: {error:#}"))?;
                status = FAILED;
                continue;
            }
        };
        let layout = limit_layout(layout, &label, out)?;
        match client.put(&name, object.as_fd(), &layout, matches.get_flag("replace")) {
            Err(failure) if failure.is_refusal() => {
                out.report(failure)?;
                status = FAILED;
            }
            result => result?,
        }
    }
    Ok(status)
}

/// The objects by their names, by class and index. Maps, programs and links share the
/// names of an agent.
fn name_all(objects: &[Inherited]) -> anyhow::Result<Vec<(Vec<u8>, &Inherited)>> {
    let mut variables = BTreeMap::new();
    let mut named = Vec::new();
    for object in objects {
        let (name, variable) = (name(&object.claim), object.claim.variable());
        check_name(&name).with_context(|| format!("{variable}: {}", escape(&name)))?;
        if let Some(first) = variables.insert(name.clone(), variable.clone()) {
            bail!("{first} and {variable} have the same name, {}", quote(&name));
        }
        named.push((name, object));
    }
    Ok(named)
}

/// `BPF_MAP<n>_NAME`, else `map<n>`; likewise for programs and links.
fn name(claim: &Claim) -> Vec<u8> {
    claim.name.clone().unwrap_or_else(|| claim.class.numbered(claim.index).into())
}

/// The object with a file descriptor that this process owns, and its layout.
fn open(claim: &Claim, fd: &fd::Inherited) -> anyhow::Result<(Object, Option<Vec<u8>>)> {
    let fail = |errno| anyhow!("duplicate descriptor {}: {}", claim.fd, describe(errno));
    let object = Object::identify_as(claim.class.kind(), fd.duplicate().map_err(fail)?);
    let object = object.map_err(fail)?;
    let object =
        object.map_err(|other| anyhow!("descriptor {} is {}", claim.fd, other.describe()))?;
    let layout = match &object {
        // A declared layout fits: inherited::here has dropped any other.
        Object::Map(map) => claim.layout.clone().or_else(|| Layouts::default().of(map.info()).0),
        _ => None,
    };
    Ok((object, layout))
}
