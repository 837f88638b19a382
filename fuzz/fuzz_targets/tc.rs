//! tc's datagrams: each is decoded or refused, and a decoded one can be encoded again.
//!
//! The first byte is the number of file descriptors in the message; 255 means one for each entry
//! in the rest.

#![no_main]

use bpf_exec::wire::tc::{Datagram, ENTRY, HEADER};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&first, bytes)) = data.split_first() else { return };
    let fds = match first {
        u8::MAX => bytes.len().saturating_sub(HEADER) / ENTRY,
        fds => fds.into(),
    };
    let Ok(datagram) = Datagram::decode(bytes, fds) else { return };
    assert_eq!(datagram.entries.len(), fds);
    let encoded = datagram.encode();
    assert_eq!(encoded.len(), bytes.len());
    assert_eq!(Datagram::decode(&encoded, fds).as_ref(), Ok(&datagram));
    // Not kept: padding, bytes after a NUL, and the pinning and inner map of an object file.
    assert_eq!(encoded[..4], bytes[..4]);
    assert_eq!(encoded[72..HEADER], bytes[72..HEADER]);
    for (written, read) in encoded[HEADER..].chunks(ENTRY).zip(bytes[HEADER..].chunks(ENTRY)) {
        assert_eq!(written[..24], read[..24]);
    }
});
