//! The library's door: inherited maps as owned descriptors.

use crate::source::inherited;
use crate::sys::{fd, process};
use crate::text::escape;
use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::OwnedFd;
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
    /// The descriptor, close-on-exec from now on.
    pub fd: OwnedFd,
}

/// The maps that were inherited and have not been asked for yet.
#[derive(Debug)]
pub struct InheritedMaps {
    maps: BTreeMap<u32, InheritedMap>,
    /// What was wrong in the environment, a line each: for a log.
    pub warnings: Vec<String>,
}

/// Why a map was not given out.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TakeError {
    /// [`take`] was called before: the descriptors have an owner.
    Taken,
    /// No inherited map has this name or number, or it was asked for before.
    Unknown(String),
    /// Several inherited maps have this name: these are their numbers.
    Ambiguous(String, Vec<u32>),
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            TakeError::Taken => f.write_str("the inherited maps were taken before"),
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
/// # Errors
/// [`TakeError::Taken`] from the second call on.
pub fn take() -> Result<InheritedMaps, TakeError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(TakeError::Taken);
    }
    let (inherited, mut warnings) = inherited::open(&process::environment());
    let mut maps = BTreeMap::new();
    for map in inherited {
        let index = map.claim.index;
        match fd::adopt(map.fd) {
            Ok(fd) => {
                let info = map.info;
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
