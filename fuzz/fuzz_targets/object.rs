//! Object files: every file is read or refused with one line, and what is read has layouts and names
//! that can be printed. Programs are linked, against the types of the file itself.

#![no_main]

use bpf_exec::object::{Object, link};
use bpf_exec_fuzz::check_notation;
use bpf_layout::Btf;
use libfuzzer_sys::fuzz_target;

/// Maps of one file whose layouts are tried, so that large files do not slow the search.
const MAX_MAPS: usize = 64;
/// Programs of one file that are linked.
const MAX_PROGRAMS: usize = 16;

fuzz_target!(|data: &[u8]| {
    let object = match Object::parse(data, "object") {
        Ok(object) => object,
        Err(error) => return assert!(!error.to_string().contains('\n'), "{error}"),
    };
    let types = object.btf.as_deref().map(|blob| Btf::parse(blob).expect("it was completed"));
    for program in object.programs.iter().take(MAX_PROGRAMS) {
        let linked = link(data, &object, program).and_then(|mut linked| match &types {
            Some(types) => linked.relocate(types, types),
            None => Ok(()),
        });
        if let Err(error) = linked {
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
    let Some(blob) = object.btf.as_deref() else { return };
    let btf = Btf::parse(blob).expect("it was completed");
    for map in object.maps.iter().take(MAX_MAPS) {
        let Some(layout) = map.layout(&btf) else { continue };
        assert_eq!(layout.value.size(), map.value_size as usize);
        layout.key.iter().chain([&layout.value]).for_each(check_notation);
    }
});
