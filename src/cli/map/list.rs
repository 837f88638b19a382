//! `bpf-map list`: the inherited maps.

use crate::cli::exit::{self, warn};
use crate::map::typed::Layouts;
use crate::output::{self, MapRow};
use crate::source::inherited::{self, Inherited};
use crate::sys::process;
use clap::{Arg, ArgAction, Command};

pub fn arguments(command: Command) -> Command {
    command.arg(Arg::new("json").long("json").help("Print JSON").action(ArgAction::SetTrue))
}

pub fn run(json: bool) -> anyhow::Result<u8> {
    let (inherited, warnings) = inherited::open(&process::environment());
    for warning in warnings {
        warn(super::PROGRAM, warning);
    }
    let mut layouts = Layouts::default();
    let rows: Vec<MapRow> = inherited.into_iter().map(|map| row(map, &mut layouts)).collect();
    let text = if json { output::json::maps(&rows) } else { output::table::maps(&rows) };
    exit::print(text.as_bytes())?;
    Ok(0)
}

fn row(Inherited { claim, info, access, .. }: Inherited, layouts: &mut Layouts) -> MapRow {
    let layout = claim.layout.or_else(|| layouts.of(&info));
    MapRow::new(claim.index, claim.fd, claim.name, layout, &info, access)
}
