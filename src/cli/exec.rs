//! `bpf-exec`: opens the sources, and hands their objects over to the command.

mod arguments;
mod assemble;
mod expect;
mod requests;
mod source_option;

pub use arguments::mode as socket_mode;
pub use requests::decimal;

use super::exit::{self, warn};
use crate::error::Error;
use crate::handoff::launch::{self, HandedObject, Handover, LaunchError};
use crate::handoff::lock;
use crate::handoff::place::OpenFiles;
use crate::map::typed::Layouts;
use crate::output::{self, Row};
use crate::source::inherited;
use crate::source::object::new_pins::NewPins;
use crate::source::open::{OpenedSources, open_all};
use crate::source::request::{Request, Settings, Source};
use crate::text::escape;
use arguments::{CommandLine, Show};
use assemble::{assemble, keep_inherited, restrict_strays};
use bpf_inherit::environ::{self, Scope};
use bpf_inherit::inherited::Inheritance;
use bpf_inherit::{Map, ObjectKind, Startup};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

const PROGRAM: &str = "bpf-exec";

/// Runs the program. Returns its exit status, if the command was not executed.
pub fn main(startup: Startup, arguments: Vec<OsString>) -> u8 {
    if exit::is_refused(PROGRAM) {
        return exit::OWN;
    }
    // First, while every open fd without FD_CLOEXEC is an inherited one.
    let inheritance = inherited::open(&startup);
    let matches = match exit::parse(arguments::command(), PROGRAM, None, arguments, exit::OWN) {
        Ok(matches) => matches,
        Err(status) => return status,
    };
    let result = arguments::read_command_line(&matches).and_then(|command_line| {
        let inheritance = inheritance?;
        for warning in &inheritance.warnings {
            warn(PROGRAM, format_args!("{warning}{}", sudo_hint(warning)));
        }
        run(command_line, &startup, inheritance)
    });
    match result {
        Ok(()) => 0,
        Err(error) => {
            exit::fail(PROGRAM, &error);
            if matches.get_flag("verbose") {
                exit::print_log(&error);
            }
            match error.downcast_ref::<LaunchError>() {
                Some(LaunchError::NotFound(_)) => exit::NOT_FOUND,
                Some(LaunchError::CannotExecute(_)) => exit::CANNOT_EXECUTE,
                Some(LaunchError::Own(_)) | None => exit::OWN,
            }
        }
    }
}

/// A hint if an inherited fd was certainly closed by sudo, the parent process.
fn sudo_hint(warning: &str) -> &'static str {
    let closed = warning.ends_with("is closed, dropped");
    let parent =
        || std::fs::read_to_string(format!("/proc/{}/comm", std::os::unix::process::parent_id()));
    match closed && parent().is_ok_and(|name| name == "sudo\n") {
        true => " (sudo closes file descriptors: run sudo bpf-exec … instead)",
        false => "",
    }
}

