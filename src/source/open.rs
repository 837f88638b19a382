//! Opening all sources. All or nothing: if one source fails, the objects of the others are closed.

use super::object::new_pins::NewPins;
use super::object::program;
use super::request::{Request, Settings, Source};
use super::tc::senders::Senders;
use super::{agent, create, id, object, pin, process, tc};
use crate::error::Error;
use crate::foreign::Named;
use crate::object::Declaration;
use crate::readonly;
use crate::text::count;
use crate::wait::{Limit, Signals};
use bpf_inherit::object::Object;
use bpf_inherit::{Map, ObjectKind, Startup};

/// The objects of one source, each with the id that the sender declared for it.
pub type Group = Vec<(Named, Option<u32>)>;

/// The objects that the sources provided.
pub struct OpenedSources {
    /// A group for each request, in their order.
    pub groups: Vec<Group>,
    pub warnings: Vec<String>,
    /// Pins that object files declare.
    pub pins: NewPins,
}

/// Opens the sources of all `requests`. Events during the wait are reported to
/// `warn`. `inherited` finds an inherited map by its name.
///
/// Sockets are bound first, so that senders may connect in any order, and received from last, so
/// that a missing pin is reported at once. Then programs are loaded, which may refer to maps of all
/// other sources.
pub fn open_all(
    requests: &[Request],
    settings: &Settings,
    startup: &Startup,
    inherited: &dyn Fn(&str) -> Result<Option<Map>, Error>,
    warn: &mut dyn FnMut(String),
) -> Result<OpenedSources, Error> {
    let limit = Limit::new(settings.timeout);
    let waiting = requests.iter().any(|r| matches!(r.source, Source::Import(_)));
    // Declared before the sockets, and so dropped after them: the sockets are removed before
    // signals are unblocked.
    let signals = waiting.then(Signals::hold).transpose()?;
    let bounds = agent::Bounds { limit, signals: signals.as_ref() };
    let mut warnings = Vec::new();
    let (mut imports, mut agents, mut programs) = (Vec::new(), Vec::new(), Vec::new());
    let mut groups: Vec<Group> = Vec::new();
    let mut unpinned = Vec::new();
    for request in requests {
        let read_only = settings.read_only;
        let opened = match &request.source {
            Source::Import(address) => {
                let senders = Senders::new(&settings.from);
                let import = tc::Import::open(address, settings.socket_mode, senders, startup)?;
                imports.push((groups.len(), import));
                Vec::new()
            }
            Source::Agent(spec) => {
                agents.push((groups.len(), spec));
                Vec::new()
            }
            Source::Pin(kind, path) => {
                pin::open(*kind, path, read_only, &settings.bpffs, &mut warnings)?
            }
            Source::Id(kind, id) => vec![Named::new(id::open(*kind, *id, read_only)?)],
            Source::KernelName(name) => {
                vec![Named::new(id::open_named(ObjectKind::Map, name, read_only)?)]
            }
            Source::Process(pid) => process::open(*pid)?,
            Source::Create(spec) => vec![Named::new(create::open(spec)?)],
            Source::Object(spec) => {
                let bpffs = &settings.bpffs;
                groups.push(object::open(spec, bpffs, &mut unpinned, &mut warnings)?);
                continue;
            }
            Source::Program(spec) => {
                if read_only {
                    readonly::check_kind(ObjectKind::Program, spec.to_string())?;
                }
                programs.push((groups.len(), spec));
                Vec::new()
            }
        };
        // Reported before the program waits.
        groups.push(undeclared(check_access(request, opened, settings)?));
    }
    for (place, spec) in agents {
        let opened = agent::open(spec, settings.read_only, settings.wait, bounds)?;
        groups[place] = undeclared(check_access(&requests[place], opened, settings)?);
    }
    if let Some(signals) = &signals {
        let (places, imports): (Vec<usize>, Vec<tc::Import>) = imports.into_iter().unzip();
        let received = tc::receive_all(imports, limit, signals, warn)?;
        for (place, maps) in places.into_iter().zip(received) {
            let named = |(map, id)| (Named::new(map), Some(id));
            groups[place] = maps.into_iter().map(named).collect();
        }
    }
    for (place, spec) in programs {
        let given = |map: &Declaration| match find_opened(requests, &groups, &map.name)? {
            Some(found) => Ok(Some(found)),
            None => inherited(&map.name),
        };
        let loaded = program::open(spec, None, &settings.bpffs, &given, &mut warnings)?;
        unpinned.extend(loaded.unpinned);
        groups[place] = undeclared(vec![loaded.program]);
    }
    for (request, group) in requests.iter().zip(&mut groups) {
        check_name(request, group)?;
        if settings.read_only {
            restrict(request, group, settings)?;
        }
    }
    // Pins are made last, so that none is left if a source fails, or if a signal ends a wait.
    let signals = match unpinned.is_empty() {
        true => None,
        false => Some(signals.map_or_else(Signals::hold, Ok)?),
    };
    let pins = NewPins::make(unpinned, &settings.bpffs, signals)?;
    Ok(OpenedSources { groups, warnings, pins })
}

/// The map of this name that a source provided.
fn find_opened(requests: &[Request], groups: &[Group], name: &str) -> Result<Option<Map>, Error> {
    let mut found = Vec::new();
    for (request, group) in requests.iter().zip(groups) {
        for (named, _) in group {
            let own = named.name.as_ref().map(|name| name.label());
            if let Object::Map(map) = &named.object
                && request.name.as_deref().or(own) == Some(name.as_bytes())
            {
                found.push(map);
            }
        }
    }
    match found[..] {
        [] => Ok(None),
        [map] => map
            .duplicate()
            .map(Some)
            .map_err(|errno| Error::new(name, "duplicate descriptor", errno)),
        _ => Err(Error::new(name, "find map", "several maps have this name")),
    }
}

fn undeclared(objects: Vec<Named>) -> Group {
    objects.into_iter().map(|named| (named, None)).collect()
}

/// Returns the objects of a source, if they can be handed over with these settings.
fn check_access(
    request: &Request,
    opened: Vec<Named>,
    settings: &Settings,
) -> Result<Vec<Named>, Error> {
    if settings.read_only {
        let check =
            |named: &Named| readonly::check_kind(named.object.kind(), request.source.to_string());
        opened.iter().try_for_each(check)?;
    }
    Ok(opened)
}

/// Refuses a name on the command line if the source has several objects, or none.
fn check_name(request: &Request, group: &Group) -> Result<(), Error> {
    let Some(name) = request.name.as_ref().filter(|_| group.len() != 1) else { return Ok(()) };
    let number = count(group.len(), request.source.kind().map_or("object", ObjectKind::noun));
    let cause = format!("{}: {number} found, NAME= needs exactly one", request.source);
    Err(Error::new(name, "assign name", cause))
}

/// Replaces writable maps by read-only ones.
fn restrict(request: &Request, group: &mut Group, settings: &Settings) -> Result<(), Error> {
    for (named, _) in group {
        let label = request.name.as_deref().or(named.name.as_ref().map(|name| name.label()));
        let Object::Map(map) = &mut named.object else { continue };
        let mode = map
            .access_mode()
            .map_err(|errno| Error::new(request.source.to_string(), "read access mode", errno))?;
        if let Some(reopened) = readonly::reopen(map.info(), mode, label, &settings.bpffs)? {
            *map = reopened;
        }
    }
    Ok(())
}
