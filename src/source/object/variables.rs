//! Global variables that are set before the maps are created.

use super::spec::ObjectSpec;
use crate::error::Error;
use crate::object::Object;
use crate::text::quote;
use bpf_layout::{Btf, Layout, parse};
use std::os::unix::ffi::OsStrExt;

const SET: &str = "set variable";

/// Sets what the command line gives. A variable of a section that is not among the `selected` maps
/// is an error, because it would have no effect.
pub fn set(spec: &ObjectSpec, object: &mut Object, selected: &[usize]) -> Result<(), Error> {
    if spec.variables.is_empty() {
        return Ok(());
    }
    let layouts = layouts(object);
    for (at, (name, text)) in spec.variables.iter().enumerate() {
        let fail = |cause: String| {
            let name = if name.is_empty() { "\"\"" } else { name };
            let label = [spec.path.as_os_str().as_bytes(), b": ", name.as_bytes()].concat();
            Error::new(label, SET, cause)
        };
        if spec.variables[..at].iter().any(|(other, _)| other == name) {
            return Err(fail("given twice".into()));
        }
        // The section is selected by the name of the variable alone, without the path of a field.
        let variable = name.split(['.', '[']).next().unwrap_or_default();
        let found: Vec<_> = layouts
            .iter()
            .filter(|(_, layout)| !variable.is_empty() && layout.value.field(variable).is_ok())
            .collect();
        let [(index, layout)] = found[..] else {
            return Err(fail(match found.len() {
                0 => format!("no variable {}", quote(variable.as_bytes())),
                _ => "variables in several sections have this name".into(),
            }));
        };
        let slot = layout.value.field(name).map_err(|error| fail(error.to_string()))?;
        let map = &mut object.maps[*index];
        if !selected.contains(index) {
            let section = quote(map.section.as_bytes());
            return Err(fail(format!("its section {section} is not selected after #")));
        }
        let size = map.value_size as usize;
        let Some(data) = &mut map.data else { continue };
        let bytes = data.bytes.get_or_insert_with(|| vec![0; size]);
        parse::slot(slot, text, bytes).map_err(|error| fail(error.to_string()))?;
    }
    Ok(())
}

/// The data sections whose types are known.
fn layouts(object: &Object) -> Vec<(usize, Layout)> {
    let Some(btf) = object.btf.as_deref().map(Btf::parse).and_then(Result::ok) else {
        return Vec::new();
    };
    let data = object.maps.iter().enumerate().filter(|(_, map)| map.data.is_some());
    data.filter_map(|(index, map)| Some((index, map.layout(&btf)?))).collect()
}
