//! `bpf-exec`: its arguments, and what is done with them.

mod arguments;
mod assemble;

use super::exit::{self, report, warn};
use crate::handoff::launch::{self, Failure, Handed, Handover};
use crate::handoff::place::OpenFiles;
use crate::handoff::{environ, lock};
use crate::map::typed::Layouts;
use crate::output::{self, MapRow};
use crate::source::inherited::{self, Inherited};
use crate::source::{self, Request, Settings, Source};
use crate::sys::{Errno, process};
use arguments::{Plan, Show};
use assemble::{assemble, keep};
use std::ffi::OsString;

const PROGRAM: &str = "bpf-exec";

/// Runs the program; returns its exit status, unless it became the command.
pub fn main(arguments: Vec<OsString>) -> u8 {
    // Before anything is opened, while numbers are what they were at the start.
    let (inherited, warnings) = inherited::open(&process::environment());
    let matches = match exit::parse(arguments::command(), PROGRAM, arguments, exit::OWN) {
        Ok(matches) => matches,
        Err(status) => return status,
    };
    for warning in warnings {
        warn(PROGRAM, with_sudo_hint(warning));
    }
    let result = arguments::plan(&matches).and_then(|plan| run(plan, inherited));
    match result {
        Ok(()) => 0,
        Err(error) => {
            report(PROGRAM, format_args!("{error:#}"));
            match error.downcast_ref::<Failure>() {
                Some(Failure::Exec(_, Errno::ENOENT)) => exit::NOT_FOUND,
                Some(Failure::Exec(..)) => exit::CANNOT_EXECUTE,
                _ => exit::OWN,
            }
        }
    }
}

/// A closed descriptor below sudo has one cause.
fn with_sudo_hint(warning: String) -> String {
    let below_sudo = std::env::var_os("SUDO_UID").is_some();
    if below_sudo && warning.ends_with("is closed, dropped") {
        return warning + " (sudo closes descriptors: put it outside, sudo bpf-exec …)";
    }
    warning
}

fn run(plan: Plan, inherited: Vec<Inherited>) -> anyhow::Result<()> {
    let limit = OpenFiles::raise();
    let mut layouts = Layouts::default();
    let (kept, dropped) =
        if plan.clean { (Vec::new(), inherited) } else { (inherited, Vec::new()) };
    let kept = keep(kept, &plan.settings, &mut layouts)?;
    let requests = match plan.requests {
        requests if requests.is_empty() && kept.is_empty() => vec![everything(&plan.settings)],
        requests => requests,
    };
    let groups = source::open_all(&requests, &plan.settings, &mut layouts)?;
    for (request, _) in requests.iter().zip(&groups).filter(|(_, group)| group.is_empty()) {
        warn(PROGRAM, format_args!("{}: no map is pinned there", request.source));
    }
    let (maps, warnings) = assemble(kept, &requests, groups, plan.fd_base, &limit)?;
    for warning in warnings.into_iter().chain(maps.iter().filter_map(long_layout)) {
        warn(PROGRAM, warning);
    }
    let rows = || maps.iter().map(row).collect::<Vec<MapRow>>();
    match plan.show {
        Show::DryRun { json: true } => return exit::print(output::json::maps(&rows()).as_bytes()),
        Show::DryRun { json: false } => {
            return exit::print(output::table::maps(&rows()).as_bytes());
        }
        Show::Table => exit::tell(&output::table::maps(&rows())),
        Show::Nothing => {}
    }
    if plan.lock
        && let Some(reason) = lock::way_around()
    {
        warn(PROGRAM, format_args!("--lock: {reason}"));
    }
    let dropped = dropped.into_iter().map(|map| map.fd).collect();
    let handover = Handover { maps, dropped, lock: plan.lock };
    Err(launch::launch(handover, plan.command, limit).into())
}

/// Without a source, and with nothing inherited: every map pinned below the bpffs root.
fn everything(settings: &Settings) -> Request {
    Request { name: None, source: Source::Pin(settings.bpffs.clone()) }
}

fn long_layout(map: &Handed) -> Option<String> {
    let length = map.claim.layout.as_ref()?.len();
    let index = map.claim.index;
    let too_long = length > environ::MAX_LAYOUT;
    too_long.then(|| {
        format!("BPF_MAP{index}: a layout of {length} bytes is left out of the environment")
    })
}

fn row(Handed { claim, info, access, .. }: &Handed) -> MapRow {
    MapRow::new(claim.index, claim.fd, claim.name.clone(), claim.layout.clone(), info, *access)
}
