//! Objects that are sent to an agent, one after the other.

use crate::cli::exit::{self, FAILED};
use crate::cli::map::arguments::AgentArguments;
use crate::cli::map::output::Output;
use crate::source::agent::Client;
use crate::source::object::new_pins::NewPins;
use crate::text::quote;
use anyhow::{anyhow, bail};
use bpf_inherit::environ::MAX_LAYOUT;
use bpf_inherit::object::Object;
use std::collections::BTreeMap;
use std::os::fd::AsFd;

/// An object that can be sent.
pub struct Outgoing {
    pub name: Vec<u8>,
    pub object: Object,
    /// If it is known.
    pub layout: Option<Vec<u8>>,
    /// The new pins of its maps, which remain if it is stored.
    pub pins: NewPins,
}

/// The agent that stores objects.
pub struct Destination<'a> {
    pub agent: &'a AgentArguments<'a>,
    /// Whether to wait for an agent that does not run.
    pub wait: bool,
    /// Whether an object of the same name is replaced.
    pub replace: bool,
    /// Whether the log of the verifier is printed if the verifier refuses a program.
    pub verbose: bool,
}

/// Opens and puts each of `objects`, which have labels for messages. Each object that is not
/// stored is reported, and the status is then [`FAILED`]; that no agent can be connected to is
/// one error.
pub fn put_each<T>(
    objects: Vec<(String, T)>,
    open: impl Fn(&T) -> anyhow::Result<Outgoing>,
    destination: &Destination,
    out: &mut Output,
) -> anyhow::Result<u8> {
    let total = objects.len();
    let mut objects = objects.into_iter();
    let mut labels = BTreeMap::new();
    let mut client = None;
    let mut status = 0;
    for (label, object) in objects.by_ref() {
        let opened = open(&object).and_then(|outgoing| {
            match labels.insert(outgoing.name.clone(), label.clone()) {
                Some(first) => {
                    bail!("{first} and {label} have the same name, {}", quote(&outgoing.name))
                }
                None => Ok(outgoing),
            }
        });
        let Outgoing { name, object, layout, pins } = match opened {
            Ok(outgoing) => outgoing,
            Err(error) => {
                out.report(format_args!("{error:#}"))?;
                if destination.verbose {
                    exit::print_log(&error);
                }
                status = FAILED;
                continue;
            }
        };
        let layout = limit_layout(layout, &label, out)?;
        let client = match &mut client {
            Some(client) => client,
            // The connection is made after the first object was opened, so that an error of that object
            // is reported even if there is no agent.
            None => client.insert(connect(destination, total)?),
        };
        match client.put(&name, object.as_fd(), &layout, destination.replace) {
            Ok(()) => pins.keep(),
            Err(failure) => {
                let answered = failure.is_refusal();
                out.report(failure)?;
                status = FAILED;
                if !answered {
                    break;
                }
            }
        }
    }
    for (label, _) in objects {
        out.report(format_args!("{label}: not sent to the agent"))?;
    }
    Ok(status)
}

/// Connects to the agent; the error message states the consequence for several objects.
fn connect(destination: &Destination, total: usize) -> anyhow::Result<Client<'static>> {
    let Destination { agent, wait, .. } = destination;
    let client = if *wait { agent.connect_when_there() } else { agent.connect() };
    client.map_err(|error| match total {
        1 => error,
        _ => anyhow!("{error:#}: none of the {total} objects was stored"),
    })
}

/// The layout that is sent, empty if it is unknown or, with a warning, too long.
fn limit_layout(layout: Option<Vec<u8>>, label: &str, out: &mut Output) -> anyhow::Result<Vec<u8>> {
    let layout = layout.unwrap_or_default();
    if layout.len() <= MAX_LAYOUT {
        return Ok(layout);
    }
    let length = layout.len();
    out.report(format_args!("warning: {label}: a layout of {length} bytes is omitted"))?;
    Ok(Vec::new())
}
