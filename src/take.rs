//! The library's door: inherited maps as owned descriptors.

use crate::source::inherited;
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
    /// Its name, in bytes: `BPF_MAP<n>_NAME`, where that is set.
    pub name: Option<Vec<u8>>,
    /// `KEY -> VALUE` in the layout notation, where that is known.
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

/// The maps that were inherited and have not been asked for yet.
#[derive(Debug)]
pub struct InheritedMaps {
    maps: BTreeMap<u32, InheritedMap>,
    warnings: Vec<String>,
}

/// Why a map was not given out.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TakeError {
    /// [`take`] was called before: the descriptors have an owner.
    Taken,
    /// What a descriptor is could not be found out: /proc is not mounted, for one.
    Unreadable(String),
    /// No inherited map has this name or number, or it was asked for before.
    Unknown(String),
    /// Several inherited maps have this name: these are their numbers.
    Ambiguous(String, Vec<u32>),
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            TakeError::Taken => f.write_str("the inherited maps were taken before"),
            TakeError::Unreadable(why) => f.write_str(why),
            TakeError::Unknown(name) => write!(f, "{name}: no such inherited map"),
            TakeError::Ambiguous(name, indices) => {
                write!(f, "{name}: several inherited maps have this name: {indices:?}")
            }
        }
    }
}

impl std::error::Error for TakeError {}

/// Takes ownership of the maps that the environment declares.
///
/// Call it early, and let nothing else in the process use the descriptors that
/// the variables name. They become close-on-exec; the variables stay as they are.
/// A variable whose number is closed or is no map is left out, with a warning.
///
/// # Ownership of descriptors
/// The numbers come from the environment, and are believed to be this process's to own, as
/// those of every protocol of this kind are. Only numbers that are open maps, and that are
/// not close-on-exec, as what the process opens itself is, are taken.
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
    let mut warnings = inherited.warnings;
    let mut maps = BTreeMap::new();
    for map in inherited.objects {
        let Info::Map(info, access) = map.info else { continue };
        let index = map.claim.index;
        match fd::adopt(map.fd) {
            Ok(fd) => {
                maps.insert(
                    index,
                    InheritedMap {
                        index,
                        name: map.claim.name,
                        layout: map.claim.layout,
                        map_type: info.kind,
                        key_size: info.key_size,
                        value_size: info.value_size,
                        max_entries: info.max_entries,
                        id: info.id,
                        read_only: access == Access::ReadOnly,
                        fd,
                    },
                );
            }
            Err(_) => {
                warnings.push(format!("BPF_MAP{index}: another variable names its descriptor"))
            }
        }
    }
    Ok(InheritedMaps { maps, warnings })
}

impl InheritedMaps {
    /// Gives out the map with this `BPF_MAP<n>_NAME`.
    ///
    /// # Errors
    /// [`TakeError::Unknown`], or [`TakeError::Ambiguous`] where several have it.
    pub fn by_name(&mut self, name: impl AsRef<[u8]>) -> Result<InheritedMap, TakeError> {
        let name = name.as_ref();
        let has_it = |map: &&InheritedMap| map.name.as_deref() == Some(name);
        let indices: Vec<u32> = self.maps.values().filter(has_it).map(|map| map.index).collect();
        match indices[..] {
            [index] => self.by_index(index),
            [] => Err(TakeError::Unknown(escape(name))),
            _ => Err(TakeError::Ambiguous(escape(name), indices)),
        }
    }

    /// Gives out the map of `BPF_MAP<n>`.
    ///
    /// # Errors
    /// [`TakeError::Unknown`].
    pub fn by_index(&mut self, n: u32) -> Result<InheritedMap, TakeError> {
        self.maps.remove(&n).ok_or_else(|| TakeError::Unknown(format!("BPF_MAP{n}")))
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

/// Gives out all maps that have not been asked for, by rising number.
impl IntoIterator for InheritedMaps {
    type Item = InheritedMap;
    type IntoIter = std::collections::btree_map::IntoValues<u32, InheritedMap>;

    fn into_iter(self) -> Self::IntoIter {
        self.maps.into_values()
    }
}
