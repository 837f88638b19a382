//! Object files: every file is read or refused with one line, and the layouts and names that are read
//! can be printed.

#![no_main]

use bpf_exec::object::Object;
use bpf_exec_fuzz::check_notation;
use bpf_layout::Btf;
use libfuzzer_sys::fuzz_target;

/// Maps of one file whose layouts are tried, so that large files do not slow the search.
const MAX_MAPS: usize = 64;

fuzz_target!(|data: &[u8]| {
    let object = match Object::parse(data, "object") {
        Ok(object) => object,
        Err(error) => return assert!(!error.to_string().contains('\n'), "{error}"),
    };
    let Some(blob) = object.btf.as_deref() else { return };
    let btf = Btf::parse(blob).expect("it was completed");
    for map in object.maps.iter().take(MAX_MAPS) {
        let Some(layout) = map.layout(&btf) else { continue };
        assert_eq!(layout.value.size(), map.value_size as usize);
        layout.key.iter().chain([&layout.value]).for_each(check_notation);
    }
});
