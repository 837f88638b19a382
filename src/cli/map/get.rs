//! `bpf-map get`: the values of keys.

use super::{positional, reference, value};
use crate::cli::exit::{self, report};
use crate::layout::{Slot, print};
use crate::map::kind::Kind;
use crate::text::escape;
use anyhow::Context;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

pub fn arguments(command: Command) -> Command {
    command.args([
        positional("MAP", "The map"),
        positional("KEY", "The keys; the last may be a field of the value, as .NAME").num_args(1..),
        Arg::new("json").long("json").help("Print JSON").action(ArgAction::SetTrue),
    ])
}

pub fn run(matches: &ArgMatches) -> anyhow::Result<u8> {
    let target = reference::open(value(matches, "MAP"), false)?;
    let mut keys: Vec<&OsString> = matches.get_many("KEY").into_iter().flatten().collect();
    let field = keys.pop_if(|last| last.as_bytes().starts_with(b"."));
    let slot: Slot = match field.map(|field| field.to_string_lossy()) {
        Some(path) => target.layout.value.field(&path).with_context(|| target.label.clone())?,
        None => (&target.layout.value).into(),
    };
    let keys = keys.into_iter().map(|text| Ok((text, target.key(text)?)));
    let keys: Vec<(&OsString, Vec<u8>)> = keys.collect::<anyhow::Result<_>>()?;
    let (mut out, mut status) = (Vec::new(), 0);
    for (text, key) in &keys {
        let Some(found) = target.lookup(key)? else {
            report(
                super::PROGRAM,
                format_args!("{}: no key {}", target.label, escape(text.as_bytes())),
            );
            status = exit::ABSENT;
            continue;
        };
        let info = target.map.info();
        let json = matches.get_flag("json");
        if Kind(info.kind).is_per_cpu() {
            let stride = (info.value_size as usize).next_multiple_of(8);
            line(slot, &print::PerCpu::new(&found, stride), json, &mut out);
        } else {
            line(slot, &found[..], json, &mut out);
        }
    }
    exit::print(&out)?;
    Ok(status)
}

fn line<V: print::Values + ?Sized>(slot: Slot, values: &V, json: bool, out: &mut Vec<u8>) {
    match json {
        true => print::json(slot, values, out),
        false => print::plain(slot, values, out),
    }
    out.push(b'\n');
}
