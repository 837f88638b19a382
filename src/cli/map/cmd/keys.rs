//! `bpf-map keys`: all keys.

use crate::cli::map::arguments::{self, MapArguments};
use crate::cli::map::session::Session;
use crate::cli::map::target::origin::LayoutPart;
use crate::cli::map::target::walk::Walk;
use crate::output::element::Integers;
use bpf_inherit::AccessMode;
use bpf_layout::print;
use clap::{ArgMatches, Command};

pub fn arguments(command: Command) -> Command {
    arguments::map(command).args(arguments::json_flags())
}

#[derive(Debug, PartialEq)]
pub struct Args<'a> {
    map: MapArguments<'a>,
    json: Option<Integers>,
}

impl<'a> Args<'a> {
    pub fn new(matches: &'a ArgMatches) -> anyhow::Result<Args<'a>> {
        Ok(Args { map: MapArguments::new(matches)?, json: arguments::integers(matches) })
    }
}

pub fn run(args: Args, session: &mut Session) -> anyhow::Result<u8> {
    let target = session.open(&args.map, AccessMode::ReadOnly)?;
    let out = &mut session.out;
    let key_type = target.walked_key("keys")?;
    target.check_slots_readable("keys")?;
    target.warn_of_guess(&[LayoutPart::Key]);
    let mut walk = Walk::new(&target, "keys", None)?.keys_only();
    let mut between: &[u8] = b"[";
    while let Some(chunk) = walk.next()? {
        for key in chunk.keys().chunks_exact(target.map.key_len()) {
            if let Some(integers) = args.json {
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
    if args.json.is_some() {
        out.data.extend_from_slice(if between == b"[" { b"[]\n" } else { b"]\n" });
    }
    Ok(0)
}
