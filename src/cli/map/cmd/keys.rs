//! `bpf-map keys` and `bpf-map count`: all keys, and how many there are.

use super::get::{integers, json_flags};
use crate::cli::map::session::Session;
use crate::cli::map::target::origin::Part;
use crate::cli::map::target::walk::Walk;
use crate::cli::map::target::{Target, reference};
use bpf_layout::print;
use clap::{ArgMatches, Command};

pub fn arguments(command: Command) -> Command {
    reference::arguments(command).args(json_flags())
}

pub fn run(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let (startup, out) = session.parts();
    let target = reference::open(startup, matches, false)?;
    let key_type = target.walked_key("keys")?;
    check_slots(&target, "keys")?;
    target.warn_of_guess(&[Part::Key]);
    let mut walk = Walk::new(&target, "keys", None)?.keys_only();
    let json = integers(matches);
    let mut between: &[u8] = b"[";
    while let Some(chunk) = walk.next()? {
        for key in chunk.keys().chunks_exact(target.map.key_len()) {
            if let Some(integers) = json {
                out.data.extend_from_slice(between);
                between = b",";
                integers.json(key_type, key, &mut out.data);
            } else {
                print::plain(key_type, key, &mut out.data);
                out.data.push(b'\n');
            }
            out.spill()?;
        }
    }
    if json.is_some() {
        out.data.extend_from_slice(if between == b"[" { b"[]\n" } else { b"]\n" });
    }
    Ok(0)
}

/// Which slots are in use is only known from their values.
fn check_slots(target: &Target, operation: &'static str) -> anyhow::Result<()> {
    match target.map.info().map_type.is_walked_by_index() {
        true => target.check_readable(operation),
        false => Ok(()),
    }
}

pub fn count_arguments(command: Command) -> Command {
    reference::arguments(command)
}

pub fn count(matches: &ArgMatches, session: &mut Session) -> anyhow::Result<u8> {
    let (startup, out) = session.parts();
    let target = reference::open(startup, matches, false)?;
    target.walked_key("count")?;
    check_slots(&target, "count")?;
    let info = target.map.info();
    let mut count = u64::from(info.max_entries);
    if !info.map_type.is_filled() {
        count = 0;
        let mut walk = Walk::new(&target, "count", None)?.keys_only();
        while let Some(chunk) = walk.next()? {
            count += chunk.len() as u64;
        }
    }
    out.data.extend_from_slice(format!("{count}\n").as_bytes());
    Ok(0)
}
