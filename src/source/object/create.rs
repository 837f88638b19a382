//! Creates the maps of an object file: inner maps first, then the maps that refer to them.

use super::entries::max_entries;
use super::new_pins::Unpinned;
use super::pins::{PinPlaces, differences};
use crate::error::{Cause, Error};
use crate::map::create::create;
use crate::object::{Declaration, InnerMap, Object, Slot};
use crate::source::create::{explain, kernel_name};
use crate::text::escape;
use bpf_inherit::bpf::{MapSpec, btf_load};
use bpf_inherit::{Errno, Map, describe};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const CREATE: &str = "create map";

/// Finds the existing map that a declaration of an object refers to, by its name.
pub type GivenMaps<'g> = dyn Fn(&Declaration) -> Result<Option<Map>, Error> + 'g;

/// The existing maps of an object, by their positions in it.
pub struct Maps<'o> {
    file: &'o Path,
    object: &'o Object,
    maps: Vec<Option<Map>>,
    btf: LoadedBtf,
    /// New maps that are declared as pinned, those of earlier object files included.
    pub unpinned: Vec<Unpinned>,
    /// New program arrays whose declared programs are not stored yet.
    pub unfilled: Vec<usize>,
}

/// The BTF of an object in the kernel; it is loaded once.
enum LoadedBtf {
    Untried,
    Refused,
    Loaded(OwnedFd),
}

