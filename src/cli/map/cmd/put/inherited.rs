//! `bpf-map put --inherited`: puts every inherited map, program and link under its own name.

use super::outgoing::{Destination, Outgoing, put_each};
use crate::cli::exit::FAILED;
use crate::cli::map::output::Output;
use crate::cli::map::target::inherited::open_fd;
use crate::map::typed::Layouts;
use crate::source::inherited;
use crate::source::object::new_pins::NewPins;
use crate::text::{escape, quote};
use crate::wire::agent::check_new_name;
use anyhow::{Context, bail};
use bpf_inherit::Startup;
use bpf_inherit::environ::Claim;
use bpf_inherit::inherited::{Inheritance, Inherited};
use bpf_inherit::object::Object;
use std::collections::BTreeMap;

/// Puts what can be put. A malformed or duplicate name is an error before anything is sent.
/// The status is [`FAILED`] if an object that the environment declares is not stored.
pub fn put(startup: &Startup, destination: &Destination, out: &mut Output) -> anyhow::Result<u8> {
    let Inheritance { objects, dropped, warnings, .. } = inherited::open(startup)?;
    for warning in warnings {
        out.report(format_args!("warning: {warning}"))?;
    }
    let named = name_all(&objects)?;
    if named.is_empty() {
        bail!("--inherited: no map, program or link is inherited");
    }
    let named = named.into_iter().map(|named| (named.1.claim.variable(), named)).collect();
    let open = |(name, inherited): &(Vec<u8>, &Inherited)| {
        open(name, inherited).with_context(|| inherited.claim.variable())
    };
    let status = put_each(named, open, destination, out)?;
    Ok(if dropped { FAILED } else { status })
}

/// The objects by their names, by kind and index. Maps, programs and links share the
/// names of an agent.
fn name_all(objects: &[Inherited]) -> anyhow::Result<Vec<(Vec<u8>, &Inherited)>> {
    let mut variables = BTreeMap::new();
    let mut named = Vec::new();
    for object in objects {
        let (name, variable) = (name(&object.claim), object.claim.variable());
        check_new_name(&name).with_context(|| format!("{variable}: {}", escape(&name)))?;
        if let Some(first) = variables.insert(name.clone(), variable.clone()) {
            bail!("{first} and {variable} have the same name, {}", quote(&name));
        }
        named.push((name, object));
    }
    Ok(named)
}

/// `BPF_MAP<n>_NAME`, else `map<n>`; likewise for programs and links.
fn name(claim: &Claim) -> Vec<u8> {
    claim.name.clone().unwrap_or_else(|| claim.kind.numbered(claim.index).into())
}

/// The object with a file descriptor that this process owns.
fn open(name: &[u8], Inherited { claim, fd, .. }: &Inherited) -> anyhow::Result<Outgoing> {
    let object = open_fd(fd, claim.kind, claim.id)?;
    let layout = match &object {
        // A declared layout fits: inherited::open has dropped any other.
        Object::Map(map) => {
            claim.layout.clone().or_else(|| Layouts::default().read_text(map.info()).0)
        }
        _ => None,
    };
    Ok(Outgoing { name: name.to_vec(), object, layout, pins: NewPins::default() })
}
