//! The layout notation: every text is parsed or refused, and the notation of a parsed type gives the
//! same type.

#![no_main]

use bpf_exec_fuzz::check_notation;
use bpf_layout::{Layout, Type};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(ty) = text.parse::<Type>() {
        assert_eq!(ty.size() % ty.align(), 0, "{ty}");
        check_notation(&ty);
    }
    if let Ok(layout) = text.parse::<Layout>() {
        let shown = layout.to_string();
        assert_eq!(shown.parse().as_ref(), Ok(&layout), "{shown}");
    }
});