impl<'o> Maps<'o> {
    pub fn new(file: &'o Path, object: &'o Object) -> Maps<'o> {
        let maps = object.maps.iter().map(|_| None).collect();
        let (btf, unpinned, unfilled) = (LoadedBtf::Untried, Vec::new(), Vec::new());
        Maps { file, object, maps, btf, unpinned, unfilled }
    }

    /// Opens or creates the selected maps, and the maps that they refer to.
    pub fn require(
        &mut self,
        selected: &[usize],
        places: &PinPlaces,
        given: &GivenMaps,
        warnings: &mut Vec<String>,
    ) -> Result<(), Error> {
        let mut needed = BTreeSet::new();
        let mut todo = selected.to_vec();
        while let Some(index) = todo.pop() {
            if self.maps[index].is_none() && needed.insert(index) {
                todo.extend(references(&self.object.maps[index]));
            }
        }
        if needed.iter().any(|index| is_typed(&self.object.maps[*index])) {
            self.load_types(warnings);
        }
        // An inner map has to exist before the map that holds it.
        let (outer, plain): (Vec<usize>, Vec<usize>) =
            needed.into_iter().partition(|index| self.object.maps[*index].map_type.holds_maps());
        for index in plain.into_iter().chain(outer) {
            self.open(index, places, given)?;
        }
        Ok(())
    }

    pub fn get(&self, index: usize) -> Option<&Map> {
        self.maps.get(index)?.as_ref()
    }

    /// Creates or opens the map at a position of the object, unless that is done already.
    pub fn take(&mut self, index: usize) -> Option<Map> {
        self.maps.get_mut(index)?.take()
    }

    /// The BTF of the object, if it is loaded.
    pub fn btf(&self) -> Option<BorrowedFd<'_>> {
        match &self.btf {
            LoadedBtf::Loaded(fd) => Some(fd.as_fd()),
            LoadedBtf::Untried | LoadedBtf::Refused => None,
        }
    }

    pub fn fail(
        &self,
        declared: &Declaration,
        operation: &'static str,
        cause: impl Into<Cause>,
    ) -> Error {
        let file = self.file.as_os_str().as_bytes();
        Error::new([file, b": ", declared.name.as_bytes()].concat(), operation, cause)
    }

    /// Loads the BTF of the object. Without BTF, programs are loaded and maps are created without
    /// types, except local storage, which requires types.
    pub fn load_types(&mut self, warnings: &mut Vec<String>) {
        let LoadedBtf::Untried = self.btf else { return };
        self.btf = LoadedBtf::Refused;
        let Some(blob) = self.object.btf.as_deref() else { return };
        match btf_load(blob) {
            Ok(fd) => self.btf = LoadedBtf::Loaded(fd),
            // The caller may not create maps or load programs either, and that error is reported.
            Err(Errno::EPERM) => {}
            Err(errno) => {
                let file = escape(self.file.as_os_str().as_bytes());
                let why = describe(errno);
                warnings.push(format!(
                    "{file}: the kernel refuses its BTF, so the maps have none: {why}"
                ));
            }
        }
    }

    /// Takes the given map, else opens the declared pin, else creates the map.
    fn open(&mut self, index: usize, places: &PinPlaces, given: &GivenMaps) -> Result<(), Error> {
        let declared = &self.object.maps[index];
        if let Some(map) = given(declared)? {
            let differences = differences(declared, self.object, &map, "given");
            let differences =
                differences.map_err(|cause| self.fail(declared, "compare map", cause))?;
            if !differences.is_empty() {
                let cause = format!("a different map has this name: {}", differences.join(", "));
                return Err(self.fail(declared, "reuse map", cause));
            }
            self.maps[index] = Some(map);
            return Ok(());
        }
        let path = places.path(declared).map_err(|cause| self.fail(declared, "find pin", cause))?;
        if let Some(path) = &path
            && let Some(map) = places.open(path, declared, self.object, &self.unpinned)?
        {
            self.maps[index] = Some(map);
            return Ok(());
        }
        let map = self.new_map(declared)?;
        self.fill(&map, declared)?;
        for (slot, content) in &declared.slots {
            let Slot::Map(inner) = content else {
                self.unfilled.push(index);
                break;
            };
            let Some(inner) = &self.maps[*inner] else { continue };
            let fd = inner.as_fd().as_raw_fd();
            let updated = map.update(&slot.to_ne_bytes(), &fd.to_ne_bytes(), 0);
            updated.map_err(|errno| self.fail(declared, "fill slot", errno))?;
        }
        if let Some(path) = path {
            let fd = map.as_fd().try_clone_to_owned();
            let fd = fd.map_err(|error| self.fail(declared, "duplicate", error))?;
            self.unpinned.push(Unpinned { fd, path });
        }
        self.maps[index] = Some(map);
        Ok(())
    }

    fn new_map(&self, declared: &Declaration) -> Result<Map, Error> {
        let fail = |cause: Cause| self.fail(declared, CREATE, cause);
        let definition = match &declared.inner {
            Some(InnerMap::Definition(inner)) => Some(self.new_map(inner)?),
            _ => None,
        };
        let inner = match &declared.inner {
            Some(InnerMap::Map(index)) => self.maps[*index].as_ref(),
            _ => definition.as_ref(),
        };
        if declared.map_type.holds_maps() && inner.is_none() {
            return Err(fail("it does not declare the properties of its inner maps".into()));
        }
        let types = (declared.key_type, declared.value_type);
        let btf = self.btf().filter(|_| types != (0, 0));
        let kernel_name = match &declared.data {
            Some(data) => data.kernel_name.as_bytes().to_vec(),
            None => kernel_name(&declared.name),
        };
        let spec = MapSpec {
            map_type: declared.map_type,
            key_size: declared.key_size,
            value_size: declared.value_size,
            max_entries: max_entries(declared).map_err(fail)?,
            flags: declared.flags,
            extra: declared.extra,
            numa_node: declared.numa_node,
            name: &kernel_name,
            inner: inner.map(|map| map.as_fd()),
            btf: btf.map(|fd| (fd, types.0, types.1)),
        };
        create(&spec).map_err(|errno| fail(explain(errno)))
    }

    /// Stores global variables, and freezes the maps of read-only ones.
    fn fill(&self, map: &Map, declared: &Declaration) -> Result<(), Error> {
        let Some(data) = &declared.data else { return Ok(()) };
        if let Some(bytes) = &data.bytes {
            let stored = map.update(&0u32.to_ne_bytes(), bytes, 0);
            stored.map_err(|errno| self.fail(declared, "store variables", errno))?;
        }
        match data.read_only {
            true => map.freeze().map_err(|errno| self.fail(declared, "freeze", errno)),
            false => Ok(()),
        }
    }
}

/// Whether a map, or the definition of its inner maps, has types that the kernel accepts.
fn is_typed(map: &Declaration) -> bool {
    let inner = match &map.inner {
        Some(InnerMap::Definition(inner)) => is_typed(inner),
        Some(InnerMap::Map(_)) | None => false,
    };
    inner || (map.key_type | map.value_type) != 0 && map.map_type.takes_btf()
}

/// The maps that a map refers to.
fn references(map: &Declaration) -> impl Iterator<Item = usize> {
    let inner = match map.inner {
        Some(InnerMap::Map(index)) => Some(index),
        _ => None,
    };
    let slots = map.slots.iter().filter_map(|(_, slot)| match slot {
        Slot::Map(index) => Some(*index),
        Slot::Program(_) => None,
    });
    inner.into_iter().chain(slots)
}
