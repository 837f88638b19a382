//! A JSON value of a type, which is the first line: it is parsed or refused, alike by both ways of
//! parsing, and the bytes are printed and parsed as the same bytes.

#![no_main]

use bpf_exec_fuzz::{check_value, split};
use bpf_layout::parse;
use libfuzzer_sys::fuzz_target;
use serde::de::DeserializeSeed;

fuzz_target!(|data: &[u8]| {
    let Some((ty, rest)) = split(data) else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let mut bytes = vec![0xaa; ty.size()];
    let whole = parse::json(&ty, text, &mut bytes);
    let mut seeded = vec![0x55; ty.size()];
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let in_line = parse::SlotSeed::new(&ty, &mut seeded).deserialize(&mut deserializer);
    let in_line = in_line.and_then(|()| deserializer.end());
    assert_eq!(whole.is_ok(), in_line.is_ok(), "{ty}: {whole:?}, {in_line:?}");
    if whole.is_ok() {
        assert_eq!(bytes, seeded, "{ty}");
        check_value(&ty, &bytes);
        // `load` checks lines with this parser if the layout is a guess.
        let value: Result<serde_json::Value, _> = serde_json::from_str(text);
        assert!(value.is_ok(), "{ty}: {value:?}");
    }
});
