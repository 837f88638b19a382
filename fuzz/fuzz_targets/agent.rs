//! The agent's packets: each is decoded or refused, and a decoded one is encoded as the same bytes.
//! The first byte selects a request or a reply.

#![no_main]

use bpf_exec::wire::agent::{AgentRequest, Reply, number_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&first, bytes)) = data.split_first() else { return };
    if first & 1 == 0 {
        let Ok(request) = AgentRequest::decode(bytes) else { return };
        let encoded = request.encode();
        assert_eq!(request.number, number_of(bytes));
        assert_eq!(AgentRequest::decode(&encoded).as_ref(), Ok(&request));
        // Only the flags have two encodings with the same meaning.
        assert_eq!((&encoded[..2], &encoded[4..]), (&bytes[..2], &bytes[4..]));
    } else {
        let Ok((number, reply)) = Reply::decode(bytes) else { return };
        let encoded = reply.encode(number);
        assert_eq!(Reply::decode(&encoded), Ok((number, reply)));
    }
});
