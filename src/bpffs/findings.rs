//! Probable mistakes in a BPF file system: modes, and pins that nothing uses.

use super::holders;
use super::survey::{File, FileContent};
use bpf_inherit::bpf::{
    MapInfo, map_by_id, map_info, next_program_id, program_by_id, program_maps,
};
use bpf_inherit::object::Info;
use bpf_inherit::{AccessMode, Errno};
use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::fd::AsFd;

/// BPF_LINK_TYPE_ITER: such a link attaches nothing.
const ITERATOR: u32 = 4;

/// Something that may be wrong with a file.
pub enum Finding<'f> {
    /// Users other than the owner and the group may add and remove files.
    OpenDirectory,
    /// Other users may open the object for writing.
    OpenPin,
    /// The link ends with this pin, unless a process holds it.
    OnlyPin(u32),
    /// No user of the map was found.
    Unused(u32),
    /// Another pin of the map has another mode.
    OtherMode(&'f File),
    /// A program uses another map with the same name.
    OtherMap { program: u32, map: u32 },
}

/// Programs by id, with the ids and the names of the maps that they use.
pub type Programs = BTreeMap<u32, Vec<(u32, Vec<u8>)>>;

/// All programs of the kernel. Requires CAP_SYS_ADMIN.
pub fn programs() -> Result<Programs, Errno> {
    let (mut programs, mut names) = (Programs::new(), BTreeMap::<u32, Vec<u8>>::new());
    let mut last = 0;
    while let Some(id) = next_program_id(last)? {
        last = id;
        let program = match program_by_id(id) {
            // Unloaded in the meantime.
            Err(Errno::ENOENT) => continue,
            program => program?,
        };
        let mut maps = Vec::new();
        for map in program_maps(program.as_fd())? {
            let name = names.entry(map).or_insert_with(|| {
                let info = map_by_id(map, AccessMode::ReadOnly).and_then(|fd| map_info(fd.as_fd()));
                info.map(|info| info.name).unwrap_or_default()
            });
            maps.push((map, name.clone()));
        }
        programs.insert(id, maps);
    }
    Ok(programs)
}

/// The findings of all files, in their order. Without `programs`, findings about programs are
/// omitted.
pub fn all<'f>(files: &'f [File], programs: Option<&Programs>) -> Vec<(&'f File, Finding<'f>)> {
    let mut findings = Vec::new();
    // All file descriptors of all processes are read once, if they are needed.
    let held = LazyCell::new(|| holders::held_by_processes().collect::<BTreeSet<u32>>());
    for file in files {
        let mut add = |finding| findings.push((file, finding));
        match &file.content {
            FileContent::Directory | FileContent::Unread(_) | FileContent::TooDeep => {
                if file.mode & 0o002 != 0 {
                    add(Finding::OpenDirectory);
                }
                continue;
            }
            FileContent::Symlink(_) => continue,
            FileContent::Pin(_) | FileContent::Unopened(_) if file.mode & 0o002 != 0 => {
                add(Finding::OpenPin);
            }
            FileContent::Pin(_) | FileContent::Unopened(_) => {}
        }
        match &file.content {
            FileContent::Pin(Info::Link(info)) if info.link_type != ITERATOR => {
                let is_same = |other: &&File| matches!(&other.content, FileContent::Pin(Info::Link(link)) if link.id == info.id);
                if files.iter().filter(is_same).count() == 1 {
                    add(Finding::OnlyPin(info.id));
                }
            }
            FileContent::Pin(Info::Map(info, _)) => {
                let is_same = |other: &&File| matches!(&other.content, FileContent::Pin(Info::Map(map, _)) if map.id == info.id);
                let mut others = files.iter().filter(is_same);
                if let Some(other) = others.find(|other| other.mode != file.mode) {
                    add(Finding::OtherMode(other));
                }
                if let Some(programs) = programs {
                    check_use(info, programs, |id| held.contains(&id)).into_iter().for_each(add);
                }
            }
            _ => {}
        }
    }
    findings
}

/// Findings about the programs that use a pinned map.
fn check_use<'f>(
    info: &MapInfo,
    programs: &Programs,
    is_held: impl FnOnce(u32) -> bool,
) -> Vec<Finding<'f>> {
    let mut findings = Vec::new();
    let uses = |maps: &Vec<(u32, Vec<u8>)>| maps.iter().any(|(id, _)| *id == info.id);
    if !programs.values().any(uses) && !is_held(info.id) {
        findings.push(Finding::Unused(info.id));
    }
    let is_other =
        |(id, name): &&(u32, Vec<u8>)| *id != info.id && !name.is_empty() && *name == info.name;
    for (program, maps) in programs {
        if let Some((map, _)) = maps.iter().find(is_other) {
            findings.push(Finding::OtherMap { program: *program, map: *map });
        }
    }
    findings
}

impl fmt::Display for Finding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Finding::OpenDirectory => f.write_str("other users may write to the directory"),
            Finding::OpenPin => f.write_str("other users may open it for writing"),
            Finding::OnlyPin(id) => write!(f, "the only pin of link {id}"),
            Finding::Unused(id) => {
                write!(f, "no program uses map {id}, and no other process holds it")
            }
            Finding::OtherMode(file) => {
                let path = crate::text::escape(std::os::unix::ffi::OsStrExt::as_bytes(
                    file.path.as_os_str(),
                ));
                write!(f, "{path} is a pin of the same map and has mode {:04o}", file.mode)
            }
            Finding::OtherMap { program, map } => {
                write!(f, "program {program} uses another map of this name, {map}")
            }
        }
    }
}
