//! Creates the maps of an object file: inner maps first, then the maps that refer to them.

use super::entries::max_entries;
use super::new_pins::Unpinned;
use super::pins::PinPlaces;
use crate::error::{Cause, Error};
use crate::map::create::create;
use crate::object::{Declaration, InnerMap, Object, Slot};
use crate::source::create::{explain, kernel_name};
use crate::text::escape;
use bpf_inherit::bpf::{MapSpec, btf_load};
use bpf_inherit::{Errno, Map, describe};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const CREATE: &str = "create map";

/// The existing maps of an object, by their positions in it.
pub struct Maps<'o> {
    file: &'o Path,
    object: &'o Object,
    maps: Vec<Option<Map>>,
    btf: Option<OwnedFd>,
    /// New maps that are declared as pinned.
    pub unpinned: Vec<Unpinned>,
}

impl<'o> Maps<'o> {
    /// Creates the selected maps, and the maps that they refer to.
    pub fn create(
        file: &'o Path,
        object: &'o Object,
        selected: &[usize],
        places: &PinPlaces,
        warnings: &mut Vec<String>,
    ) -> Result<Maps<'o>, Error> {
        let maps = object.maps.iter().map(|_| None).collect();
        let mut this = Maps { file, object, maps, btf: None, unpinned: Vec::new() };
        let mut needed = BTreeSet::new();
        let mut todo = selected.to_vec();
        while let Some(index) = todo.pop() {
            if needed.insert(index) {
                todo.extend(references(&object.maps[index]));
            }
        }
        this.load_btf(needed.iter().map(|index| &object.maps[*index]), warnings);
        // An inner map has to exist before the map that holds it.
        let (outer, plain): (Vec<usize>, Vec<usize>) =
            needed.into_iter().partition(|index| object.maps[*index].map_type.holds_maps());
        for index in plain.into_iter().chain(outer) {
            this.open(index, places, warnings)?;
        }
        Ok(this)
    }

    /// Creates or opens the map at a position of the object, unless that is done already.
    pub fn take(&mut self, index: usize) -> Option<Map> {
        self.maps.get_mut(index)?.take()
    }

    fn fail(
        &self,
        declared: &Declaration,
        operation: &'static str,
        cause: impl Into<Cause>,
    ) -> Error {
        let file = self.file.as_os_str().as_bytes();
        Error::new([file, b": ", declared.name.as_bytes()].concat(), operation, cause)
    }

    /// Loads the BTF, if one of the maps has types that the kernel accepts. Without BTF, maps are
    /// created without types, except local storage, which requires types.
    fn load_btf<'d>(
        &mut self,
        mut needed: impl Iterator<Item = &'d Declaration>,
        warnings: &mut Vec<String>,
    ) {
        let typed =
            |map: &Declaration| (map.key_type | map.value_type) != 0 && map.map_type.takes_btf();
        let wanted = needed.any(|map| match &map.inner {
            Some(InnerMap::Definition(inner)) => typed(inner) || typed(map),
            _ => typed(map),
        });
        let Some(blob) = self.object.btf.as_deref().filter(|_| wanted) else { return };
        match btf_load(blob) {
            Ok(fd) => self.btf = Some(fd),
            // The caller may not create maps either, and that error is reported.
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

    /// Opens the pin that a map declares, or creates it.
    fn open(
        &mut self,
        index: usize,
        places: &PinPlaces,
        warnings: &mut Vec<String>,
    ) -> Result<(), Error> {
        let declared = &self.object.maps[index];
        let path = places.path(declared).map_err(|cause| self.fail(declared, "find pin", cause))?;
        if let Some(path) = &path
            && let Some(map) = places.open(path, declared, self.object)?
        {
            self.maps[index] = Some(map);
            return Ok(());
        }
        let map = self.new_map(declared)?;
        self.fill(&map, declared)?;
        for (slot, content) in &declared.slots {
            let Slot::Map(inner) = content else {
                let name = escape(declared.name.as_bytes());
                let file = escape(self.file.as_os_str().as_bytes());
                warnings.push(format!("{file}: {name}: its programs are not loaded"));
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
        let btf = self.btf.as_ref().filter(|_| types != (0, 0));
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
            btf: btf.map(|fd| (fd.as_fd(), types.0, types.1)),
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
