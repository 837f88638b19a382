//! The maps that an object file declares. They are created, filled, and pinned if they are declared
//! as pinned; a map that an earlier run has pinned is opened from its pin.

mod create;
pub mod entries;
pub mod new_pins;
pub mod pins;
mod spec;
mod variables;

pub use spec::ObjectSpec;

use crate::error::Error;
use crate::foreign::{ForeignLayout, Named};
use crate::object::Object;
use crate::text::quote;
use bpf_layout::Btf;
use create::Maps;
use new_pins::Unpinned;
use pins::PinPlaces;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const READ: &str = "read object";
/// The maximum size of an object file: larger than any real one, but limited, so that a wrong path
/// cannot fill the memory.
const MAX_FILE: u64 = 256 << 20;

/// A file's bytes, and what they declare.
pub fn read(path: &Path) -> Result<(Vec<u8>, Object), Error> {
    let label = path.as_os_str().as_bytes();
    let fail = |error: std::io::Error| Error::new(label, READ, error);
    // A FIFO without a writer must not block.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(fail)?;
    if !file.metadata().map_err(fail)?.is_file() {
        return Err(Error::new(label, READ, "not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::new(label, READ, "larger than 256 MiB"));
    }
    let object = Object::parse(&bytes, &object_name(path))
        .map_err(|error| Error::new(label, READ, error.to_string()))?;
    Ok((bytes, object))
}

/// The name of an object, with which the names of its data sections begin: the name of the file up
/// to the first dot.
fn object_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// The maps of a file, each with the id that the file declares for it. Maps that are to be pinned
/// after all other steps have succeeded are added to `unpinned`.
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
    variables::set(spec, &mut object)?;
    let places = PinPlaces::new(bpffs, &bytes);
    let mut maps = Maps::create(&spec.path, &object, &selected, &places, warnings)?;
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
    unpinned.extend(maps.unpinned);
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
        let named = |map: &crate::object::Declaration| {
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