fn run(
    command_line: CommandLine,
    startup: &Startup,
    inheritance: Inheritance,
) -> anyhow::Result<()> {
    let limit = OpenFiles::raise();
    let mut layouts = Layouts::default();
    let (inherited, scope, dropped) = match command_line.clean {
        true => {
            let scope = inheritance.scope;
            drop(inheritance);
            let all = inherited::list_objects(startup)?.into_iter().map(|(fd, _)| fd).collect();
            (Vec::new(), scope, all)
        }
        false => (inheritance.objects, inheritance.scope, Vec::new()),
    };
    let kept = keep_inherited(inherited, &command_line.settings, &mut layouts)?;
    let replaced = match command_line.settings.read_only && !command_line.clean {
        true => restrict_strays(startup, &kept, &command_line.settings)?,
        false => Vec::new(),
    };
    let requests = match command_line.requests {
        requests if requests.is_empty() && scope == Scope::Undeclared => {
            vec![all_pinned_maps(&command_line.settings)]
        }
        requests => requests,
    };
    if requests.is_empty() && kept.is_empty() {
        let root = escape(command_line.settings.bpffs.as_os_str().as_bytes());
        let hint = format!("use --pin {root} for every pinned map");
        let reason = match command_line.clean {
            true => "--clean closes the inherited objects",
            false => scope.why_nothing(),
        };
        warn(PROGRAM, format_args!("nothing is handed over: {reason} ({hint})"));
    }
    let mut report = |line| warn(PROGRAM, line);
    let find = |name: &str| find_kept(startup, &kept, name);
    // Pins are removed with their owner, which the command's execution leaves no time for.
    let OpenedSources { groups, warnings: doubts, pins } =
        open_all(&requests, &command_line.settings, startup, &find, &mut report)?;
    for (request, _) in requests.iter().zip(&groups).filter(|(_, group)| group.is_empty()) {
        warn(PROGRAM, request.source.describe_empty());
    }
    let (objects, warnings) =
        assemble(kept, &requests, groups, &mut layouts, command_line.fd_base, &limit)?;
    for warning in doubts.into_iter().chain(warnings).chain(objects.iter().filter_map(long_layout))
    {
        warn(PROGRAM, warning);
    }
    expect::check(&command_line.expectations, &objects)?
        .iter()
        .for_each(|warning| warn(PROGRAM, warning));
    let rows = || objects.iter().map(row).collect::<Vec<Row>>();
    let pins = match command_line.show {
        // Before output, which can wait for its reader while signals are blocked.
        Show::DryRun { .. } => NewPins::default(),
        Show::Table | Show::Nothing => pins,
    };
    match command_line.show {
        Show::DryRun { json: true } => return exit::print(&output::document::json(&rows())),
        Show::DryRun { json: false } => {
            return exit::print(output::table::list(&rows()).as_bytes());
        }
        Show::Table => exit::print_to_stderr(&output::table::list(&rows())),
        Show::Nothing => {}
    }
    if command_line.lock
        && let Some(reason) = lock::find_bypass()
    {
        warn(PROGRAM, format_args!("--lock: {reason}"));
    }
    let used = requests.iter().filter_map(|request| request.source.used_fd()).collect();
    let handover = Handover { objects, dropped, replaced, used, lock: command_line.lock };
    Err(launch::launch(startup, handover, command_line.command, limit, pins.signals()).into())
}

/// The inherited map of this name.
fn find_kept(startup: &Startup, kept: &[HandedObject], name: &str) -> Result<Option<Map>, Error> {
    let named = |handed: &&HandedObject| {
        let claim = &handed.claim;
        claim.kind == ObjectKind::Map && claim.name.as_deref() == Some(name.as_bytes())
    };
    let found: Vec<&HandedObject> = kept.iter().filter(named).collect();
    let claim = match found[..] {
        [] => return Ok(None),
        [one] => &one.claim,
        _ => return Err(Error::new(name, "find map", "several inherited maps have this name")),
    };
    let fail = |errno| Error::new(name, "duplicate descriptor", errno);
    let fd = startup.fd(claim.fd).and_then(|fd| fd.duplicate()).map_err(fail)?;
    Map::new(fd).map(Some).map_err(fail)
}

/// The request if no source and no scope is given: all maps pinned below the root.
fn all_pinned_maps(settings: &Settings) -> Request {
    Request { name: None, source: Source::Pin(ObjectKind::Map, settings.bpffs.clone()) }
}

fn long_layout(HandedObject { claim, .. }: &HandedObject) -> Option<String> {
    let length = claim.layout.as_ref()?.len();
    let variable = claim.variable();
    let too_long = length > environ::MAX_LAYOUT;
    too_long
        .then(|| format!("{variable}: a layout of {length} bytes is omitted from the environment"))
}

fn row(HandedObject { claim, layout_source, info, .. }: &HandedObject) -> Row {
    let layout = (claim.layout.clone(), *layout_source);
    Row::new(claim.index, claim.fd, claim.name.clone(), layout, info)
}
