//! BTF: every blob is indexed or refused, and the layouts of its types have a notation and values
//! that survive printing and parsing.

#![no_main]

use bpf_exec_fuzz::{check_notation, check_value};
use bpf_layout::Btf;
use libfuzzer_sys::fuzz_target;

/// Types of one blob that are tried, so that large blobs do not slow the search.
const MAX_TYPES: u32 = 64;

fuzz_target!(|data: &[u8]| {
    let Ok(btf) = Btf::parse(data) else { return };
    for id in 0..=btf.len().min(MAX_TYPES) + 1 {
        if let Some(name) = btf.name(id) {
            btf.find(name);
        }
        let Ok(ty) = btf.layout(id) else { continue };
        check_notation(&ty);
        // Bytes of the blob are as good as any.
        if let Some(bytes) = data.get(..ty.size()) {
            check_value(&ty, bytes);
        }
    }
});
