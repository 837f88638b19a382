//! Values of a type, which is the first line: bytes are printed and parsed as the same bytes, and
//! text is parsed or refused.

#![no_main]

use bpf_exec_fuzz::{check_value, split};
use bpf_layout::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((ty, rest)) = split(data) else { return };
    let mut bytes = rest.to_vec();
    bytes.resize(ty.size(), 0);
    check_value(&ty, &bytes);
    let Ok(text) = std::str::from_utf8(rest) else { return };
    if let Ok(bytes) = parse::value(&ty, text) {
        check_value(&ty, &bytes);
    }
});
