//! The maps that an object file declares, and its programs. Maps are created, filled, and pinned if they
//! are declared as pinned; a map that an earlier run has pinned is opened from its pin.

mod create;
pub mod entries;
pub mod file;
pub mod new_pins;
pub mod pins;
pub mod program;
mod spec;
mod variables;

pub use spec::{ObjectProgramSpec, ObjectSpec};

use crate::error::Error;
use crate::foreign::{ForeignLayout, Named};
use crate::object::{Declaration, Object};
use crate::text::quote;
use bpf_layout::Btf;
use file::{READ, read};
use new_pins::Unpinned;
use pins::PinPlaces;
use program::Loader;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The maps of a file, each with the id that the file declares for it. Maps that are to be pinned
/// after all other steps have succeeded are added to `unpinned`; a map that is there already is
/// shared.
pub fn open(
    spec: &ObjectSpec,
    bpffs: &Path,
    unpinned: &mut Vec<Unpinned>,
    warnings: &mut Vec<String>,
) -> Result<Vec<(Named, Option<u32>)>, Error> {
    let (bytes, mut object) = read(&spec.path)?;
    let selected = select(spec, &object)?;
    if spec.names.is_empty() {
        let omitted = object.omitted.iter();
        warnings.extend(omitted.map(|what| format!("{spec}: skipped {what}")));
    }
    variables::set(spec, &mut object, &selected)?;
    let places = PinPlaces::new(bpffs, &bytes);
    let mut loader = Loader::new(&spec.path, &bytes, &object);
    loader.maps.unpinned = std::mem::take(unpinned);
    let none = |_: &Declaration| Ok(None);
    loader.maps.require(&selected, &places, &none, warnings)?;
    let created = loader.maps.unpinned.len();
    if let Err(error) = loader.fill_slots(&places, &none, warnings) {
        // The maps are useful without the programs.
        loader.maps.unpinned.truncate(created);
        warnings.push(format!("{error}: slots for programs remain empty"));
    }
    let mut maps = loader.maps;
    let btf = object.btf.as_deref().map(Btf::parse).and_then(Result::ok);
    let mut group = Vec::new();
    for index in selected {
        let declared = &object.maps[index];
        let Some(map) = maps.take(index) else { continue };
        let layout = btf.as_ref().and_then(|btf| declared.layout(btf));
        let layout = layout.map(ForeignLayout::of_btf);
        let named = Named { layout, ..Named::new(map).with_name(declared.name.as_str()) };
        group.push((named, declared.id));
    }
    *unpinned = maps.unpinned;
    Ok(group)
}

/// The places of the maps that are handed over, in the order of the names.
fn select(spec: &ObjectSpec, object: &Object) -> Result<Vec<usize>, Error> {
    if spec.names.is_empty() {
        return Ok((0..object.maps.len()).collect());
    }
    let mut selected = Vec::new();
    for name in &spec.names {
        let before = selected.len();
        let named = |map: &Declaration| {
            let kernel = map.data.as_ref().map(|data| &data.kernel_name);
            map.name == *name || kernel == Some(name) || map.data.is_some() && map.section == *name
        };
        selected.extend((0..object.maps.len()).filter(|index| named(&object.maps[*index])));
        if selected.len() == before {
            let cause = format!("it declares no map {}", quote(name.as_bytes()));
            return Err(Error::new(spec.path.as_os_str().as_bytes(), READ, cause));
        }
    }
    // A map with several names is handed over once.
    let mut seen = std::collections::BTreeSet::new();
    selected.retain(|index| seen.insert(*index));
    Ok(selected)
}
