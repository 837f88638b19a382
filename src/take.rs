//! The library's door: inherited maps, programs and links as owned descriptors.

mod objects;

pub use objects::{InheritedObject, InheritedObjects};

use crate::handoff::environ::Class;
use crate::source::inherited::{self, Inherited};
use crate::sys::bpf::Access;
use crate::sys::elem::is_per_cpu;
use crate::sys::fd;
use crate::sys::object::Info;
use crate::text::escape;
use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// A map that this process inherited.
#[derive(Debug)]
#[non_exhaustive]
pub struct InheritedMap {
    /// The n of `BPF_MAP<n>`.
    pub index: u32,
    /// Its name, in bytes: `BPF_MAP<n>_NAME`, if that is set; if it is bad, the kernel's name or
    /// `map<n>`.
    pub name: Option<Vec<u8>>,
    /// `KEY -> VALUE` in the layout notation, if that is known and has the map's sizes.
    pub layout: Option<Vec<u8>>,
    /// The kernel's number for the type of map, `enum bpf_map_type`.
    pub map_type: u32,
    /// Bytes of a key; 0 for a map without keys.
    pub key_size: u32,
    /// Bytes of a value; in a per-CPU map, of one CPU's.
    pub value_size: u32,
    /// How many entries it has room for.
    pub max_entries: u32,
    /// The kernel's id of the map.
    pub id: u32,
    /// Whether the descriptor is for reading alone.
    pub read_only: bool,
    /// The descriptor, close-on-exec from now on.
    pub fd: OwnedFd,
}

impl InheritedMap {
    /// Whether an element is a value for each possible CPU. A lookup then writes, and an
    /// update reads, not `value_size` bytes but that, rounded up to 8, for each of them
    /// (`/sys/devices/system/cpu/possible`): a buffer of `value_size` is too small.
    pub fn is_per_cpu(&self) -> bool {
        is_per_cpu(self.map_type)
    }
}

/// The maps that were inherited and have not been asked for yet, and beside them the
/// [programs](InheritedMaps::programs) and [links](InheritedMaps::links). What is never asked
/// for is closed with this.
#[derive(Debug)]
pub struct InheritedMaps {
    maps: BTreeMap<u32, InheritedMap>,
    programs: InheritedObjects,
    links: InheritedObjects,
    warnings: Vec<String>,
}

/// Why a map, a program or a link was not given out.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TakeError {
    /// [`take`] was called before: the descriptors have an owner.
    Taken,
    /// What a descriptor is could not be found out: /proc is not mounted, for one.
    Unreadable(String),
    /// None that was inherited has this name or number, or it was asked for before.
    Unknown(String),
    /// Several of a kind have this name: these are their numbers.
    Ambiguous(String, Vec<u32>),
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            TakeError::Taken => f.write_str("what was inherited was taken before"),
            TakeError::Unreadable(why) => f.write_str(why),
            TakeError::Unknown(name) => write!(f, "{name}: nothing of this name was inherited"),
            TakeError::Ambiguous(name, indices) => {
                write!(f, "{name}: several of this name were inherited: {indices:?}")
            }
        }
    }
}

impl std::error::Error for TakeError {}

/// Takes ownership of the maps, programs and links that the environment declares.
///
/// Call it early, and let nothing else in the process use the descriptors that
/// the variables name. They become close-on-exec; the variables stay as they are.
/// A variable whose number is closed, is something else, or is another object than its `_ID`
/// says, is left out, with a warning.
///
/// # Ownership of descriptors
/// The numbers come from the environment, and are believed to be this process's to own, as
/// those of every protocol of this kind are. Only numbers that are open maps, programs or links
/// as the variables say, and that are not close-on-exec, as what the process opens itself is,
/// are taken.
///
/// # Errors
/// [`TakeError::Taken`] from the second call on, [`TakeError::Unreadable`].
pub fn take() -> Result<InheritedMaps, TakeError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(TakeError::Taken);
    }
    // Not the raw environment: other threads may be changing it, which std guards against.
    let environment: Vec<Vec<u8>> = std::env::vars_os()
        .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
        .collect();
    let inherited = inherited::open(environment.iter().map(Vec::as_slice))
        .map_err(|error| TakeError::Unreadable(error.to_string()))?;
    let mut taken = InheritedMaps {
        maps: BTreeMap::new(),
        programs: InheritedObjects::new(Class::Prog),
        links: InheritedObjects::new(Class::Link),
        warnings: inherited.warnings,
    };
    inherited.objects.into_iter().for_each(|object| taken.adopt(object));
    Ok(taken)
}

/// The number of the one that has this name.
fn find<'a>(
    names: impl Iterator<Item = (u32, Option<&'a [u8]>)>,
    name: &[u8],
) -> Result<u32, TakeError> {
    let has_it = names.filter(|(_, its)| *its == Some(name));
    let indices: Vec<u32> = has_it.map(|(index, _)| index).collect();
    match indices[..] {
        [index] => Ok(index),
        [] => Err(TakeError::Unknown(escape(name))),
        _ => Err(TakeError::Ambiguous(escape(name), indices)),
    }
}

impl InheritedMaps {
    fn adopt(&mut self, Inherited { claim, fd, info }: Inherited) {
        let Ok(fd) = fd::adopt(fd) else {
            let variable = claim.variable();
            self.warnings.push(format!("{variable}: another variable names its descriptor"));
            return;
        };
        match info {
            Info::Map(info, access) => {
                let map = InheritedMap {
                    index: claim.index,
                    name: claim.name,
                    layout: claim.layout,
                    map_type: info.kind,
                    key_size: info.key_size,
                    value_size: info.value_size,
                    max_entries: info.max_entries,
                    id: info.id,
                    read_only: access == Access::ReadOnly,
                    fd,
                };
                self.maps.insert(map.index, map);
            }
            Info::Prog(info) => self.programs.add(claim, info.kind, info.id, fd),
            Info::Link(info) => self.links.add(claim, info.kind, info.id, fd),
        }
    }

    /// Gives out the map with this `BPF_MAP<n>_NAME`.
    ///
    /// # Errors
    /// [`TakeError::Unknown`], or [`TakeError::Ambiguous`] where several have it.
    pub fn by_name(&mut self, name: impl AsRef<[u8]>) -> Result<InheritedMap, TakeError> {
        let names = self.maps.values().map(|map| (map.index, map.name.as_deref()));
        let index = find(names, name.as_ref())?;
        self.by_index(index)
    }

    /// Gives out the map of `BPF_MAP<n>`.
    ///
    /// # Errors
    /// [`TakeError::Unknown`].
    pub fn by_index(&mut self, n: u32) -> Result<InheritedMap, TakeError> {
        self.maps.remove(&n).ok_or_else(|| TakeError::Unknown(format!("BPF_MAP{n}")))
    }

    /// The programs: ask for them before the maps are iterated over by value.
    pub fn programs(&mut self) -> &mut InheritedObjects {
        &mut self.programs
    }

    /// The links, likewise.
    pub fn links(&mut self) -> &mut InheritedObjects {
        &mut self.links
    }

    /// What was wrong in the environment, a line each: for a log.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The maps that have not been asked for, by rising number.
    pub fn iter(&self) -> impl Iterator<Item = &InheritedMap> {
        self.maps.values()
    }
}

/// Gives out all maps that have not been asked for, by rising number; programs and links that
/// have not been asked for are closed.
impl IntoIterator for InheritedMaps {
    type Item = InheritedMap;
    type IntoIter = std::collections::btree_map::IntoValues<u32, InheritedMap>;

    fn into_iter(self) -> Self::IntoIter {
        self.maps.into_values()
    }
}
